"""
The version of the warehouse's schema: checking it, migrating it to the newest; and the reporting time zone.

The versions themselves are the files of `migrations/`, which the wheel carries as `etl/migrations`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, text
from sqlalchemy.sql.schema import SchemaItem

from etl import __version__
from etl.errors import SchemaOutdated, UsageError, WarehouseError
from etl.warehouse import jobs
from etl.warehouse.database import Database
from etl.warehouse.failures import RETRY, Locked
from etl.warehouse.tables import MACHINE, METADATA

if TYPE_CHECKING:  # Alembic is slow to import, and only migrations need it
    from alembic.config import Config

_REVISION = re.compile(r'^revision = "(?P<revision>\w+)"$.^down_revision = (?:None|"(?P<before>\w+)")$', re.MULTILINE | re.DOTALL)
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('call-warehouse migration', 0))")
_IMPATIENT = text("SET LOCAL lock_timeout TO '3s'")
_IN_SEQUENCE = text("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
"""
On a cluster, what changes a table or a function after rows were read or written may not follow what went over several sessions
of a node at once. A server without Citus takes the setting and does nothing with it.
"""
_PAUSE = text("SELECT pg_sleep(1)")
_TRIES = 5
_ALEMBIC = Lock()
"""One migration at a time in this process, be they of different databases: what Alembic runs is kept in variables of modules."""


def migrate(database: Database) -> tuple[str | None, str]:
    """
    Bring the schema to the newest version in one transaction and return the versions before and after.

    Does nothing if it is the newest already. If two processes do this at once, the second waits and then finds it done.
    Whoever comes after a session that waits for a strong lock waits behind it. So it waits for seconds only, takes everything
    back, lets the others pass, and tries again, several times.
    Raises WarehouseError if the database cannot be used, is newer than this program, or is held up by another session.
    """
    newest = head()
    before = current(database)
    if before == newest or (before is not None and _is_newer(database, before)):
        with database.begin() as connection:
            connection.execute(_ONE_AT_A_TIME)
            jobs.make(connection)
        return before, before
    for attempt in range(1, _TRIES + 1):
        try:
            return _upgrade(database), newest
        except Locked as locked:
            if attempt == _TRIES:
                locked.safe = "Nothing was changed."
                locked.hint = locked.hint.removesuffix(RETRY) + "Then run again: etl migrate"
                raise
        with database.autocommit() as connection:
            connection.execute(_PAUSE)
    raise AssertionError  # unreachable: the last try returns or raises


def due(database: Database) -> tuple[str | None, list[str]]:
    """
    Return the database's version (None: no warehouse), and the versions that `migrate` would go through, in their order.

    Changes nothing. There are none where the schema is the newest, or of a newer program and compatible with this one.
    Raises WarehouseError if it is newer and not compatible.
    """
    found = current(database)
    if found is not None and _is_newer(database, found):
        return found, []
    versions, steps = _versions(), [head()]
    while (before := versions[steps[-1]]) not in (found, None):
        steps.append(str(before))
    return found, [] if found == steps[0] else steps[::-1]


def _upgrade(database: Database) -> str | None:
    from alembic import command

    with database.begin() as connection:
        connection.execute(_IMPATIENT)
        in_sequence(connection)
        connection.execute(_ONE_AT_A_TIME)
        before = _known(_current(connection))
        with _ALEMBIC:
            command.upgrade(_config(connection), "head")
        jobs.make(connection)
    return before


def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to `revision`, with the data that goes with it (`base`: only the empty schema `sync` stays)."""
    from alembic import command

    with database.begin() as connection:
        connection.execute(_ONE_AT_A_TIME)
        with _ALEMBIC:
            command.downgrade(_config(connection), revision)


def move(connection: Connection, revision: str) -> str | None:
    """
    Bring the schema to a version known to this program, up or down, inside a transaction of somebody else's.

    Returns the version before, None if there was none. Waits for whoever else migrates. Raises WarehouseError if the schema is
    newer than this program.
    """
    from alembic import command

    before = wait_for_others(connection)
    older = before
    while older is not None and older != revision:
        older = _versions()[older]
    with _ALEMBIC:
        (command.downgrade if older == revision != before else command.upgrade)(_config(connection), revision)
    return before


