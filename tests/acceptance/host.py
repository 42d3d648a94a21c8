"""
Knows a process that is no program of ours and calls the library: what it was before a call, and what it is afterwards.

It is started as a program itself, with a document of what to do, and writes what it found into a file: it prints nothing, so that
whatever stands on its standard output or standard error was written by the library.
"""

from __future__ import annotations

import gc
import json
import locale
import logging
import os
import random
import signal
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog


def state() -> dict[str, Any]:
    """Return everything of this process that a library could change."""
    root = logging.getLogger()
    ours = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("etl", "httpx", "httpcore")]
    umask = os.umask(0o22)
    os.umask(umask)
    return {
        "root logger": [repr(root.handlers), root.level, repr(root.filters)],
        "loggers with a level or handlers": [
            name for name in ours if logging.getLogger(name).level or logging.getLogger(name).handlers
        ],
        "logging.lastResort, .disable": [repr(logging.lastResort), logging.root.manager.disable],
        "structlog": [structlog.is_configured(), repr(structlog.get_config())],
        "signals": {number.name: repr(signal.getsignal(number)) for number in signal.valid_signals() if hasattr(number, "name")},
        "wakeup": _unchanged_wakeup(),
        "gc": [gc.isenabled(), gc.get_freeze_count(), gc.get_threshold(), gc.get_debug()],
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
        "hooks": [repr(sys.excepthook), repr(threading.excepthook), repr(sys.unraisablehook), repr(sys.displayhook)],
        "tracing": [repr(sys.gettrace()), repr(sys.getprofile()), repr(threading.gettrace())],
        "streams": [id(sys.stdin), id(sys.stdout), id(sys.stderr)],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(_files()),
        "ssl": [repr(ssl.SSLContext), id(ssl.SSLContext), repr(ssl._create_default_https_context)],
        "socket timeout": socket.getdefaulttimeout(),
        "environment": dict(os.environ),
        "directory, umask": [str(Path.cwd()), umask],
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": [repr(one) for one in warnings.filters],
        "randomness": hash(random.getstate()),
        "path": list(sys.path),
    }


def _unchanged_wakeup() -> int:
    before = signal.set_wakeup_fd(-1)
    if before != -1:
        signal.set_wakeup_fd(before)
    return before


def _files() -> list[str]:
    """Return what this process has open; only Linux tells."""
    found = []
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a path of numbers
            with suppress(FileNotFoundError):  # the one by which the folder was listed
                found.append(f"{name}: {os.readlink(f'/proc/self/fd/{name}')}")  # noqa: PTH115
    return [one for one in found if "/proc/" not in one]


def sessions(url: str) -> int:
    """Return how many sessions are left at the server, once those that ended are gone: that takes it a moment."""
    import psycopg

    others = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url, autocommit=True) as session:
        while left := session.execute(others + b" AND backend_type = 'client backend'").fetchone() or (0,):
            if left[0] == 0:
                return 0
            session.execute("SELECT pg_sleep(0.002)")
    raise AssertionError


def main(what: dict[str, Any]) -> dict[str, Any]:
    """Call the library twice, as the document says, and return what the process was before and after each, and the outcomes."""
    if what["structlog"]:
        structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory())
    before = state()
    from etl.library import audit, load_settings, sync

    settings = load_settings(what["config"], what["environ"])
    calls: list[Callable[[], Any]] = [lambda: sync(settings), lambda: audit(settings), lambda: audit(settings, repair=True)]
    found = [(call(), state()) for call in calls]
    return {
        "changed": [{part: [before[part], after[part]] for part in before if before[part] != after[part]} for _, after in found],
        "statuses": [[(one.connection, one.status) for one in outcomes] for outcomes, _ in found],
        "errors": [str(one.error) for outcomes, _ in found for one in outcomes if one.error],
        "shown": repr([outcomes for outcomes, _ in found]),
        "sessions": what["url"] and sessions(what["url"]),
    }


if __name__ == "__main__":
    document = json.loads(sys.argv[1])
    Path(document["found"]).write_text(json.dumps(main(document), default=str), encoding="utf-8")
