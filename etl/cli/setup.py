"""Sets up a warehouse: a configuration to fill in, and the newest schema."""

from __future__ import annotations

from pathlib import Path

from etl.cli.output import say
from etl.errors import UsageError
from etl.printable import number_of
from etl.wiring import Invocation, open_warehouse, settings_of


def write_config(path: Path) -> None:
    """Write a commented configuration that only its owner can read, as it will hold tokens. Never overwrites a file."""
    from etl.config import example

    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(example())
    except FileExistsError:
        raise UsageError(
            f"{path} exists already.", safe="It was left as it is.", hint="Name another file: etl init other.toml"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", safe="Nothing was changed.", hint="Name another place: etl init FILE"
        ) from error
    say(f"Wrote {path}. Put your tokens into it, then run: etl check")


def migrate_warehouse(invocation: Invocation) -> None:
    """Bring the schema to the newest version and say from where to where."""
    from etl.warehouse import jobs
    from etl.warehouse.schema import head

    settings = settings_of(invocation)
    with open_warehouse(settings, writes=True) as opened:
        opened.database.check_server()
        without_queue = jobs.missing(opened.database)
        done = opened.migrate(settings)
        newest = head()
    before, after = done.before, done.after
    if after != newest:
        say(f"The schema has version {after}, which a newer program made and this one may write into. Nothing was changed.")
    elif before == after:
        say(f"The schema has the newest version already ({after}).")
    else:
        say(f"The schema went from {before or 'nothing'} to {after}.")
    if without_queue and before is not None:
        say("The tables of the workers' queue were made, in schema jobs.")
    if done.spread is not None:
        new = f"{number_of(done.spread, 'table')} more of them now" if done.spread else "no table is new"
        unasked = "" if settings.warehouse.distributed else " They stay so, though warehouse.distributed is false."
        say(f"The tables are spread over the nodes of the cluster: {new}.{unasked}")


def check_schema(invocation: Invocation) -> int:
    """Say how the schema stands, change nothing, and return the exit code: 1 where `etl migrate` has something to do, else 0."""
    from etl.warehouse import distributing, jobs
    from etl.warehouse.schema import due, head

    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        found, steps = due(opened.database)
        newest = head()
        to_spread = settings.warehouse.distributed and found == newest and distributing.due(opened.database)
        without_queue = found is not None and jobs.missing(opened.database)
    if found is None:
        say(f"There is no warehouse yet. Run: etl migrate. It makes one of version {newest}.")
    elif steps:
        say(f"The schema has version {found}; {newest} is due, by way of {len(steps)}: {', '.join(steps)}. Run: etl migrate")
    elif to_spread:
        say(f"The schema has the newest version ({found}), and warehouse.distributed asks for more. Run: etl migrate")
    elif found == newest:
        say(f"The schema has the newest version ({found}).")
    else:
        say(f"The schema has version {found}, which a newer program made and this one may write into.")
    if without_queue:
        say("The tables of the workers' queue (schema jobs) are missing. Run: etl migrate")
    return 1 if steps or to_spread or without_queue else 0
