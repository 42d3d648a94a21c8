"""Missing rights, limits and settings of the role: each hint is followed to the letter, and then the command works."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.process import Ended, Program, execute, held_and_true, hourly
from tests.acceptance.stage import quiet_history

ROLE = f"Weak-{os.getpid()}"
"""A name that has to be quoted."""


@pytest.fixture
def weak(server_url: str) -> Iterator[Callable[[str], str]]:
    """Give what makes an address that of a role that may do nothing but connect."""
    execute(server_url, f'CREATE ROLE "{ROLE}" LOGIN')
    used: list[str] = []

    def as_weak(url: str) -> str:
        used.append(url)
        return make_url(url).set(username=ROLE).render_as_string(hide_password=False)

    yield as_weak
    for url in used:
        execute(url, f'REASSIGN OWNED BY "{ROLE}" TO CURRENT_USER')
        execute(url, f'DROP OWNED BY "{ROLE}"')
    execute(server_url, f'DROP ROLE "{ROLE}"')


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before Salpre with 12 calls, as the administrator of a warehouse."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program, calls=12)
        yield program


def shown(url: str) -> str:
    """Return an address as messages show it."""
    return make_url(url).set(drivername="postgresql+psycopg", query={}).render_as_string(hide_password=True)


def advised(ended: Ended) -> list[str]:
    """Return the statements of the last line that a user reads."""
    return re.findall(r"(?:GRANT|ALTER|CREATE) .*?;|SELECT pg_reload_conf\(\);", ended.lines[-1])


def follow(ended: Ended, administrator: str) -> None:
    """Run what is advised, as it stands, as an administrator."""
    assert advised(ended) != []
    for statement in advised(ended):
        execute(administrator, statement)


@pytest.mark.parametrize("command", ["sync", "migrate"])
def test_no_right_to_make_a_warehouse(
    program: Program, empty_database_url: str, weak: Callable[[str], str], command: str
) -> None:
    """One message names all that is missing; `check` says the same before."""
    program.url = weak(empty_database_url)
    name = make_url(program.url).database
    grants = [f'GRANT CREATE ON DATABASE {name} TO "{ROLE}";', f'GRANT CREATE ON SCHEMA public TO "{ROLE}";']
    hint = f"Let an administrator run in this database: {' '.join(grants)}"

    checked, ended = program.run("check"), program.run(command)

    assert (checked.code, checked.lines) == (
        1,
        [f"The database user lacks rights on the warehouse at {shown(program.url)}.", "Nothing was changed.", hint],
    )
    assert (ended.code, ended.lines) == (
        1,
        [
            f"The database user may not do this at {shown(program.url)}: permission denied for database {name}.",
            "What was committed before stays.",
            hint,
        ],
    )
    follow(ended, empty_database_url)
    assert [program.run(one).code for one in ("check", command, "sync")] == [0, 0, 0]
    held, true = held_and_true(program)
    assert held == true


def test_a_schema_public_that_may_not_be_used(program: Program, empty_database_url: str, weak: Callable[[str], str]) -> None:
    """The server says that no schema was selected (3F000); what is missing is a grant, and not `etl migrate`."""
    program.url = weak(empty_database_url)
    execute(empty_database_url, f'GRANT CREATE ON DATABASE "{make_url(program.url).database}" TO "{ROLE}"')
    execute(empty_database_url, "REVOKE ALL ON SCHEMA public FROM PUBLIC")

    ended = program.run("migrate")

    assert (ended.code, ended.lines) == (
        1,
        [
            f"The database user may not do this at {shown(program.url)}: it lacks rights on the warehouse.",
            "What was committed before stays.",
            f'Let an administrator run in this database: GRANT CREATE, USAGE ON SCHEMA public TO "{ROLE}";',
        ],
    )
    follow(ended, empty_database_url)
    assert program.run("sync").code == 0


@pytest.mark.parametrize("command", ["sync", "status"])
def test_no_right_to_use_the_warehouse(program: Program, weak: Callable[[str], str], command: str) -> None:
    """Another role's warehouse: the grants name every table, and are enough to sync, audit and replay."""
    assert program.run("sync").code == 0
    administrator, program.url = program.url, weak(program.url)

    ended = program.run(command)

    assert ended.code == 1
    assert f'GRANT USAGE ON SCHEMA sync TO "{ROLE}";' in advised(ended)
    follow(ended, administrator)
    assert [program.run(one).code for one in (command, "check", "audit", "replay")] == [0] * 4


@pytest.mark.parametrize(
    "revoked", ["UPDATE ON sync.runs", "USAGE ON SCHEMA public", "EXECUTE ON FUNCTION sync.reporting_timezone()"]
)
def test_a_single_right_that_is_missing(program: Program, weak: Callable[[str], str], revoked: str) -> None:
    """`check` finds it before a sync does; the hint grants that and nothing else."""
    administrator, program.url = program.url, weak(program.url)
    follow(program.run("check"), administrator)
    for who in (f'"{ROLE}"', "PUBLIC"):
        execute(administrator, f"REVOKE {revoked} FROM {who}")

    checked, ended = program.run("check"), program.run("sync")

    grant = f'GRANT {revoked} TO "{ROLE}";'
    assert (checked.code, advised(checked), ended.code, advised(ended)) == (1, [grant], 1, [grant])
    follow(ended, administrator)
    assert [program.run(one).code for one in ("check", "sync")] == [0, 0]


