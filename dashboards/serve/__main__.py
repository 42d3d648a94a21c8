"""
Starts Superset with the dashboards, over the demonstration's warehouse or one of your own, until Ctrl-C.

It is told by variables, as make hands them on: `DATABASE` (the address of a masked role), `CONFIG` (the configuration of a
warehouse on the embedded server), `PORT`, `SUPERSET_PYTHON`, `SUPERSET_DIR` (where it keeps what it makes).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dashboards.serve.environment import environment
from dashboards.serve.running import Superset, listening_on
from dashboards.serve.source import demonstration, of_database, of_embedded
from etl.cli.output import say, show_error
from etl.errors import EtlError
from etl.superset.definitions import PAGES, read

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Return 0 after Ctrl-C or a kill, or the exit code of what failed."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    try:
        _serve(Path(os.environ.get("SUPERSET_DIR") or ROOT / ".superset").absolute())
    except EtlError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("Superset has ended.")
    return 0


def _serve(folder: Path) -> None:
    port = listening_on(os.environ.get("PORT") or "8088")
    python = environment(folder, wanted=os.environ.get("SUPERSET_PYTHON"))
    address = os.environ.get("DATABASE")
    if address:
        source = of_database(address, folder)
    else:
        config = os.environ.get("CONFIG")
        source = of_embedded(Path(config) if config else demonstration(ROOT), folder)
    with source as warehouse, Superset(folder, python, port=port) as superset:
        say("Starting Superset (the first time takes most of a minute) …")
        superset.prepare(warehouse)
        superset.start()
        pages = read().dashboards
        say(f"Superset runs at {superset.url}")
        for page in PAGES:
            say(f"   {superset.url}/superset/dashboard/call-warehouse-{page}/   {pages[page].title}")
        say(superset.sign_in)
        with_it = "" if address else ", and the embedded server with it"
        say(f"It can be reached from this machine alone. Ctrl-C ends it{with_it}.")
        superset.wait()


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not keep the server from being stopped
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