def wait_for_others(connection: Connection) -> str | None:
    """Keep other processes from migrating until this transaction ends, and return the version as `known_version` does."""
    connection.execute(_ONE_AT_A_TIME)
    return _known(_current(connection))


def known_version(connection: Connection) -> str | None:
    """Return the version; None if there is no warehouse. Raises WarehouseError if it is newer than this program."""
    return _known(_current(connection))


def is_known(revision: str) -> bool:
    """Whether this program has the migrations up to a version."""
    return revision in _versions()


def current(database: Database) -> str | None:
    """Return the database's version; None if it holds no warehouse."""
    with database.begin() as connection:
        return _current(connection)


def head() -> str:
    """Return the newest version known to this program."""
    versions = _versions()
    newest = [revision for revision in versions if revision not in versions.values()]
    if len(newest) != 1:
        raise WarehouseError("This installation carries no usable migrations.", hint="Install call-warehouse again.")
    return newest[0]


def is_empty(database: Database) -> bool:
    """Whether the database holds no warehouse yet."""
    return current(database) is None


def require_newest(database: Database) -> None:
    """
    Raise an error with what to do unless this program works on the schema: on its own version, or a compatible one.

    An older one is a SchemaOutdated; anything else a WarehouseError.
    """
    found = current(database)
    if found is not None and _is_newer(database, found):
        return
    if found is None:
        raise WarehouseError(
            f"The database at {database.address} holds no warehouse yet.",
            safe="Nothing was changed.",
            hint="Run: etl sync, which makes it. If calls were synced before, this is another database: check warehouse.url and "
            "warehouse.data_dir.",
        )
    if found != head():
        raise SchemaOutdated(
            f"The warehouse at {database.address} has version {found}; this program works on {head()}.",
            safe="Nothing was changed.",
            hint="Run: etl migrate",
        )


def differences(database: Database) -> list[str]:
    """Return the differences between this program's tables and those of the database, ignoring other people's tables."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with database.begin() as connection:
        settings = dict(comparison())
        context = MigrationContext.configure(connection, opts=settings)
        return [str(found) for found in compare_metadata(context, METADATA)]


def reporting_timezone(database: Database) -> str:
    """Return the name of the time zone whose midnight ends a day in `calls.day`."""
    with database.begin() as connection:
        return zone_of(connection)


def zone_of(connection: Connection) -> str:
    """Return what `reporting_timezone` does, inside a transaction of somebody else's."""
    return str(connection.execute(text("SELECT sync.reporting_timezone()")).scalar_one())


