"""
What `etl sync` and `etl audit` do, as functions: for a program of your own, a notebook, or an orchestrator's task.

    from etl.library import load_settings, sync

    for outcome in sync(load_settings("config.toml")):
        print(outcome.connection, outcome.status, outcome.counters.inserted)

A call changes nothing of the process that makes it: no signals, no logging, no settings of the interpreter. When it has returned
or raised, its threads have ended and its sessions are closed. Calls may run side by side in threads. `docs/library.md` has more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event

from etl.audit.port import Disagreement, StreamVerdict
from etl.config import Settings, load
from etl.errors import EtlError, ProgramFault
from etl.library.opened import audit_opened, sync_opened, wanted
from etl.library.outcomes import AuditOutcome, Counts, Outcome
from etl.log import masked
from etl.model import Verdict
from etl.runs.port import Watcher
from etl.runs.terms import Finding, RunStatus, Trigger
from etl.wiring import open_warehouse, require_warehouse

__all__ = [
    "load_settings",
    "sync",
    "audit",
    "Settings",
    "Watcher",
    "Outcome",
    "AuditOutcome",
    "Counts",
    "Finding",
    "RunStatus",
    "StreamVerdict",
    "Verdict",
    "Disagreement",
    "EtlError",
]


def load_settings(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """
    Return the settings of a file (None: `$ETL_CONFIG`, else `./config.toml`, which may be absent), secrets and environment.

    `environ` stands for the variables of the process, for a program that has its settings from elsewhere. Raises UsageError,
    which lists every problem and shows no value.
    """
    return load(None if path is None else Path(path), os.environ if environ is None else environ)


def sync(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    full: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    stop: Event | None = None,
    watcher: Watcher | None = None,
) -> list[Outcome]:
    """
    Bring these connections (none named: all) up to date, several at once, and return how each ended, in their order.

    An empty warehouse is given its schema. `full` reads everything again, `since` (inclusive) and `until` (exclusive) one range;
    both have a time zone. Setting `stop` ends every run after its page, `partial`. `watcher` is told of progress, by several
    threads. What befalls one connection is in its outcome and stops no other.

    Raises UsageError where names or arguments are wrong, SchemaOutdated where the warehouse waits for `etl migrate`,
    WarehouseError where it cannot be used, ProgramFault where the program (or `watcher`) has a fault.
    """
    want = wanted(full=full, since=since, until=until)
    chosen = settings.choose(_names(names))
    with _in_a_host(settings), open_warehouse(settings, writes=True) as opened:
        opened.ensure_schema(settings)
        return sync_opened(settings, chosen, opened, want=want, stop=stop, watcher=watcher, trigger=Trigger.LIBRARY)


def audit(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    repair: bool = False,
    stop: Event | None = None,
    watcher: Watcher | None = None,
) -> list[AuditOutcome]:
    """
    Compare what is held of these connections (none named: all) with the provider's totals and with itself.

    With `repair` what disagrees is read again and put right. Raises what `sync` does, and WarehouseError for an empty warehouse.
    """
    chosen = settings.choose(_names(names))
    with _in_a_host(settings), open_warehouse(settings, writes=True) as opened:
        require_warehouse(opened)
        return audit_opened(settings, chosen, opened, repair=repair, stop=stop, watcher=watcher, trigger=Trigger.LIBRARY)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


@contextmanager
def _in_a_host(settings: Settings) -> Iterator[None]:
    """Tell a host's log no secret, and let nothing be raised but what is documented."""
    with masked(settings.secrets):
        try:
            yield
        except EtlError:
            raise
        except Exception as error:
            raise ProgramFault(
                f"The program has a fault, or the watcher that it was given: {type(error).__name__}.",
                safe="What was committed stays; nothing that is half done counts.",
                hint="The exception's cause says where. If that is not in a watcher of yours, please report it.",
            ) from error
