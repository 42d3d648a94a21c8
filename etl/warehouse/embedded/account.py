"""Knows under which account the server runs: the user's own, or, since PostgreSQL refuses root, an unprivileged one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl.errors import UsageError, WarehouseError

CANDIDATES = ("postgres", "nobody")
"""The accounts that root's server may run under, best first, unless a setting names one."""

ENVIRONMENT = {"LANG": "C", "LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
"""What a server's process inherits: nothing that could change where it looks or how it speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of the operating system. `switch` says whether processes have to be started under it by root."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(self, command: Sequence[str | Path], *, cwd: Path, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a program under this account to its end; nothing of it is inherited but the working directory."""
        return subprocess.run(  # noqa: S603 - the programs are the server's own
            [str(part) for part in command],
            cwd=cwd,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
        )

    def may(self, mode: str, path: Path) -> bool:
        """Whether this account may read (`r`), write (`w`) or enter or execute (`x`) a path."""
        return self.run(["test", f"-{mode}", path], cwd=Path("/")).returncode == 0

    def give(self, path: Path) -> None:
        """Make this account the owner of a path that we made."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def choose(run_as: str | None) -> Account:
    """
    Return the account for the server: our own, or for root the one named by `run_as`, else the first of `CANDIDATES`.

    Raises UsageError where `run_as` names none that can serve, WarehouseError where the system has none.
    """
    import pwd

    uid = os.geteuid()
    if uid != 0:
        try:
            own = pwd.getpwuid(uid)
        except KeyError:
            raise WarehouseError(
                f"The user {uid} has no entry in the system's list of users, and PostgreSQL refuses to run without one.",
                safe="Nothing was started.",
                hint="Add one to /etc/passwd, or set warehouse.url to a server of your own.",
            ) from None
        if run_as not in (None, own.pw_name):
            raise UsageError(
                f"warehouse.run_as is {run_as}, but only root can run the embedded server under another account.",
                safe="Nothing was started.",
                hint="Leave warehouse.run_as out.",
            )
        return Account(name=own.pw_name, uid=uid, gid=os.getegid(), switch=False)
    for name in (run_as,) if run_as else CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(name=name, uid=found.pw_uid, gid=found.pw_gid, switch=True)
    if run_as:
        raise UsageError(
            f"warehouse.run_as is {run_as}, which is not an unprivileged account of this system.",
            safe="Nothing was started.",
            hint="Name an existing account, or leave it out to use postgres or nobody.",
        )
    raise WarehouseError(
        "PostgreSQL refuses to run as root, and this system has neither an account postgres nor nobody.",
        safe="Nothing was started.",
        hint="Name an unprivileged account in warehouse.run_as, or set warehouse.url to a server of your own.",
    )