def test_migrate_by_a_role_that_does_not_own_the_warehouse(program: Program, weak: Callable[[str], str], server_url: str) -> None:
    """Grants do not help here: the owner is named, and acting for it is."""
    owner = f"owner_{os.getpid()}"
    execute(server_url, f"CREATE ROLE {owner} LOGIN")
    name = make_url(program.url).database
    execute(server_url, f'ALTER DATABASE "{name}" OWNER TO {owner}')
    administrator, program.url = program.url, weak(program.url)
    with Database(administrator) as database:
        schema.downgrade(database, "base")
        execute(administrator, "DROP SCHEMA sync CASCADE")
    owning = make_url(administrator).set(username=owner).render_as_string(hide_password=False)
    with Database(owning) as database:
        schema.migrate(database)
        schema.downgrade(database, "0002")
    follow(program.run("status"), administrator)

    ended = program.run("migrate")

    assert ended.lines[-1] == (
        f"Run it with the role that owns the warehouse, {owner}, in warehouse.url, "
        f'or let an administrator run: GRANT {owner} TO "{ROLE}";'
    )
    follow(ended, administrator)
    assert program.run("migrate").code == 0
    execute(administrator, f"REASSIGN OWNED BY {owner} TO postgres")
    execute(administrator, f"DROP OWNED BY {owner}")
    execute(server_url, f"DROP ROLE {owner}")


@pytest.mark.parametrize("made", ["TABLE calls (id int)", "TYPE calls AS ENUM ('a')"])
def test_somebody_elses_table_in_the_way(program: Program, empty_database_url: str, server_url: str, made: str) -> None:
    """`check` names it, as `migrate` does; the database that is advised is made by the statement that is shown."""
    execute(empty_database_url, f"CREATE {made}")
    program.url = empty_database_url

    checked, ended = program.run("check"), program.run("migrate")

    name = made.split()[1]
    assert (checked.code, checked.lines[0]) == (
        1,
        f"Something else in the database at {shown(program.url)} already has names that the warehouse needs: {name}.",
    )
    assert (ended.code, advised(ended)) == (1, advised(checked))
    execute(server_url, "DROP DATABASE IF EXISTS calls")
    follow(ended, server_url)
    program.url = make_url(program.url).set(database="calls").render_as_string(hide_password=False)
    assert [program.run(one).code for one in ("check", "migrate")] == [0, 0]
    execute(server_url, "DROP DATABASE calls WITH (FORCE)")


@pytest.mark.parametrize("limited", ["ROLE", "DATABASE"])
def test_a_limit_of_connections(program: Program, weak: Callable[[str], str], limited: str) -> None:
    """It is the role's or the database's own, not the server's `max_connections`."""
    administrator, program.url = program.url, weak(program.url)
    follow(program.run("check"), administrator)
    name = ROLE if limited == "ROLE" else make_url(administrator).database
    execute(administrator, f'ALTER {limited} "{name}" CONNECTION LIMIT 0')

    ended = program.run("sync")

    said = f'too many connections for {limited.lower()} "{name}"'
    assert (ended.code, ended.lines[0].endswith(f": {said}."), advised(ended)) == (
        1,
        True,
        [f'ALTER {limited} "{name}" CONNECTION LIMIT -1;'],
    )
    follow(ended, administrator)
    assert program.run("sync").code == 0


@pytest.mark.parametrize("where", ['ROLE "{role}"', 'ROLE "{role}" IN DATABASE {name}', "DATABASE {name}"])
def test_a_role_that_is_set_to_read_only(program: Program, weak: Callable[[str], str], where: str) -> None:
    """It is no standby: whose setting it is stands in the hint, for `check` as for `sync`."""
    administrator, program.url = program.url, weak(program.url)
    follow(program.run("check"), administrator)
    whose = where.format(role=ROLE, name=make_url(administrator).database)
    execute(administrator, f"ALTER {whose} SET default_transaction_read_only = on")

    checked, ended = program.run("check"), program.run("sync")

    lines = [
        f"The server at {shown(program.url)} takes no writes: default_transaction_read_only is on.",
        "Nothing was changed.",
        f"If that is not meant for the warehouse, let an administrator run: ALTER {whose} RESET default_transaction_read_only;",
    ]
    assert (checked.code, checked.lines, ended.code, ended.lines) == (1, lines, 1, lines)
    follow(
        ended,
        make_url(administrator).update_query_dict({"options": "-cdefault_transaction_read_only=off"}).render_as_string(False),
    )
    assert [program.run(one).code for one in ("check", "sync")] == [0, 0]


def test_a_database_that_may_not_be_connected_to(program: Program, weak: Callable[[str], str]) -> None:
    """The grant is named."""
    administrator, program.url = program.url, weak(program.url)
    name = make_url(administrator).database
    follow(program.run("check"), administrator)
    execute(administrator, f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')

    ended = program.run("sync")

    assert (ended.code, advised(ended)) == (1, [f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC;'])
    follow(ended, administrator)
    assert program.run("sync").code == 0
