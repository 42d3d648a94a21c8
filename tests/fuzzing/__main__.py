"""
Fuzzes each target for a while, guided by what they reach: `python -m tests.fuzzing [--seconds 1200] [TARGET…]`.

Needs atheris, which `make fuzz` installs into an environment of its own: it has no build for every Python that we support.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ONE = """
import sys
import atheris
with atheris.instrument_imports(include=["etl"]):
    from tests.fuzzing.targets import every
atheris.Setup([sys.argv[0], *sys.argv[2:]], dict(every())[sys.argv[1]])
atheris.Fuzz()
"""
SLOWEST, LARGEST = 5, 1024
"""Seconds that one input may take, and megabytes that the process may have."""


def main() -> int:
    """Fuzz one target after the other, and print how many inputs each has taken; return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=1200, help="in all, shared by the targets")
    options = parser.parse_args()
    from tests.fuzzing.targets import every

    names = options.targets or [name for name, _ in every()]
    each, failed, total = max(1, options.seconds // len(names)), 0, 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            limits = [f"-max_total_time={each}", f"-timeout={SLOWEST}", f"-rss_limit_mb={LARGEST}", "-max_len=4096"]
            command = [sys.executable, "-c", ONE, name, *limits, "-print_final_stats=1", f"-artifact_prefix={folder}/"]
            ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            said = ended.stdout + ended.stderr
            taken = re.search(r"stat::number_of_executed_units: *(\d+)", said)
            number = int(taken[1]) if taken else 0
            total += number
            sys.stdout.write(f"{name:<24} {number:>9} inputs  {'ok' if ended.returncode == 0 else 'FAILED'}\n")
            if ended.returncode:
                failed += 1
                found = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
                sys.stdout.write(said[-3000:] + "\n" + "\n".join(f"  input: {one!r}" for one in found) + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{total} inputs in {len(names)} targets, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
