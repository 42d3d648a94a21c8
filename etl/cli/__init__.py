"""How the program starts and ends: exit codes, and what a user reads instead of a traceback."""

from __future__ import annotations

import signal
import sys


def main(arguments: list[str] | None = None) -> None:
    """
    Run the command line and exit: 0 done, 1 something failed, 2 bad usage or configuration, 3 another run is at work.

    If the user interrupts it, it exits with 130; what was committed stays.
    """
    code = run(arguments)
    # All is done: an interruption while the interpreter puts its things away has nothing to tell, least of all a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code. No exception leaves this function."""
    from etl.cli import streams

    streams.take_over()
    given = sys.argv[1:] if arguments is None else arguments
    code = _run(given)
    if lost := streams.failure(sys.stdout):
        from etl.cli.output import show_error, worst_code
        from etl.errors import UsageError

        unheard = UsageError(
            f"Standard output cannot be written: {lost.strerror}.",
            safe="What was committed stays.",
            hint="Lead the output to another place.",
        )
        show_error(unheard)
        return worst_code([code, unheard.exit_code])
    return code


def _run(arguments: list[str]) -> int:
    from etl.errors import EtlError

    try:
        from etl.cli.app import app

        code = app(args=arguments, prog_name="etl", standalone_mode=True)
    except EtlError as error:
        from etl.cli.output import show_error

        show_error(error)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was committed stays; the next sync continues there.\n")
        return 130
    except Exception as error:  # noqa: BLE001 - the last resort: a message, not a traceback
        from etl.cli.faults import show_fault

        show_fault(error, verbose=any(argument in ("-v", "--verbose") for argument in arguments))
        return 1
    return int(code or 0)
