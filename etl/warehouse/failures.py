"""
The one place where errors of Postgres, psycopg and SQLAlchemy become a `WarehouseError` that tells the user what to do.

The server's messages may quote values of a row. So only the five-character code of an error is shown, and its message only if
the code's class implies that it names objects, not data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from etl.errors import Collided, WarehouseError
from etl.warehouse.unreachable import BUSY, CREATE, LOST, NO_CONNECTION, ON_CONNECT, SERVERS_OWN, Meaning, connecting

KEPT = "What was committed before stays."


class DataRefused(WarehouseError):
    """The database refuses a value; `etl.warehouse` looks for the record that holds it."""

    code = "database_refused"


class SchemaMissing(WarehouseError):
    """The tables are missing, or differ from what this version of the program expects."""

    code = "schema_missing"


class Locked(WarehouseError):
    """Another session holds a lock for longer than this one waits."""


class NotAllowed(WarehouseError):
    """The role lacks a right; `etl.warehouse.rights` looks for which."""


class TakesNoWrites(WarehouseError):
    """Whatever is written is refused; `etl.warehouse.rights` looks for who ordered that."""


class ServerChanged(WarehouseError):
    """Another server stands behind the address than the one at which a run began."""

    code = "server_changed"


class InTheWay(WarehouseError):
    """Somebody else's object has the name of one of ours."""


RETRY = "Nothing needs mending: the next run continues where this one stopped."
_MIGRATE = Meaning(
    "The tables of the warehouse at {address} are missing or of another version ({said}).", "Run: etl migrate", SchemaMissing
)
_REFUSED = Meaning(
    "The database at {address} refuses a value of a record ({code}).", "The record is kept as rejected.", DataRefused
)
_RIGHTS = Meaning(
    "The database user may not do this at {address}: {said}.",
    "Connect as the role that owns the warehouse, or let an administrator grant what is missing.",
    NotAllowed,
)
_IN_THE_WAY = Meaning(
    "Something else in the database at {address} already has a name that the warehouse needs: {said}.",
    "Give the warehouse a database of its own: CREATE DATABASE calls ENCODING 'UTF8' TEMPLATE template0; and name it in "
    "warehouse.url.",
    InTheWay,
)
_FULL = Meaning(
    "The disk of the database server at {address} is full: no space is left.",
    "Make room on the disk that holds its data (the embedded server's is in warehouse.data_dir); the next run continues.",
)
_COLLIDED = Meaning("Another transaction on the database at {address} got in the way.", RETRY, Collided)
_LOCKED = Meaning(
    "Another session on the database at {address} holds a lock for too long.",
    "See whose it is in pg_stat_activity, and end it: SELECT pg_terminate_backend(pid). " + RETRY,
    Locked,
)
_DAMAGED = Meaning(
    "The database server at {address} reports damaged or unreadable storage ({code}).",
    "Look into the server's log before anything else.",
)
_INTERNAL = Meaning(
    "The database at {address} met an error of its own, or one of its nodes did ({code}).",
    "The server's log says which. On a cluster, see whether every node answers: SELECT * FROM citus_check_cluster_node_health();",
)
_OTHER = Meaning(
    "The database at {address} failed ({code}).",
    "Appendix A of PostgreSQL's manual says what the code means. If the next run meets it again, report it with this text.",
)
_OURS = Meaning(
    "The database at {address} was not used as it should be ({code}).",
    "Nothing of yours is wrong: please report it with this text and what you ran.",
)

