"""The commands, their arguments and their help. The modules beside it implement them, and are imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from etl import __version__

app = typer.Typer(
    name="etl",
    help="Copy the call records of several providers into one Postgres warehouse, incrementally, provably complete.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help takes a third of the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a failure or a mismatch, 2 bad usage or configuration, 3 another run is at work.",
)

# A path is an option with `parser=Path`. Without it Typer would look at the file itself, and say in its own words what is wrong.
Names = Annotated[Optional[list[str]], typer.Argument(metavar="[CONNECTION]...", help="Only these connections; none: all.")]  # noqa: UP045 - Typer reads it at run time
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"etl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--config", "-c", parser=Path, metavar="FILE", help="The configuration; default $ETL_CONFIG, else ./config.toml."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more to standard error.")] = False,
    _shown: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Keep the options that stand before the command for whichever command follows."""
    context.obj = (config, verbose)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(parser=Path, metavar="[FILE]", help="Where to write it.")] = Path("config.toml"),
) -> None:
    """Write a commented config.toml."""
    from etl.cli.setup import write_config

    write_config(path)


@app.command(short_help="Check configuration, database and every credential.")
def check(context: typer.Context, *, as_json: Json = False) -> None:
    """Check configuration, database, migrations and every credential (one or two requests each)."""
    from etl.cli.checking import check_everything

    raise typer.Exit(check_everything(context.obj, as_json=as_json))


@app.command(short_help="Bring the warehouse's schema to the newest version.")
def migrate(
    context: typer.Context,
    *,
    look: Annotated[bool, typer.Option("--check", help="Only say whether it is due, and exit with 1 if it is.")] = False,
) -> None:
    """Bring the warehouse's schema to the newest version."""
    from etl.cli.setup import check_schema, migrate_warehouse

    if look:
        raise typer.Exit(check_schema(context.obj))
    migrate_warehouse(context.obj)


@app.command()
def sync(
    context: typer.Context,
    connections: Names = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="Read everything again.")] = False,
    since: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="T", help="Read again from this instant: 2026-03-01 or 2026-03-01T12:00:00Z."),
    ] = None,
    until: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="T", help="Read again up to this instant, exclusive."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and compare, but write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the warehouse up to date now."""
    from etl.cli.syncing import Order, sync_connections

    order = Order(names=tuple(connections or ()), full=full, since=since, until=until, dry_run=dry_run)
    raise typer.Exit(sync_connections(context.obj, order, as_json=as_json))


@app.command(short_help="Show how each connection stands: mark, lag, calls, gaps.")
def status(context: typer.Context, *, as_json: Json = False) -> None:
    """Show each connection's last run, high-water mark, lag, calls, open calls, gaps and rejects."""
    from etl.cli.reporting import show_status

    show_status(context.obj, as_json=as_json)


