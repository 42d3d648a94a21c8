"""The account that the server runs under: the user's own, or for root an unprivileged one, since PostgreSQL refuses root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl.errors import UsageError, WarehouseError

CANDIDATES = ("postgres", "nobody")
"""The accounts that root's server may run under unless a setting names one, best first."""

PATIENCE_SECONDS = 300.0
"""How long a program that creates or stops a server may take."""

ENVIRONMENT = {"LANG": "C", "LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
"""The environment of a server's process: nothing in it can change where it looks for files or its language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of the operating system. `switch` says whether we, as root, have to start processes under it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, log: int | None = None, keep: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a program under this account to its end; it inherits the files in `keep` and nothing else.

        Its errors are returned, or go to the file `log`. Raises TimeoutError after five minutes.
        """
        try:
            return subprocess.run(  # noqa: S603 - the programs are the server's own
                [os.fspath(part) for part in command],
                cwd=cwd,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if log is None else log,
                text=True,
                errors="replace",
                timeout=PATIENCE_SECONDS,
                check=False,
                pass_fds=keep,
                start_new_session=True,  # Ctrl-C must not interrupt what it has begun
                user=self.uid if self.switch else None,
                group=self.gid if self.switch else None,
                extra_groups=[] if self.switch else None,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{Path(command[0]).name} did not end within {PATIENCE_SECONDS:.0f} seconds") from error

    def write(self, path: Path, text: str) -> None:
        """Write a file under this account: root must not write into a folder where another user could have placed a link."""
        self.run(["sh", "-c", 'printf %s "$1" > "$0"', path, text], cwd=Path("/")).check_returncode()

    def may(self, mode: str, path: Path) -> bool:
        """Whether this account may read (`r`), write (`w`) or enter or execute (`x`) a path."""
        return self.run(["test", f"-{mode}", path], cwd=Path("/")).returncode == 0

    def give(self, path: Path) -> None:
        """Make this account the owner of a path that we created."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose(run_as: str | None, *, owner: int | None) -> Account:
    """
    Return the account for the server: our own, or for root the one named by `run_as`, else the first of `CANDIDATES`.

    Existing data stays with the account that owns it (`owner`, a user id): PostgreSQL refuses any other.
    Raises UsageError if `run_as` names no usable account, WarehouseError if the system has none.
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
    for name in (run_as,) if run_as else CANDIDATES if owner is None else (owner,):
        try:
            found = pwd.getpwuid(name) if isinstance(name, int) else pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid == 0:
            continue
        if owner not in (None, found.pw_uid):
            raise WarehouseError(
                f"warehouse.run_as is {run_as}, but the embedded server's data belongs to the user {owner}.",
                safe="The data was not touched.",
                hint="Leave warehouse.run_as out: the server then runs under the owner of its data.",
            )
        return Account(name=found.pw_name, uid=found.pw_uid, gid=found.pw_gid, switch=True)
    if run_as:
        raise UsageError(
            f"warehouse.run_as is {run_as}, which is not an unprivileged account of this system.",
            safe="Nothing was started.",
            hint="Name an existing account, or leave it out to use postgres or nobody.",
        )
    if owner is not None:
        raise WarehouseError(
            f"The embedded server's data belongs to the user {owner}, root or unknown here: PostgreSQL can run under neither.",
            safe="The data was not touched.",
            hint="Give the data, and nothing else, to an unprivileged account: chown -R postgres FOLDER/data, where FOLDER is "
            "warehouse.data_dir. If that is done already, add the account to this system.",
        )
    raise WarehouseError(
        "PostgreSQL refuses to run as root, and this system has neither an account postgres nor nobody.",
        safe="Nothing was started.",
        hint="Name an unprivileged account in warehouse.run_as, or set warehouse.url to a server of your own.",
    )
