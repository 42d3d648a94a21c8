"""How the program starts and ends: exit codes, and what a user reads instead of a traceback."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """
    Run the command line and exit: 0 done, 1 something failed, 2 bad usage or configuration, 3 another run is at work.

    Interrupted by the user, it exits with 130; whatever was committed stays.
    """
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    from etl.cli.app import app
    from etl.errors import EtlError

    try:
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
    except BrokenPipeError:
        # Whoever read our output has closed it, as `head` does.
        sys.stderr.close()
        return 0
    return int(code or 0)
