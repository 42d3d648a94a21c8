"""
Knows how to start the program many times at little cost: this process imports everything once and forks a child a start.

One line of JSON on standard input is one start: `{"arguments": [...], "out": "path", "err": "path"}`. It answers with a
line that holds the child's process id, and when the child has ended with a line that holds its return code (negative: the
signal that killed it). The child is what `python -m etl` is after its imports.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Serve until standard input ends."""
    import etl.cli.app
    import etl.cli.auditing
    import etl.cli.replaying
    import etl.cli.syncing
    import etl.http.client
    import etl.warehouse.audits
    import etl.warehouse.loading.load
    import etl.warehouse.postgres
    import etl.warehouse.replay
    import etl.warehouse.reports.status
    import etl.warehouse.schema  # noqa: F401 - this is what makes starts cheap
    from etl import providers

    for name in providers.OURS:
        providers.get(name)
    with os.fdopen(os.dup(0), encoding="utf-8") as orders:
        for line in iter(orders.readline, ""):
            order = json.loads(line)
            child = os.fork()
            if child == 0:
                _be_the_program(order["arguments"], order["out"], order["err"])
            os.write(1, f"{child}\n".encode())
            _, status = os.waitpid(child, 0)
            os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _be_the_program(arguments: list[str], out: str, err: str) -> None:
    """Never return."""
    from etl.cli import main

    nowhere = os.open(os.devnull, os.O_RDONLY)
    for number, place in ((1, out), (2, err)):
        os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(nowhere, 0)
    code = 70
    try:
        main(arguments)
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
