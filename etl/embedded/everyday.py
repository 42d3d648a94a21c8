"""
The role that everybody uses on the embedded server: it owns the databases and is no superuser.

The role with which a server's data is made stays a superuser for ever, and owns what it makes in a way that `REASSIGN OWNED`
refuses to change. So what it made is given to another role, object by object; then the two exchange their names. `pg_hba.conf`
lets in one name alone, hence nobody can connect as a superuser any more (`docs/decisions/0037-no-superuser-every-day.md`).
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import Connection as Session
from psycopg.sql import SQL, Identifier

KEEPER = "warehouse_keeper"
"""What the superuser is called from then on."""

_NEXT = "warehouse_next"
_MOMENT = "warehouse_for_a_moment"
_FIRST = 10
"""The number of the role with which a server's data is made, in every server (BOOTSTRAP_SUPERUSERID)."""

_OWNERS = {
    "pg_namespace": "nspowner",
    "pg_class": "relowner",
    "pg_type": "typowner",
    "pg_proc": "proowner",
    "pg_collation": "collowner",
    "pg_conversion": "conowner",
    "pg_operator": "oprowner",
    "pg_opclass": "opcowner",
    "pg_opfamily": "opfowner",
    "pg_ts_dict": "dictowner",
    "pg_ts_config": "cfgowner",
    "pg_statistic_ext": "stxowner",
    "pg_largeobject_metadata": "lomowner",
    "pg_foreign_server": "srvowner",
}
"""Where each kind of object that a user can own is kept, and the column that says whose it is."""

_OURS = {"pg_namespace": "oid >= 16384 OR nspname = 'public'", "pg_largeobject_metadata": "true"}
"""What of a catalog was not there from the beginning; of the others what has a number from 16384 on."""

_OWNED = " UNION ALL ".join(
    f"SELECT '{catalog.removesuffix('_metadata')}'::regclass AS catalog, oid FROM {catalog} "  # noqa: S608 - words of ours
    f"WHERE {column} = {_FIRST} AND ({_OURS.get(catalog, 'oid >= 16384')})"
    for catalog, column in _OWNERS.items()
)
_STATEMENTS = f"""
SELECT format('ALTER %%s %%s OWNER TO %%I', replace(found.type, 'statistics object', 'statistics'), found.identity, %s::text)
FROM ({_OWNED}) AS owned, pg_identify_object(owned.catalog, owned.oid, 0) AS found
WHERE found.type IN ('schema', 'table', 'view', 'materialized view', 'foreign table', 'sequence', 'type', 'function', 'procedure',
                     'aggregate', 'collation', 'conversion', 'operator', 'operator class', 'operator family',
                     'text search dictionary', 'text search configuration', 'statistics object', 'large object', 'server')
  -- What belongs to another object (a table's own type, a column's sequence) goes with it; an extension keeps what is its own.
  AND NOT EXISTS (
      SELECT FROM pg_depend
      WHERE classid = owned.catalog AND objid = owned.oid AND refobjid <> objid
        AND (deptype IN ('i', 'e') OR deptype = 'a' AND found.type = 'sequence')
  )
"""  # noqa: S608 - as above


def give_up_power(conninfo: Callable[[str], str], *, user: str) -> None:
    """
    Make `user` a role without power that owns every database; does nothing if it is one already.

    `conninfo` gives the address of a database. Nobody else may be connected. Killed at any instant, it is done again by the next
    start: until its last transaction `user` is who it was. Raises psycopg.Error.
    """
    with psycopg.connect(conninfo("template1"), autocommit=True) as session:
        if session.execute("SELECT oid FROM pg_roles WHERE rolname = %s", (user,)).fetchone() != (_FIRST,):
            return
        if session.execute("SELECT FROM pg_roles WHERE rolname = %s", (_NEXT,)).fetchone() is None:
            session.execute(SQL("CREATE ROLE {} LOGIN CREATEDB").format(Identifier(_NEXT)))
        if session.execute("SELECT 1 FROM pg_roles WHERE rolname = 'pg_checkpoint'").fetchone():  # from 15 on
            session.execute(SQL("GRANT pg_checkpoint TO {}").format(Identifier(_NEXT)))
        databases = [str(name) for (name,) in session.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")]
    for database in databases:
        with psycopg.connect(conninfo(database)) as session:
            _give(session, database)
    with psycopg.connect(conninfo("template1")) as session:
        # A role cannot rename itself, so for a moment somebody else does it.
        for statement in (
            SQL("CREATE ROLE {moment} SUPERUSER"),
            SQL("SET SESSION AUTHORIZATION {moment}"),
            SQL("ALTER ROLE {user} RENAME TO {keeper}"),
            SQL("ALTER ROLE {next} RENAME TO {user}"),
            SQL("RESET SESSION AUTHORIZATION"),
            SQL("DROP ROLE {moment}"),
        ):
            session.execute(
                statement.format(
                    moment=Identifier(_MOMENT), user=Identifier(user), keeper=Identifier(KEEPER), next=Identifier(_NEXT)
                )
            )


def _give(session: Session, database: str) -> None:
    for (statement,) in session.execute(_STATEMENTS.encode(), (_NEXT,)).fetchall():
        session.execute(str(statement).encode())
    session.execute(SQL("ALTER DATABASE {} OWNER TO {}").format(Identifier(database), Identifier(_NEXT)))
