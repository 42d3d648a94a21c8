"""
Gives a database role exactly the rights of a reader, now and for what later versions bring, and takes away what it had beyond.

Only rights on our own objects are touched. What the role has through other roles stays, and is named: it is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg import Connection as Session
from psycopg import sql

from etl.errors import UsageError
from etl.warehouse.database import Database, driver_of
from etl.warehouse.tables import MACHINE, METADATA
from etl.warehouse.views import VIEWS

MASKED = "masked"
PEOPLES = "public"
SCHEMAS = (PEOPLES, MASKED, MACHINE)


class Rights(NamedTuple):
    """What a role is to have: the analysts' schema in full or masked, and whether it may write their own dimensions."""

    masked: bool = False
    editor: bool = False


class Inherited(NamedTuple):
    """A right that the role has through another one (`PUBLIC`: as everybody has it), on some of our relations."""

    through: str
    relations: tuple[str, ...]


_ROLE = """
SELECT role.rolsuper, role.rolname = owner.rolname, owner.rolname
FROM pg_roles AS role
CROSS JOIN (SELECT pg_get_userbyid(relowner) AS rolname FROM pg_class WHERE oid = 'public.calls'::regclass) AS owner
WHERE role.rolname = %s
"""
_RELATIONS = """
SELECT relnamespace::regnamespace::text, relname FROM pg_class
WHERE relkind IN ('r', 'v', 'm', 'p', 'f')
  AND (relnamespace::regnamespace::text IN ('masked', 'sync')
       OR relnamespace::regnamespace::text = 'public' AND relname = ANY (%s))
ORDER BY 1, 2
"""
# Through which other roles it may read or write a relation of ours, or a column of it; and what it may do as their member.
_INHERITED = """
WITH ours AS (
    SELECT oid, relnamespace::regnamespace::text || '.' || relname AS name, relacl, relowner FROM pg_class
    WHERE relkind IN ('r', 'v', 'm', 'p', 'f')
      AND (relnamespace::regnamespace::text IN ('masked', 'sync')
           OR relnamespace::regnamespace::text = 'public' AND relname = ANY (%(ours)s))
),
given AS (
    SELECT name, acl.grantee FROM ours CROSS JOIN LATERAL aclexplode(relacl) AS acl
    UNION
    SELECT name, acl.grantee FROM ours JOIN pg_attribute ON attrelid = ours.oid CROSS JOIN LATERAL aclexplode(attacl) AS acl
    UNION
    SELECT name, relowner FROM ours
    UNION
    SELECT name, reader.oid FROM ours CROSS JOIN pg_roles AS reader
    WHERE reader.rolname IN ('pg_read_all_data', 'pg_write_all_data')
    UNION
    SELECT name, super.oid FROM ours CROSS JOIN pg_roles AS super WHERE super.rolsuper
)
SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END, array_agg(DISTINCT name ORDER BY name)
FROM given
JOIN pg_roles AS role ON role.rolname = %(role)s
WHERE grantee = 0 OR grantee <> role.oid AND pg_has_role(role.oid, grantee, 'MEMBER')
GROUP BY 1
ORDER BY 1
"""

_IS_A_CLUSTER = "SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
_IS_DISTRIBUTED = "SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'public.calls'::regclass)"
# What the views in `public` are made of, and stands in `sync`: the salt too, since some of them leave out keys that others show.
_BEHIND = """
WITH RECURSIVE known (relation) AS (
    SELECT oid FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace AND relname = ANY (%s)
    UNION
    SELECT refobjid FROM known
    JOIN pg_rewrite ON ev_class = relation
    JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass
)
SELECT relname FROM known JOIN pg_class ON pg_class.oid = relation AND relnamespace = 'sync'::regnamespace ORDER BY relname
"""


def grant(database: Database, role: str, rights: Rights) -> list[Inherited]:
    """
    Give the role these rights, take away what it had of ours beyond, and return what it has through other roles.

    Raises UsageError where the role cannot be limited (a superuser, the owner) or does not exist.
    """
    with database.begin() as connection:
        return give(driver_of(connection), role, rights)