_BY_CODE: dict[str, Meaning] = {
    "25006": Meaning(
        "The server at {address} takes no writes: it is read-only.", "Set warehouse.url to the primary server.", TakesNoWrites
    ),
    "28": Meaning(
        "The server at {address} refused the user or its password.",
        "Check the user and the password in warehouse.url (or in PGPASSWORD or ~/.pgpass, where it has none).",
    ),
    "3D000": Meaning("The database at {address} does not exist: {said}.", CREATE),
    "42501": _RIGHTS,
    "3F000": _MIGRATE,
    "42P01": _MIGRATE,
    "42703": _MIGRATE,
    "42704": _MIGRATE,
    "42883": _MIGRATE,
    "42P06": _IN_THE_WAY,
    "42P07": _IN_THE_WAY,
    "42701": _IN_THE_WAY,
    "42710": _IN_THE_WAY,
    "42723": _IN_THE_WAY,
    "53100": _FULL,
    "53200": Meaning(
        "The database server at {address} is out of memory.", "Give it more, or lower its work_mem; the next run continues."
    ),
    "53300": BUSY,
    "53400": BUSY,
    "40001": _COLLIDED,
    "40P01": _COLLIDED,
    "40": Meaning("A transaction on the database at {address} was taken back ({code}).", RETRY),
    "55P03": _LOCKED,
    "57014": Meaning(
        "A statement was cancelled on the server at {address}.", "Somebody or a timeout on the server cancelled it. " + RETRY
    ),
    "57P04": Meaning("The database at {address} was dropped.", "Create it again, then run: etl migrate"),
    "57P": LOST,
    "08": LOST,
    "25P": LOST,
    "58": _DAMAGED,
    "XX": _DAMAGED,
    "XX000": _INTERNAL,
    "22": _REFUSED,
    "23": _REFUSED,
    "54": _REFUSED,
}
"""Looked up by the code, else its first three, else its first two characters, the class (PostgreSQL manual, appendix A)."""

_NAMES_OBJECTS_ONLY = frozenset(
    {"42501", "3D000", "3F000", "42P01", "42703", "42704", "42883", "42P06", "42P07", "42701", "42710", "42723"}
)


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise errors of the database, driver or engine inside the block as `WarehouseError`; let others pass."""
    try:
        yield
    except DBAPIError as error:
        raise _failure(error.orig or error, address) from error.orig
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise _failure(error, address) from error
    except PoolTimeout as error:
        raise WarehouseError(
            f"Every session this program may open at {address} is in use.",
            safe=KEPT,
            hint="The next run continues. If it happens again, sync a few connections at a time: etl sync NAME NAME",
        ) from error
    except SQLAlchemyError as error:
        raise _say(_OURS, address, code=type(error).__name__) from error


def _failure(error: BaseException, address: str) -> WarehouseError:
    if not isinstance(error, psycopg.Error):  # a lone surrogate, or a type that the driver cannot send
        return _say(_REFUSED, address, code=type(error).__name__)
    code = error.sqlstate
    if code is None:
        return _without_code(error, address)
    meaning = next((_BY_CODE[prefix] for prefix in (code, code[:3], code[:2]) if prefix in _BY_CODE), _OTHER)
    said = error.diag.message_primary if code in _NAMES_OBJECTS_ONLY else None
    return _say(meaning, address, code=code, said=said)


def _without_code(error: psycopg.Error, address: str) -> WarehouseError:
    """Explain an error without a code: a failed connect, a lost session, a value refused by the driver."""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return _say(_REFUSED, address, code=type(error).__name__)
    if not isinstance(error, psycopg.OperationalError):
        return _say(_OURS, address, code=type(error).__name__)
    words = f"timed out: {error}" if isinstance(error, psycopg.errors.ConnectionTimeout) else str(error)
    if error.pgconn is None and not connecting(words):
        return _say(LOST, address)
    found = ((re.search(pattern, words, re.IGNORECASE), meaning) for pattern, meaning in ON_CONNECT)
    match, meaning = next(((match, meaning) for match, meaning in found if match), (None, NO_CONNECTION))
    if match and (name := match.groupdict().get("name")):
        meaning = meaning._replace(hint=meaning.hint.replace("{name}", name.replace('"', '""')))
    lines = [line for line in words.strip().splitlines() if not line.lstrip().startswith("DETAIL:")]
    return _say(meaning, address, said=SERVERS_OWN.sub("", lines[-1]) if lines else None)


def _say(meaning: Meaning, address: str, *, code: str = "", said: str | None = None) -> WarehouseError:
    happened = meaning.happened.format(address=address, code=code, said=(said or code or "no reason given").rstrip("."))
    return meaning.kind(happened, safe=KEPT, hint=meaning.hint)
