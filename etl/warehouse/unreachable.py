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


LOST = Meaning(
    "The connection to the database at {address} was lost.",
    "Check that the server runs (etl check) and, if not, what its log says; the next run continues.",
)
BUSY = Meaning(
    "The database server at {address} accepts no more connections.", "Raise its max_connections, or close other clients."
)
_LIMIT = 'Up to twenty-one are opened. Let an administrator run: ALTER {kind} "{name}" CONNECTION LIMIT -1; or set a higher one.'
CREATE = (
    "Correct the name in warehouse.url, or create it, with the names that stand there: CREATE DATABASE name OWNER user "
    "ENCODING 'UTF8' TEMPLATE template0;"
)
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
            CREATE,
        ),
    ),
    (r"closed the connection unexpectedly|connection reset|terminating connection", LOST),
    (r"too many (clients|connections)|connection slots|connection limit", BUSY),
    (
        r"starting up|shutting down|recovery mode|not accepting connections",
        Meaning("The server at {address} is starting, stopping or recovering.", "Try again in a moment."),
    ),
)
SERVERS_OWN = re.compile(
    r"^(- host: .*?: (?=connection ))?"
    r"connection (.*?FATAL:\s+|is bad: (connection to server .* failed: )?"
    r"|failed: connection to server .* failed: (?=session|server))"
)
"""What libpq, and the driver where there are several hosts, write before the server's message when a connection is refused."""

NO_CONNECTION = Meaning("The database at {address} cannot be reached: {said}.", "Check warehouse.url and the server.")


def connecting(words: str) -> bool:
    """Whether an error's words are those of a failed attempt to connect, and not of a session that was lost."""
    return (
        re.search(r"connection (failed|to server|timeout|is bad)|timed out|resolve host|host name", words, re.IGNORECASE)
        is not None
    )