def give(session: Session, role: str, rights: Rights) -> list[Inherited]:
    """Do what `grant` says, inside a transaction of somebody else's."""
    owner = _owner(session, role)
    relations = _relations(session)
    _take_all(session, role, owner, relations)
    schema = MASKED if rights.masked else PEOPLES
    _run(session, "GRANT USAGE ON SCHEMA {schema} TO {role}", role, schema=schema)
    for place, name in relations:
        if place == schema:
            _run(session, "GRANT SELECT ON {relation} TO {role}", role, relation=(place, name))
    _for_later(session, "GRANT SELECT ON TABLES TO {role}", role, owner, schema)
    if not rights.masked and _is_distributed(session):
        # A shard is asked as the reader, and not as the owner of the view that leads to it.
        _run(session, "GRANT USAGE ON SCHEMA {schema} TO {role}", role, schema=MACHINE)
        for (name,) in session.execute(_BEHIND, (_ours(),)).fetchall():
            _run(session, "GRANT SELECT ON {relation} TO {role}", role, relation=(MACHINE, name))
    if rights.editor:
        _let_edit(session, role)
    return _inherited(session, role)


def revoke(database: Database, role: str) -> list[Inherited]:
    """Take away every right on our objects that the role itself has; return and raise as `grant` does."""
    with database.begin() as connection:
        session = driver_of(connection)
        owner = _owner(session, role)
        _take_all(session, role, owner, _relations(session))
        return _inherited(session, role)


def _owner(session: Session, role: str) -> str:
    found = session.execute(_ROLE, (role,)).fetchone()
    if found is None:
        raise UsageError(
            f"The database server has no role {role!r}.",
            safe="Nothing was changed.",
            hint=f"Make it first: CREATE ROLE {sql.Identifier(role).as_string(session)} LOGIN PASSWORD '…'",
        )
    is_superuser, is_owner, owner = found
    if is_superuser or is_owner:
        raise UsageError(
            f"The role {role!r} is {'a superuser' if is_superuser else 'the owner of the warehouse'}: it may do everything.",
            safe="Nothing was changed.",
            hint="Give the reader a role of its own.",
        )
    return str(owner)


def _relations(session: Session) -> list[tuple[str, str]]:
    return [(schema, name) for schema, name in session.execute(_RELATIONS, (_ours(),)).fetchall()]


def _ours() -> list[str]:
    """Return what is ours in `public`, where other people may have tables too."""
    return [one.name for one in (*METADATA.sorted_tables, *VIEWS) if one.schema is None]


def _take_all(session: Session, role: str, owner: str, relations: Sequence[tuple[str, str]]) -> None:
    for relation in relations:
        _run(session, "REVOKE ALL ON {relation} FROM {role}", role, relation=relation)  # of columns too
    for schema in SCHEMAS:
        _run(session, "REVOKE ALL ON SCHEMA {schema} FROM {role}", role, schema=schema)
        _for_later(session, "REVOKE ALL ON TABLES FROM {role}", role, owner, schema)


def _is_distributed(session: Session) -> bool:
    return session.execute(_IS_A_CLUSTER).fetchone() == (True,) and session.execute(_IS_DISTRIBUTED).fetchone() == (True,)


def _let_edit(session: Session, role: str) -> None:
    _run(session, "GRANT USAGE ON SCHEMA {schema} TO {role}", role, schema=PEOPLES)
    for name in ("people", "numbers"):
        _run(session, "GRANT INSERT, UPDATE, DELETE ON {relation} TO {role}", role, relation=(PEOPLES, name))
    _run(session, "GRANT UPDATE (display_name) ON {relation} TO {role}", role, relation=(PEOPLES, "agents"))


def _for_later(session: Session, what: str, role: str, owner: str, schema: str) -> None:
    """Give or take a right on what later versions will make."""
    begin = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} ").format(sql.Identifier(owner), sql.Identifier(schema))
    session.execute(begin + sql.SQL(what).format(role=sql.Identifier(role)))


def _run(session: Session, what: str, role: str, *, schema: str = "", relation: tuple[str, ...] = ("",)) -> None:
    session.execute(
        sql.SQL(what).format(role=sql.Identifier(role), schema=sql.Identifier(schema), relation=sql.Identifier(*relation))
    )


def _inherited(session: Session, role: str) -> list[Inherited]:
    rows = session.execute(_INHERITED, {"role": role, "ours": _ours()}).fetchall()
    return [Inherited(through, tuple(relations)) for through, relations in rows]
