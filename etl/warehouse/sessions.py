"""What every session sets for itself before its first use, and how a proxy that shares sessions out is recognised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection as Session

_PINNED = {
    "search_path": "public",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",  # what the driver reads
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "off",  # a policy that would hide rows is an error, and not a warehouse that seems to hold fewer
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "lock_timeout": "5min",
    "idle_in_transaction_session_timeout": "60s",  # what a stopped process holds is free again for its successor
}
"""What every session relies on, whatever the database or the role sets."""

_NO_TIMEOUT = b"SET statement_timeout TO 0"
_SETTINGS = "; ".join(f"SET {name} TO '{value}'" for name, value in _PINNED.items()).encode()
_SINCE = {140000: b"SET idle_session_timeout TO 0", 170000: b"SET transaction_timeout TO 0"}
"""What can be set from these versions on; an older server is refused later, in words."""

_KEEP_WHAT_IS_COMMITTED = b"""
SELECT set_config('synchronous_commit', CASE given WHEN 'off' THEN 'on' ELSE given END, false)
FROM current_setting('synchronous_commit') AS given
"""
"""
A run builds on what it has committed. Where the database or the role lets the server forget that in a crash, it would claim pages
that are gone; a setting that promises more stays.
"""

_NOTICE_ABSENCE = b"SET client_connection_check_interval TO '5s'"
_TRIES = 10
_LOOKS = 3
_PRIVACY = b"""
SELECT s.ssl, s.version, coalesce(g.encrypted, false)
FROM pg_stat_ssl s LEFT JOIN pg_stat_gssapi g USING (pid)
WHERE pid = pg_backend_pid()
"""
_ASKED = b"SELECT pg_backend_pid()"
_BEGIN_LASTING = b"BEGIN; SET LOCAL idle_in_transaction_session_timeout TO 0"
"""In one journey, since a timeout of the database or the role may be shorter than two. It ends with the transaction."""


def set_up(session: Session) -> None:
    """
    Set what a session relies on; it must be in autocommit.

    A `statement_timeout` of the database or the role may be so short that it cancels even the statement that lifts it: that one
    is tried several times. Where the system can tell, the server ends what it does for a client that is gone.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            session.execute(_NO_TIMEOUT)
            break
        except psycopg.errors.QueryCanceled:
            if attempt == _TRIES:
                raise
    version = session.info.server_version
    known = (statement for since, statement in _SINCE.items() if version >= since)
    session.execute(b"; ".join((_SETTINGS, *known, _KEEP_WHAT_IS_COMMITTED)))  # one journey to the server
    # Some systems cannot tell, and take no value but 0; older servers do not know it.
    with suppress(psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
        session.execute(_NOTICE_ABSENCE)


def are_shared_out(connect: Callable[[], Session]) -> bool:
    """
    Whether sessions opened by `connect` (in autocommit) are shared out by the transaction; nothing is set or locked in them.

    Such a pooler reassigns the server's session as soon as a transaction ends. So while a second transaction is open, the first
    client either finds its session in use by the second or is given another one. A pooler that hands out its sessions in turn
    may give the first its own one again by chance, and not every time.
    """
    with connect() as first, connect() as second:
        mine = first.execute(_ASKED).fetchall()
        # Who speaks to the server itself was told its process when it connected; a pooler makes a number up.
        looks = 1 if mine == [(first.info.backend_pid,)] else _LOOKS
        for _ in range(looks):
            second.execute(_BEGIN_LASTING)
            try:
                others = second.execute(_ASKED).fetchall()
                if others == mine or first.execute(_ASKED).fetchall() != mine:
                    return True
            finally:
                second.execute(b"ROLLBACK")
    return False


def privacy_of(session: Session) -> str:
    """Return in words whether somebody between could read along."""
    if session.info.host.startswith("/"):
        return "by a socket of this machine"
    row: Any = session.execute(_PRIVACY).fetchone()
    secured, version, by_gss = row
    return f"encrypted with {version}" if secured else "encrypted by GSSAPI" if by_gss else "not encrypted"
