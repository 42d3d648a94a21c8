"""What it means that a connection to the database could not be made, by libpq's words, since it gives no code."""

from __future__ import annotations

import re
from typing import NamedTuple

from etl.errors import WarehouseError


class Meaning(NamedTuple):
    """What an error code means to the user; `happened` may contain `{address}` and `{said}`, the server's message."""

    happened: str
    hint: str
    kind: type[WarehouseError] = WarehouseError


LOST = Meaning("The connection to the database at {address} was lost.", "Check that the server runs; the next run continues.")
BUSY = Meaning(
    "The database server at {address} accepts no more connections.", "Raise its max_connections, or close other clients."
)
_LIMIT = 'Up to twenty-one are opened. Let an administrator run: ALTER {kind} "{name}" CONNECTION LIMIT -1; or set a higher one.'
ON_CONNECT: tuple[tuple[str, Meaning], ...] = (
    (
        r'too many connections for role "(?P<name>.*)"',
        Meaning("The role of warehouse.url may open no more connections at {address}: {said}.", _LIMIT.replace("{kind}", "ROLE")),
    ),
    (
        r'too many connections for database "(?P<name>.*)"',
        Meaning("The database at {address} takes no more connections: {said}.", _LIMIT.replace("{kind}", "DATABASE")),
    ),
    (
        r'permission denied for database "(?P<name>.*)"',
        Meaning(
            "The role of warehouse.url may not connect to the database at {address}.",
            'Let an administrator run: GRANT CONNECT ON DATABASE "{name}" TO PUBLIC; or to this role alone.',
        ),
    ),
    (
        r"session is (not )?read-only|server is (not )?in hot standby",
        Meaning(
            "No server at {address} is of the kind that target_session_attrs asks for: {said}.",
            "Name a server that takes writes in warehouse.url, or look why none of those named does.",
        ),
    ),
    (
        r"does not support SSL",
        Meaning(
            "The server at {address} offers no encryption, which sslmode in warehouse.url asks for.",
            "Switch ssl on at the server, or take sslmode out of warehouse.url where nobody can read along.",
        ),
    ),
    (
        r"certificate|SSL error",
        Meaning(
            "The server at {address} could not prove who it is: {said}.",
            "Name in warehouse.url who signed its certificate (sslrootcert=/path/to/ca.pem, or sslrootcert=system), "
            "and the server by the host name that stands in the certificate.",
        ),
    ),
    (
        r"no pg_hba\.conf entry.* no encryption",
        Meaning(
            "The server at {address} refused the user or its password: {said}.",
            "If it takes encrypted sessions only, add ?sslmode=require to warehouse.url; else admit the user in its pg_hba.conf.",
        ),
    ),
    (
        r"no pg_hba\.conf entry",
        Meaning(
            "The server at {address} refused the user or its password: {said}.",
            "Let its pg_hba.conf admit this user to this database.",
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
            "Create it (CREATE DATABASE …), or correct the name in warehouse.url.",
        ),
    ),
    (r"closed the connection unexpectedly|connection reset", LOST),
    (r"too many (clients|connections)|connection slots|connection limit", BUSY),
    (
        r"starting up|shutting down|recovery mode|not accepting connections",
        Meaning("The server at {address} is starting, stopping or recovering.", "Try again in a moment."),
    ),
)
SERVERS_OWN = re.compile(r"^connection .*?FATAL:\s+")
"""What libpq writes before the server's message when a connection is refused."""

NO_CONNECTION = Meaning("The database at {address} cannot be reached: {said}.", "Check warehouse.url and the server.")


def connecting(words: str) -> bool:
    """Whether an error's words are those of a failed attempt to connect, and not of a session that was lost."""
    return (
        re.search(r"connection (failed|to server|timeout|is bad)|timed out|resolve host|host name", words, re.IGNORECASE)
        is not None
    )
