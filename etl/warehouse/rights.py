"""
What the role of `warehouse.url` may not do, whose objects are in the way, and who ordered that nothing be written.

The server's errors name the first object that was refused. Here everything that is missing is found at once, as statements with
the real names, which help if they are run as they stand. The session that asks may lack every right: it reads what all may see.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection as Session

from etl.errors import WarehouseError
from etl.warehouse.failures import KEPT, InTheWay, NotAllowed, SchemaMissing, TakesNoWrites
from etl.warehouse.tables import MACHINE, METADATA
from etl.warehouse.views import VIEWS

_RELATIONS = [(table.schema or "public", table.name) for table in (*METADATA.tables.values(), *VIEWS)]
_ASKED = {
    "schemas": [schema for schema, _ in _RELATIONS] + [MACHINE],
    "names": [name for _, name in _RELATIONS] + ["alembic_version"],
    "public": [name for schema, name in _RELATIONS if schema == "public"],
    "machine": MACHINE,
}

_OWNER = """
SELECT quote_ident(rolname), rolsuper, pg_has_role(relowner, 'USAGE'), quote_ident(current_user)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace JOIN pg_roles ON pg_roles.oid = relowner
WHERE nspname = %(machine)s AND relname = 'alembic_version'
"""
_TO_USE = """
SELECT format('GRANT TEMPORARY ON DATABASE %%I TO %%I;', current_database(), current_user)
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
UNION ALL
SELECT format('GRANT USAGE ON SCHEMA %%I TO %%I;', nspname, current_user)
FROM pg_namespace
WHERE nspname IN ('public', %(machine)s) AND NOT has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT format('GRANT %%s ON %%s TO %%I;', wanted, string_agg(relation, ', ' ORDER BY relation), current_user)
FROM (
    SELECT format('%%I.%%I', nspname, relname) AS relation, string_agg(wanted, ', ' ORDER BY place) AS wanted
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS ours (nspname, relname) USING (nspname, relname)
    CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) WITH ORDINALITY AS rights (wanted, place)
    WHERE (place = 1 OR relkind <> 'v' AND relname <> 'alembic_version') AND NOT has_table_privilege(pg_class.oid, wanted)
    GROUP BY 1
) AS missing
GROUP BY wanted
UNION ALL
SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I;', pg_proc.oid::regprocedure, current_user)
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname = %(machine)s AND has_schema_privilege(pronamespace, 'USAGE') AND NOT has_function_privilege(pg_proc.oid, 'EXECUTE')
"""
_TO_MAKE = """
SELECT format('CREATE SCHEMA public; GRANT CREATE, USAGE ON SCHEMA public TO %%I;', current_user)
WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')
UNION ALL
SELECT format('GRANT %%s ON DATABASE %%I TO %%I;', string_agg(wanted, ', '), current_database(), current_user)
FROM unnest('{CREATE,TEMPORARY}'::text[]) AS wanted
WHERE NOT has_database_privilege(current_database(), wanted)
  AND (wanted = 'TEMPORARY' OR (SELECT count(*) FROM pg_namespace WHERE nspname IN (%(machine)s, 'jobs')) < 2)
HAVING count(*) > 0
UNION ALL
SELECT format('GRANT %%s ON SCHEMA %%I TO %%I;', string_agg(wanted, ', '), nspname, current_user)
FROM pg_namespace CROSS JOIN unnest('{CREATE,USAGE}'::text[]) AS wanted
WHERE nspname IN ('public', %(machine)s) AND NOT has_schema_privilege(pg_namespace.oid, wanted)
GROUP BY nspname
"""
_TAKEN = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'public' AND relname = ANY(%(public)s)
UNION
SELECT typname FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
WHERE nspname = 'public' AND typname = ANY(%(public)s)
ORDER BY 1
"""
_READ_ONLY = """
SELECT pg_is_in_recovery(), source, coalesce(
    (
        SELECT 'ALTER ' || CASE
            WHEN setdatabase <> 0 AND setrole <> 0 THEN format('ROLE %%I IN DATABASE %%I', session_user, current_database())
            WHEN setdatabase <> 0 THEN format('DATABASE %%I', current_database())
            WHEN setrole <> 0 THEN format('ROLE %%I', session_user)
            ELSE 'ROLE ALL'
        END || ' RESET default_transaction_read_only;'
        FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
          AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
          AND setting LIKE 'default_transaction_read_only=%%'
        ORDER BY (setrole <> 0)::int * 2 + (setdatabase <> 0)::int * (CASE WHEN setrole <> 0 THEN 2 ELSE 1 END) DESC
        LIMIT 1
    ),
    'ALTER SYSTEM SET default_transaction_read_only = off; SELECT pg_reload_conf();'
)
FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on'
UNION ALL
SELECT true, '', '' WHERE pg_is_in_recovery()
"""
"""The setting of the role in the database counts before that of the role, of the database, of the server."""


