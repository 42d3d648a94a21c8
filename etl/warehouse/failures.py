"""
The one place where errors of Postgres, psycopg and SQLAlchemy become a `WarehouseError` that tells the user what to do.

The server's messages may quote values of a row. So only the five-character code of an error is shown, and its message only if
the code's class implies that it names objects, not data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from etl.errors import Collided, WarehouseError
from etl.warehouse.waiting import Blocker

KEPT = "What was committed before stays."


class DataRefused(WarehouseError):
    """The database refuses a value; `etl.warehouse` looks for the record that holds it."""

    code = "database_refused"


class SchemaMissing(WarehouseError):
    """The tables are missing, or differ from what this version of the program expects."""

    code = "schema_missing"


class Locked(WarehouseError):
    """Another session holds a lock for longer than this one waits."""


class Meaning(NamedTuple):
    """What an error code means to the user; `happened` may contain `{address}` and `{said}`, the server's message."""

    happened: str
    hint: str
    kind: type[WarehouseError] = WarehouseError


RETRY = "Nothing needs mending: the next run continues where this one stopped."
_LOST = Meaning(
    "The connection to the database at {address} was lost.",
    "Check that the server runs (etl check) and, if not, what its log says; the next run continues.",
)
_MIGRATE = Meaning(
    "The tables of the warehouse at {address} are missing or of another version ({said}).", "Run: etl migrate", SchemaMissing
)
_REFUSED = Meaning(
    "The database at {address} refuses a value of a record ({code}).", "The record is kept as rejected.", DataRefused
)
_RIGHTS = Meaning(
    "The database user may not do this at {address}: {said}.",
    "Let an administrator run: GRANT CREATE ON DATABASE <database> TO <user>; GRANT CREATE, USAGE ON SCHEMA public TO <user>; "
    "or make the user the owner of the database.",
)
_IN_THE_WAY = Meaning(
    "Something else in the database at {address} already has a name that the warehouse needs: {said}.",
    "Give the warehouse a database of its own: CREATE DATABASE calls ENCODING 'UTF8' TEMPLATE template0; and name it in "
    "warehouse.url.",
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
_BUSY = Meaning(
    "The database server at {address} accepts no more connections.", "Raise its max_connections, or close other clients."
)
_DAMAGED = Meaning(
    "The database server at {address} reports damaged or unreadable storage ({code}).",
    "Look into the server's log before anything else.",
)
_OTHER = Meaning(
    "The database at {address} failed ({code}).",
    "Appendix A of PostgreSQL's manual says what the code means. If the next run meets it again, report it with this text.",
)
_OURS = Meaning(
    "The database at {address} was not used as it should be ({code}).",
    "Nothing of yours is wrong: please report it with this text and what you ran.",
)

_CREATE = (
    "Correct the name in warehouse.url, or create it, with the names that stand there: CREATE DATABASE name OWNER user "
    "ENCODING 'UTF8' TEMPLATE template0;"
)

_BY_CODE: dict[str, Meaning] = {
    "25006": Meaning("The server at {address} takes no writes: it is read-only.", "Set warehouse.url to the primary server."),
    "28": Meaning(
        "The server at {address} refused the user or its password.",
        "Check the user and the password in warehouse.url (or in PGPASSWORD or ~/.pgpass, where it has none).",
    ),
    "3D000": Meaning("The database at {address} does not exist: {said}.", _CREATE),
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
    "53300": _BUSY,
    "53400": _BUSY,
    "40001": _COLLIDED,
    "40P01": _COLLIDED,
    "40": Meaning("A transaction on the database at {address} was taken back ({code}).", RETRY),
    "55P03": _LOCKED,
    "57014": Meaning(
        "A statement was cancelled on the server at {address}.", "Somebody or a timeout on the server cancelled it. " + RETRY
    ),
    "57P04": Meaning("The database at {address} was dropped.", "Create it again, then run: etl migrate"),
    "57P": _LOST,
    "08": _LOST,
    "25P": _LOST,
    "58": _DAMAGED,
    "XX": _DAMAGED,
    "22": _REFUSED,
    "23": _REFUSED,
    "54": _REFUSED,
}
"""Looked up by the code, else its first three, else its first two characters, the class (PostgreSQL manual, appendix A)."""

_NAMES_OBJECTS_ONLY = frozenset(
    {"42501", "3D000", "3F000", "42P01", "42703", "42704", "42883", "42P06", "42P07", "42701", "42710", "42723"}
)

_ON_CONNECT: tuple[tuple[str, Meaning], ...] = (
    (
        r"invalid \w+ value|invalid port number|invalid integer value|definition of service",
        Meaning("An option in the address {address} cannot be used: {said}.", "Correct it in warehouse.url, or leave it out."),
    ),
    (
        r"does not support SSL",
        Meaning(
            "The server at {address} does not offer encryption, and warehouse.url demands it.",
            "Let its administrator set ssl = on; or, where nobody can listen on the way to it, write ?sslmode=prefer.",
        ),
    ),
    (
        r"client certificate|private key file|could not (load|read) certificate file",
        Meaning(
            "The server at {address} wants a client's certificate that can be used: {said}.",
            "Name it and its key in warehouse.url: ?sslcert=/path/to/cert.pem&sslkey=/path/to/key.pem (mode 0600).",
        ),
    ),
    (
        r"certificate|SSL error",
        Meaning(
            "The encrypted connection to {address} cannot be made: {said}.",
            "In warehouse.url, name the file of the authority that signed the server's certificate, ?sslrootcert=/path/ca.pem, "
            "and the host that the certificate is for. ?sslmode=require alone encrypts without looking who answers.",
        ),
    ),
    (
        r"session is (not )?read-only|server is (not )?in hot standby mode",
        Meaning(
            "No server at {address} is of the kind that target_session_attrs demands: {said}.",
            "Name the primary server among the hosts of warehouse.url, with ?target_session_attrs=read-write.",
        ),
    ),
    (
        r"no pg_hba\.conf entry",
        Meaning(
            "The server at {address} is not set up to let this user in from here: {said}.",
            "Where it says “no encryption”, write ?sslmode=require in warehouse.url; else let its administrator add the user, "
            "the database and this machine to pg_hba.conf.",
        ),
    ),
    (
        r"translate host name|resolve host|name or service not known|nodename nor servname|no address associated",
        Meaning(
            "The host of the database address {address} is unknown.",
            "Correct the host in warehouse.url, or check the name service.",
        ),
    ),
    (
        r"timeout expired|timed out|connection timeout",
        Meaning("The server at {address} does not answer.", "Check host and port in warehouse.url, and any firewall between."),
    ),
    (
        r"connection refused|no such file or directory",
        Meaning("No server answers at {address}.", "Start the server, or correct host and port in warehouse.url."),
    ),
    (
        r"password|authentication failed|role .* (does not exist|is not permitted)",
        Meaning("The server at {address} refused the user or its password: {said}.", "Check user and password in warehouse.url."),
    ),
    (
        r"database .* does not exist",
        Meaning(
            "The database at {address} does not exist: {said}.",
            _CREATE,
        ),
    ),
    (r"closed the connection unexpectedly|connection reset", _LOST),
    (r"too many (clients|connections)|connection slots|connection limit", _BUSY),
    (
        r"starting up|shutting down|recovery mode|not accepting connections",
        Meaning("The server at {address} is starting, stopping or recovering.", "Try again in a moment."),
    ),
)
_SERVERS_OWN = re.compile(r"^connection (.*?FATAL:\s+|is bad: (connection to server .* failed: )?)")
"""What libpq writes before the server's message when a connection is refused."""

_NO_CONNECTION = Meaning("The database at {address} cannot be reached: {said}.", "Check warehouse.url and the server.")


@contextmanager
def translated(address: str, *, blockers: Callable[[], Sequence[Blocker]] = tuple) -> Iterator[None]:
    """
    Raise errors of the database, driver or engine inside the block as `WarehouseError`; let others pass.

    `blockers` tells who held what was waited for, as far as that was seen.
    """
    try:
        yield
    except DBAPIError as error:
        raise _named(_failure(error.orig or error, address), address, blockers) from error.orig
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise _named(_failure(error, address), address, blockers) from error
    except PoolTimeout as error:
        raise WarehouseError(
            f"Every session this program may open at {address} is in use.",
            safe=KEPT,
            hint="The next run continues. If it happens again, sync a few connections at a time: etl sync NAME NAME",
        ) from error
    except SQLAlchemyError as error:
        raise _say(_OURS, address, code=type(error).__name__) from error


def _named(failure: WarehouseError, address: str, blockers: Callable[[], Sequence[Blocker]]) -> WarehouseError:
    if isinstance(failure, Locked) and (found := blockers()):
        failure.happened = f"The database at {address} is held up by {'; and by '.join(map(str, found))}."
        ends = " ".join(one.ending for one in found)
        failure.hint = f"Wait until it is done, or end it as an administrator: {ends} {RETRY}"
    return failure


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
    if error.pgconn is None and not _connecting(words):
        return _say(_LOST, address)
    meaning = next((meaning for pattern, meaning in _ON_CONNECT if re.search(pattern, words, re.IGNORECASE)), _NO_CONNECTION)
    said = words.strip().splitlines()[-1] if words.strip() else None
    return _say(meaning, address, said=said and _SERVERS_OWN.sub("", said))


def _connecting(words: str) -> bool:
    return (
        re.search(r"connection (failed|to server|timeout|is bad)|timed out|resolve host|host name", words, re.IGNORECASE)
        is not None
    )


def _say(meaning: Meaning, address: str, *, code: str = "", said: str | None = None) -> WarehouseError:
    happened = meaning.happened.format(address=address, code=code, said=(said or code or "no reason given").rstrip("."))
    return meaning.kind(happened, safe=KEPT, hint=meaning.hint)
