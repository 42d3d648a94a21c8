"""
A role of the embedded server that only reads, for programs that are no part of this one: a dashboard's.

The everyday role may make no roles, and nobody can connect as one that may. So the server's programs make it while no server
runs. The server then lets in the same accounts as before, by either name (`docs/decisions/0044-a-role-for-dashboards.md`).
"""

from __future__ import annotations

import re

from etl.embedded.cluster import DATABASE, Cluster
from etl.errors import WarehouseError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def ensure_role(cluster: Cluster, role: str, *, runs: bool, gate: int) -> None:
    """
    Make `role`, without a right on anything, and let it in, unless that was done. Killed at any instant, it is done again.

    The programs keep the file `gate` open, and with it the lock, even if we are killed meanwhile.
    Raises WarehouseError, also where the role is missing and the server `runs`.
    """
    held = (cluster.data / "pg_hba.conf").read_text(encoding="utf-8", errors="replace")
    if _entry(role) in held.splitlines():
        return
    if runs:
        raise WarehouseError(
            f"The role {role} is not there yet, and can be made only while nobody uses the embedded server.",
            safe="Nothing was changed.",
            hint="Wait until other etl commands on this warehouse have ended (a sync, a psql), and run it again; "
            "from then on they may run beside it.",
        )
    _make(cluster, role, gate=gate)


def _make(cluster: Cluster, role: str, *, gate: int) -> None:
    if _NAME.fullmatch(role) is None:
        raise ValueError(f"no name of a role: {role!r}")
    missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
    statement = f"DO $$BEGIN IF {missing} THEN CREATE ROLE {role} LOGIN; END IF; END$$"
    # Without a server, the first role of all works: nobody has to be able to connect as it.
    single = ["sh", "-c", 'printf "%s\\n" "$1" | "$0" --single -D "$2" postgres']
    answer = cluster.account.run(
        [*single, cluster.binaries.folder / "postgres", statement, cluster.data], cwd=cluster.home, keep=[gate]
    )
    if answer.returncode != 0 or re.search(r"\b(ERROR|FATAL|PANIC):", answer.stderr):
        raise WarehouseError(
            f"The role {role} could not be made on the embedded server.",
            safe="Data that was committed stays, and nothing else was changed.",
            hint=f"The server's programs said: {' / '.join(answer.stderr.strip().splitlines()[-2:]) or 'nothing'}",
        )
    ident, hba = cluster.data / "pg_ident.conf", cluster.data / "pg_hba.conf"
    for file, lines in (
        (ident, [f'owner "{name}" {role}' for name in dict.fromkeys([cluster.account.name, "root"])]),
        (hba, [_entry(role)]),  # last: it says that all was done
    ):
        held = file.read_text(encoding="utf-8").splitlines()
        beside = file.with_name(f"{file.name}.new")
        cluster.account.write(beside, "".join(f"{line}\n" for line in dict.fromkeys([*held, *lines])))
        cluster.account.run(["mv", "-f", beside, file], cwd=cluster.home).check_returncode()


def _entry(role: str) -> str:
    return f"local {DATABASE} {role} peer map=owner"