def explained(error: WarehouseError, *, asking: Session, address: str) -> WarehouseError:
    """Return the error with what helps, found out by `asking`; the error itself where nothing is found."""
    if isinstance(error, TakesNoWrites):
        return no_writes(asking, address) or error
    if isinstance(error, InTheWay):
        error.hint = _a_database_of_its_own(asking)
    if isinstance(error, NotAllowed | SchemaMissing) and (missing := _missing(asking)):
        lacks = "it lacks rights on the warehouse"
        happened = (
            error.happened if isinstance(error, NotAllowed) else f"The database user may not do this at {address}: {lacks}."
        )
        return NotAllowed(happened, safe=error.safe or KEPT, hint=missing)
    return error


def require_rights(asking: Session, address: str, *, to_change: bool) -> None:
    """
    Raise WarehouseError, with the statements that help, where the role lacks a right that it needs.

    `to_change` asks for what `etl migrate` needs too: to make the warehouse where there is none, and to alter an older one.
    """
    owner = _owner(asking)
    if hint := _missing(asking) if to_change else _granting(_statements(asking, _TO_USE)):
        raise NotAllowed(f"The database user lacks rights on the warehouse at {address}.", safe="Nothing was changed.", hint=hint)
    if owner is None and (taken := _statements(asking, _TAKEN)):
        raise InTheWay(
            f"Something else in the database at {address} already has names that the warehouse needs: {', '.join(taken)}.",
            safe="Nothing was changed.",
            hint=_a_database_of_its_own(asking),
        )


def no_writes(asking: Session, address: str) -> WarehouseError | None:
    """Say why what is written at `address` is refused: by a standby, or by whose setting; None where it is not known."""
    row: Any = asking.execute(_READ_ONLY, _ASKED).fetchone()
    if row is None:
        return None
    standby, source, statement = row
    happened, hint = (
        ("it is a standby.", "Set warehouse.url to the primary server.")
        if standby
        else (
            "default_transaction_read_only is on.",
            f"If that is not meant for the warehouse, let an administrator run: {statement}",
        )
        if source != "client"
        else ("the connection's own options say so.", "Take default_transaction_read_only out of warehouse.url or PGOPTIONS.")
    )
    return TakesNoWrites(f"The server at {address} takes no writes: {happened}", safe="Nothing was changed.", hint=hint)


def _missing(asking: Session) -> str:
    """Return what helps a role that was refused something: grants, or the role that owns the warehouse; else nothing."""
    owner = _owner(asking)
    if owner is None:
        return _granting(_statements(asking, _TO_MAKE))
    name, is_superuser, is_ours, user = owner
    if grants := _statements(asking, _TO_USE):
        return _granting(grants)
    if not is_ours:
        grant = "" if is_superuser else f", or let an administrator run: GRANT {name} TO {user};"
        return f"Run it with the role that owns the warehouse, {name}, in warehouse.url{grant}"
    return _granting(_statements(asking, _TO_MAKE))


def _owner(asking: Session) -> tuple[str, bool, bool, str] | None:
    """Return who owns the warehouse, whether that is a superuser, whether this role may act for it, and this role."""
    row: tuple[str, bool, bool, str] | None = asking.execute(_OWNER, _ASKED).fetchone()
    return row


def _granting(statements: list[str]) -> str:
    return f"Let an administrator run in this database: {' '.join(statements)}" if statements else ""


def _statements(asking: Session, query: LiteralString) -> list[str]:
    return [str(found) for (found,) in asking.execute(query, _ASKED).fetchall()]


def _a_database_of_its_own(asking: Session) -> str:
    made = "SELECT format('CREATE DATABASE calls OWNER %I ENCODING ''UTF8'' TEMPLATE template0;', current_user)"
    (statement,) = [str(found) for (found,) in asking.execute(made).fetchall()]
    return f"Give the warehouse a database of its own and name it in warehouse.url: {statement}"