@app.command()
def runs(
    context: typer.Context,
    connection: Annotated[Optional[str], typer.Argument(help="Only this connection.")] = None,  # noqa: UP045
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the history of runs."""
    from etl.cli.reporting import show_runs

    show_runs(context.obj, connection, limit=limit, as_json=as_json)


@app.command(short_help="List rejected records and departures from the documentation.")
def rejects(
    context: typer.Context,
    connection: Annotated[Optional[str], typer.Argument(help="Only this connection.")] = None,  # noqa: UP045
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many rejects, those last seen first.")] = 100,
    raw: Annotated[bool, typer.Option("--raw", help="Show the records too: they may hold personal data.")] = False,
    as_json: Json = False,
) -> None:
    """List the records that could not become calls, and how the providers' records depart from their documentation."""
    from etl.cli.rejecting import show_rejects

    show_rejects(context.obj, connection, limit=limit, raw=raw, as_json=as_json)


@app.command(short_help="Derive all rows again from what is held, without a request.")
def replay(context: typer.Context, connections: Names = None, *, as_json: Json = False) -> None:
    """Derive all rows again from the records they were made of, and try rejected records again; sends no request."""
    from etl.cli.replaying import replay_connections

    raise typer.Exit(replay_connections(context.obj, tuple(connections or ()), as_json=as_json))


@app.command(short_help="Prove that nothing is missing, against the provider's totals.")
def audit(
    context: typer.Context,
    connections: Names = None,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Read again and put right just what disagrees.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the warehouse with the provider's totals and with itself; exits with 1 where a mismatch stands."""
    from etl.cli.auditing import audit_connections

    raise typer.Exit(audit_connections(context.obj, tuple(connections or ()), repair=repair, as_json=as_json))


rollups = typer.Typer(no_args_is_help=True, help="Make the roll-ups of dashboards again.")
app.add_typer(rollups, name="rollups", short_help="Make the roll-ups of dashboards again.")


@rollups.command("rebuild", short_help="Make all roll-ups again, also for a new reporting time zone.")
def rebuild(context: typer.Context, *, as_json: Json = False) -> None:
    """Make all roll-ups again, of every connection that holds calls; takes on a new warehouse.reporting_timezone."""
    from etl.cli.rebuilding import rebuild_rollups

    raise typer.Exit(rebuild_rollups(context.obj, as_json=as_json))


@app.command(short_help="Write the whole warehouse into a file.")
def backup(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(parser=Path, metavar="FILE", help="Where to; a backup that stands there is replaced.")],
    *,
    as_json: Json = False,
) -> None:
    """Write the whole warehouse into one file, as it is at one instant; it is as secret as the calls."""
    from etl.cli.backing_up import back_up_warehouse

    back_up_warehouse(context.obj, path, as_json=as_json)


@app.command(short_help="Bring a backup into an empty database.")
def restore(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(parser=Path, metavar="FILE", help="What `etl backup` wrote.")],
    *,
    as_json: Json = False,
) -> None:
    """Bring a backup into the configured database, which must hold no calls; all or nothing."""
    from etl.cli.backing_up import restore_warehouse

    restore_warehouse(context.obj, path, as_json=as_json)


@app.command(short_help="Remove records of the program that are older than [retention] says.")
def prune(context: typer.Context, *, as_json: Json = False) -> None:
    """
    Remove runs, audits and other records of the program itself that are older than [retention] says; never a call.

    Of calls it erases what erase_calls_after and erase_transcripts_after of their connection say.
    """
    from etl.cli.pruning import prune_records

    raise typer.Exit(prune_records(context.obj, as_json=as_json))


