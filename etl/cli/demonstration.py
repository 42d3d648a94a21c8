"""The two commands that need no account: the sandbox, and the demonstration that runs everything on it."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from pathlib import Path

from etl.cli.answering import show_table
from etl.cli.output import say, say_lines, show_error
from etl.cli.syncing import exit_code, run_syncs, show_outcomes
from etl.cli.time_line import show_time_lines
from etl.errors import EtlError, UsageError
from etl.runs.terms import Want
from etl.system import SystemClock
from etl.wiring import Opened, open_warehouse

_CHECKOUT = Path(__file__).resolve().parents[2]
"""Where the Makefile is, if this program runs from a checkout."""

AS_IT_WAS = "It was left as it is."
EXPLAINED = """# Written by `etl demo --keep`. The sandbox that its connections name has ended with the demonstration:
# what reads the warehouse works (status, runs, rejects, sql, replay), what asks a provider (check, sync, audit) does not.
"""

QUESTIONS = (
    (
        "How many calls, and how long, per provider?",
        """SELECT provider, count(*) AS calls, count(*) FILTER (WHERE status = 'completed') AS completed,
       round(sum(talk_seconds) / 3600.0, 1) AS hours
FROM call_facts GROUP BY provider ORDER BY provider""",
    ),
    (
        "Which were the busiest days?",
        """SELECT day, count(*) AS calls, count(DISTINCT connection) AS connections
FROM calls GROUP BY day ORDER BY calls DESC, day LIMIT 3""",
    ),
    (
        "Who pairs most?",
        """SELECT person, sum(calls) AS calls, round(sum(paired_seconds) / 3600.0, 1) AS hours
FROM person_daily GROUP BY person ORDER BY hours DESC, person LIMIT 3""",
    ),
)


def serve_sandbox(*, port: int, seed: int) -> None:
    """Serve the sandbox until Ctrl-C. Raises UsageError if the port cannot be used."""
    from etl.sandbox import serve

    try:
        serve(port=port, seed=seed, say=say_lines)
    except KeyboardInterrupt:
        say("The sandbox has ended.")
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used: {error.strerror}.",
            safe="Nothing was started.",
            hint="Choose another: etl sandbox --port 0",
        ) from error


def run_demo(keep: Path | None) -> int:
    """Run everything in a temporary folder, or in `keep`, which stays. Raises UsageError if that is not a new or empty one."""
    if keep is not None:
        return _demonstrate(_made(keep), kept=True)
    with tempfile.TemporaryDirectory(prefix="call-warehouse-demo-") as folder:
        Path(folder).chmod(0o755)  # if we are root, the embedded server runs under another account
        return _demonstrate(Path(folder), kept=False)


def _made(keep: Path) -> Path:
    place = keep.expanduser().absolute()
    try:
        if not place.exists():
            place.mkdir(parents=True)
            if os.geteuid() == 0:
                place.chmod(0o755)  # as above
        elif any(place.iterdir()):
            raise UsageError(f"{keep} holds something already.", safe=AS_IT_WAS, hint="Name a new folder: etl demo --keep DIR")
    except OSError as error:
        raise UsageError(
            f"{keep} cannot be used: {error.strerror}.", safe=AS_IT_WAS, hint="Name a folder that you can write."
        ) from error
    return place


def _demonstrate(place: Path, *, kept: bool) -> int:
    """Show sandbox, embedded server, first sync, second sync and questions; return the exit code."""
    from etl.config import load
    from etl.log import configure
    from etl.sandbox import Sandbox, config, demo_history
    from etl.warehouse.reports import asking

    with Sandbox(demo_history()) as sandbox:
        file = place / "config.toml"
        file.touch(mode=0o600)
        data_dir = json.dumps(str(place / "warehouse"), ensure_ascii=False)
        file.write_text(f"{EXPLAINED}\n[warehouse]\ndata_dir = {data_dir}\n\n{config(sandbox)}", encoding="utf-8")
        settings = load(file, {name: value for name, value in os.environ.items() if not name.startswith("ETL_")})
        configure(secrets=settings.secrets, level="warning")
        say(f"1. {len(settings.connections)} provider APIs are served on this machine, with made-up calls of the last ten days.")
        clock = SystemClock()
        started = clock.now()
        with open_warehouse(settings) as opened:
            opened.ensure_schema(settings)
            say(f"2. An embedded PostgreSQL was started and its schema made ({(clock.now() - started).total_seconds():.1f} s).")
            say_lines("3. The first sync reads everything that the providers have:\n")
            started = clock.now()
            outcomes = run_syncs(settings, settings.choose(), opened, want=Want())
            show_outcomes(outcomes)
            took = (clock.now() - started).total_seconds()
            say_lines(f"\n   It took {took:.1f} s. A second sync finds nothing new, and writes nothing:\n")
            again = run_syncs(settings, settings.choose(), opened, want=Want())
            show_outcomes(again)
            say_lines("\n4. The calls of all providers stand in one table:")
            for question, query in QUESTIONS:
                say_lines(f"\n   {question}\n")
                say_lines("\n".join(f"   {line}" for line in query.splitlines()) + "\n")
                try:
                    show_table(asking.ask(opened.database, query))
                except EtlError as error:
                    show_error(error)
                    return error.exit_code
            say_lines("\n5. What was read, and how many calls each day has:")
            _show_lines(opened)
        if kept:
            _say_what_is_kept(file)
        say_lines("\nWhat next:")
        if (_CHECKOUT / "dashboards" / "serve").is_dir():
            which = f" CONFIG={shlex.quote(str(file))}" if kept and file.parent != _CHECKOUT / ".demo" else ""
            say(f"   make dashboards{which}   draws the calls in your browser: four dashboards in a Superset of their own")
        if not kept:
            say("   etl demo --keep DIR   does the same again and keeps the warehouse, to ask it with etl status and etl sql")
        say("   etl init              writes a config.toml; put the token of an account into it")
        say("   etl check             says whether database and tokens work")
        say("   etl sync              loads your calls; run it again whenever you like")
        say("   etl worker            keeps them fresh by itself, and proves every night that nothing is missing")
        say('   etl sql               asks the warehouse: etl sql "SELECT * FROM data_freshness"')
    return exit_code([*outcomes, *again])


def _show_lines(opened: Opened) -> None:
    from etl.warehouse.reports.time_lines import calls_per_day, time_lines

    show_time_lines(time_lines(opened.database), days=calls_per_day(opened.database))


def _say_what_is_kept(file: Path) -> None:
    command = f"etl --config {shlex.quote(str(file))}"
    say_lines("\nThe warehouse is kept. The sandbox has ended, so nothing can be synced into it; what reads it works:")
    for arguments in ("status", "runs", 'sql "SELECT * FROM data_freshness"'):
        say(f"   {command} {arguments}")