def set_reporting_timezone(database: Database, zone: str) -> None:
    """
    Set the time zone whose midnight ends a day in `calls.day`; setting the current one does nothing.

    Raises UsageError if the zone is unknown here or to the server, or if calls are held: their days are stored in the rows.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"There is no time zone named '{zone}'.",
            safe="Nothing was changed.",
            hint="Write warehouse.reporting_timezone like Europe/Berlin.",
        ) from None
    with database.begin() as connection:
        take_on_timezone(connection, zone)


def take_on_timezone(connection: Connection, zone: str) -> None:
    """Do what `set_reporting_timezone` says, inside a transaction of somebody else's, who has seen to the zone's being one."""
    if zone_of(connection) == zone:
        return
    in_sequence(connection)
    connection.execute(text("LOCK TABLE calls IN SHARE ROW EXCLUSIVE MODE"))  # no page may commit meanwhile
    present = zone_of(connection)
    require_zone(connection, zone)
    if connection.execute(text("SELECT EXISTS (SELECT 1 FROM calls)")).scalar_one():
        raise UsageError(
            f"The warehouse holds calls already, whose days are those of {present}, not of {zone}.",
            safe="Nothing was changed.",
            hint="Set warehouse.reporting_timezone back, or have all days and roll-ups made anew: etl rollups rebuild",
        )
    _replace(connection, zone)


def in_sequence(connection: Connection) -> None:
    """Let this transaction reach each node of a cluster over one session, so that it may change tables, rows and functions."""
    connection.execute(_IN_SEQUENCE)


def replace_reporting_timezone(connection: Connection, zone: str) -> None:
    """
    Replace the time zone in this transaction, whose caller makes the days and roll-ups of held calls anew.

    Raises UsageError if the zone is unknown to the server.
    """
    require_zone(connection, zone)
    _replace(connection, zone)


def require_zone(connection: Connection, zone: str) -> None:
    """Raise UsageError unless the server knows the time zone."""
    known = text("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = :zone)")
    if not connection.execute(known, {"zone": zone}).scalar_one():
        raise UsageError(
            f"The database server knows no time zone named '{zone}'.",
            safe="Nothing was changed.",
            hint="Choose a name that `SELECT name FROM pg_timezone_names` lists on that server.",
        )


def _replace(connection: Connection, zone: str) -> None:
    quoted = connection.execute(text("SELECT quote_literal(:zone)"), {"zone": zone}).scalar_one()
    connection.exec_driver_sql(
        "CREATE OR REPLACE FUNCTION sync.reporting_timezone() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        f"RETURN {quoted}::text".replace("%", "%%")
    )


def prepare(connection: Connection) -> None:
    """Create the schema in which the version is stored, if it is missing (for `migrations/env.py`)."""
    if connection.execute(text("SELECT to_regnamespace(:name) IS NULL"), {"name": MACHINE}).scalar_one():
        connection.exec_driver_sql(f"CREATE SCHEMA {MACHINE}")


def comparison() -> Mapping[str, Any]:
    """Return Alembic's options for comparing our tables, and only ours, in both schemas (for `migrations/env.py`)."""
    return {
        "target_metadata": METADATA,
        "version_table": "alembic_version",
        "version_table_schema": MACHINE,
        "include_schemas": True,
        "include_name": _in_our_schemas,
        "include_object": _ours,
        "compare_type": True,
        "compare_server_default": True,
        "transaction_per_migration": False,
    }


def _in_our_schemas(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
    return kind != "schema" or name in (None, MACHINE)


def _ours(item: SchemaItem, name: str | None, kind: str, _reflected: object, _match: SchemaItem | None) -> bool:
    # A table in `public` that none of our versions knows belongs to somebody else.
    return kind != "table" or getattr(item, "schema", None) == MACHINE or name in METADATA.tables


def _current(connection: Connection) -> str | None:
    there = text("SELECT to_regclass(:name) IS NOT NULL")
    if not connection.execute(there, {"name": "sync.alembic_version"}).scalar_one():
        return None
    found = connection.execute(text("SELECT version_num FROM sync.alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def _is_newer(database: Database, revision: str) -> bool:
    """
    Whether a later program made the schema; it says from which version on programs may still write into it.

    Raises WarehouseError where this program is older than that (`sync.compatible_from`), or the schema does not say.
    """
    if revision in _versions():
        return False
    with database.begin() as connection:
        oldest = None
        if connection.execute(text("SELECT to_regprocedure('sync.compatible_from()') IS NOT NULL")).scalar_one():
            oldest = str(connection.execute(text("SELECT sync.compatible_from()")).scalar_one())
    if oldest is None or _numbered(oldest) > _numbered(__version__):
        raise _too_new(revision, oldest)
    return True


def _numbered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _known(revision: str | None) -> str | None:
    if revision is not None and revision not in _versions():
        raise _too_new(revision, None)
    return revision


def _too_new(revision: str, oldest: str | None) -> WarehouseError:
    at_least = f", which is {oldest} at least (this is {__version__})" if oldest else ""
    return WarehouseError(
        f"The warehouse has version {revision}, which this program does not know: a newer one made it.",
        safe="Nothing was changed.",
        hint=f"Upgrade call-warehouse here to the version that the other machines run{at_least}.",
    )


def _location() -> Path:
    package = Path(__file__).parents[1]
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


def _versions() -> dict[str, str | None]:
    """Return each version with its predecessor. Read from the files: every run asks, and Alembic is slow to import."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((_location() / "versions").glob("*.py")))
    return {found["revision"]: found["before"] for found in map(_REVISION.search, texts) if found is not None}


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_location()).replace("%", "%%"))
    return config
