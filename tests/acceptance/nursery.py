"""
Knows how to start the program many times at little cost: this process imports everything once and forks a child a start.

One line of JSON on standard input is one start: `{"arguments": […], "environment": {…}, "folder": "path", "in": "path",
"out": "path", "err": "path"}`. It answers with a line that holds the child's process id, and when the child has ended with a
line that holds its return code (negative: the signal that killed it). The child is what `python -m etl` is after its imports.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
from typing import Any


def main() -> None:
    """Serve until standard input ends."""
    import etl

    for module in pkgutil.walk_packages(etl.__path__, "etl."):
        if not module.name.startswith(("etl.sandbox", "etl.testing", "etl.migrations")) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    from etl import providers

    for name in providers.OURS:
        providers.get(name)
    gc.freeze()  # what all share stays shared
    with os.fdopen(os.dup(0), encoding="utf-8") as orders:
        for line in iter(orders.readline, ""):
            order = json.loads(line)
            child = os.fork()
            if child == 0:
                _be_the_program(order)
            os.write(1, f"{child}\n".encode())
            _, status = os.waitpid(child, 0)
            os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _be_the_program(order: dict[str, Any]) -> None:
    """Never return."""
    from etl.cli import main

    for number, name in enumerate(("in", "out", "err")):
        os.dup2(os.open(order[name], os.O_NOCTTY | (os.O_RDWR if number else os.O_RDONLY)), number)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    code = 70
    try:
        main(order["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