@app.command(short_help="Forget a person or a call, everywhere and for good.")
def forget(
    context: typer.Context,
    *,
    phone: Annotated[Optional[str], typer.Option(metavar="N", help="Whoever has this number.")] = None,  # noqa: UP045
    email: Annotated[Optional[str], typer.Option(metavar="A", help="Whoever has this e-mail address.")] = None,  # noqa: UP045
    call: Annotated[
        Optional[tuple[str, str]],  # noqa: UP045
        typer.Option(metavar="CONNECTION ID", help="This call."),
    ] = None,
    write_to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--list", parser=Path, metavar="FILE", help="Only write the list of all that is forgotten."),
    ] = None,
    read_from: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--from", parser=Path, metavar="FILE", help="Forget who stands in such a list, after a restore."),
    ] = None,
    at_provider: Annotated[
        bool, typer.Option("--at-provider", help="Delete these calls at their providers too, where an API offers it.")
    ] = False,
    yes: Annotated[
        int, typer.Option("--yes", "-y", count=True, help="Do not ask whether it is meant; given twice, for --at-provider too.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """
    Forget a person or a call, in every table and for good: of their calls only ids, times, status and measures stay.

    A keyed hash keeps them out of whatever is read later; its key is warehouse.erasure_key.
    """
    from etl.cli.forgetting import Order, forget

    order = Order(phone=phone, email=email, call=call, write_to=write_to, read_from=read_from, at_provider=at_provider)
    raise typer.Exit(forget(context.obj, order, yes=yes, as_json=as_json))


@app.command(short_help="Let a database role read the warehouse, in full or masked.")
def grant(
    context: typer.Context,
    role: Annotated[str, typer.Argument(help="A role of the database server.")],
    *,
    masked: Annotated[bool, typer.Option("--masked", help="Only the schema masked, which holds no personal datum.")] = False,
    editor: Annotated[bool, typer.Option("--editor", help="Also let it write people, numbers and the names of agents.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take every right on the warehouse away from it.")] = False,
    as_json: Json = False,
) -> None:
    """Let a database role read exactly what is asked, objects of later versions included; what it had beyond is taken away."""
    from etl.cli.granting import grant_rights

    grant_rights(context.obj, role, masked=masked, editor=editor, revoke=revoke, as_json=as_json)


@app.command(short_help="Keep every connection fresh, on as many machines as run it.")
def worker(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Do what is due, and end.")] = False,
) -> None:
    """Sync and audit every connection on its schedule, until told to stop; several workers share the work."""
    from etl.cli.working import run_worker

    raise typer.Exit(run_worker(context.obj, once=once))


@app.command(short_help="Show what the workers do now, what waits, what was rescued.")
def queue(context: typer.Context, *, as_json: Json = False) -> None:
    """Show the workers that are alive, what they do now, what waits, and what killed ones left."""
    from etl.cli.working import show_queue

    show_queue(context.obj, as_json=as_json)


@app.command(short_help="Run a query on the warehouse, or open psql on it.")
def sql(
    context: typer.Context,
    query: Annotated[Optional[str], typer.Argument(help="What to ask; none: opens psql.")] = None,  # noqa: UP045
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV (RFC 4180).")] = False,
    as_json: Json = False,
) -> None:
    """Run a query on the warehouse, or open psql on it (also on the embedded one)."""
    from etl.cli.shell import ask, open_psql

    if query is None:
        raise typer.Exit(open_psql(context.obj, formed=as_csv or as_json))
    ask(context.obj, query, as_json=as_json, as_csv=as_csv)


@app.command(short_help="Write Parquet files of what has changed.")
def export(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(parser=Path, metavar="DIR", help="The folder: a new one, or one of an earlier export.")],
    relations: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[RELATION]...", help="Also these; none: call_facts, call_participants and the roll-ups."),
    ] = None,
    *,
    masked: Annotated[bool, typer.Option("--masked", help="From the schema masked, which holds no personal datum.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a folder of Parquet files up to date, one for each relation, connection and month, all of one instant."""
    from etl.cli.exporting import export_relations

    export_relations(context.obj, path, tuple(relations or ()), masked=masked, as_json=as_json)


@app.command(short_help="Write dashboards for Superset.")
def dashboards(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(parser=Path, metavar="[FILE]", help="Where to write them.")] = Path("dashboards.zip"),
    *,
    role: Annotated[str, typer.Option(help="The role of the database server that Superset reads as.")] = "dashboards",
) -> None:
    """Write four dashboards over the schema masked as a bundle that Superset 6.1 imports."""
    from etl.cli.dashboards import write_dashboards

    write_dashboards(context.obj, path, role=role)


@app.command(short_help="Serve the providers' APIs on loopback, with made-up calls.")
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on loopback; 0: a free one.")] = 8765,
    seed: Annotated[int, typer.Option(help="Which history is served.")] = 1,
) -> None:
    """Serve the providers' APIs on loopback, with made-up calls that keep coming."""
    from etl.cli.demonstration import serve_sandbox

    serve_sandbox(port=port, seed=seed)


@app.command(short_help="Show the whole thing on this machine, with no account.")
def demo(
    keep: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(parser=Path, metavar="DIR", help="Keep the warehouse and its configuration in this new folder."),
    ] = None,
) -> None:
    """Show the whole thing with no account: embedded Postgres, sandbox, a sync, and a look at the result."""
    from etl.cli.demonstration import run_demo

    raise typer.Exit(run_demo(keep))
