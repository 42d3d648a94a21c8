"""Converts a database's address, with one host or several, for SQLAlchemy's engine, for libpq's programs and for messages."""

from __future__ import annotations

import re
from difflib import get_close_matches

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from etl.errors import UsageError

_DRIVERS = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_SEVERAL = re.compile(r"(?P<before>[\w+]+://(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?@]+,[^/?@]+)(?P<after>(?:[/?].*)?)")
_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_VARIABLES = {
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "gssencmode": "PGGSSENCMODE",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "password": "PGPASSWORD",
    "port": "PGPORT",
    "require_auth": "PGREQUIREAUTH",
    "service": "PGSERVICE",
    "sslcert": "PGSSLCERT",
    "sslcrl": "PGSSLCRL",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "user": "PGUSER",
}
_HINT = "Write warehouse.url as postgresql+psycopg://user@host:5432/database, or leave it out to use the embedded server."
_ESCAPES = " In a user or password write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23 and % as %25."


def parse_url(url: str) -> URL:
    """
    Return the address in the form that SQLAlchemy's engine takes; `postgresql://`, `postgres://` and `postgresql+psycopg://` are
    accepted.

    Several hosts (`host1:5432,host2:5432`) become options, as the engine requires. Raises UsageError, which never shows the
    address, because it may contain a password.
    """
    several = _SEVERAL.fullmatch(url)
    try:
        parsed = make_url(several["before"] + several["after"] if several else url)
    except (ArgumentError, ValueError):
        raise UsageError(
            "The setting warehouse.url is not a database address.", hint=_HINT + _ESCAPES
        ) from None  # the cause shows the address
    if parsed.drivername not in _DRIVERS:
        raise UsageError(
            f"The setting warehouse.url is for '{parsed.drivername}', but the warehouse is a PostgreSQL database.", hint=_HINT
        )
    if "@" in (parsed.host or ""):
        raise UsageError(
            "The setting warehouse.url holds a second @, so where its password ends is not clear.",
            hint="Write an @ inside the user or the password as %40 (and a % as %25).",
        )
    parsed = parsed.set(drivername="postgresql+psycopg")
    listed = parsed.query.get("host")
    hosts = several["hosts"] if several else ",".join(listed) if isinstance(listed, tuple) else None
    _check_options(parsed)
    return parsed.update_query_dict(_hosts(hosts)) if hosts else parsed


def _check_options(url: URL) -> None:
    """Raise UsageError for an option that libpq does not know. It is named only by the known one that it resembles."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name in url.query:
        if name in known:
            continue
        # What stands behind a ? may be the rest of a password that was not escaped.
        near = ["sslmode"] if name.lower() == "ssl" else get_close_matches(name.lower(), known, n=1, cutoff=0.8)
        raise UsageError(
            f"The setting warehouse.url has an option {name!r}, which PostgreSQL does not know."
            if near
            else "The setting warehouse.url has an option that PostgreSQL does not know.",
            hint=f"Did you mean {near[0]}?"
            if near
            else "Options stand at its end, like ?sslmode=require or ?target_session_attrs=read-write." + _ESCAPES,
        )
    if not str(url.query.get("connect_timeout", "0")).isdecimal():
        raise UsageError(
            "The option connect_timeout of warehouse.url is no number of seconds.", hint="Write it like ?connect_timeout=10"
        )


def shown(url: URL) -> str:
    """Return the address for messages: with its hosts, without its password, and without options, which may contain one."""
    plain = url.set(query={})
    hosts, ports = (str(url.query.get(name, "")).split(",") for name in ("host", "port"))
    named = [host for host in hosts if host and not host.startswith("/")]
    if not named:
        return plain.render_as_string(hide_password=True)
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    told = ",".join(_told(host, port) for host, port in zip(hosts, ports, strict=True))
    before, mark, after = plain.set(host="hosts", port=None).render_as_string(hide_password=True).rpartition("hosts/")
    return f"{before}{told}/{after}" if mark else told


def _told(host: str, port: str) -> str:
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")


def libpq_environment(conninfo: str) -> dict[str, str]:
    """Return environment variables for psql and similar programs. Other users can read a command line, but not these."""
    given = conninfo_to_dict(conninfo)
    return {_VARIABLES[key]: str(value) for key, value in given.items() if key in _VARIABLES and value is not None}


def _hosts(text: str) -> dict[str, str]:
    found = [_HOST.fullmatch(part.strip()) for part in text.split(",")]
    if None in found:
        raise UsageError(
            "The setting warehouse.url names several hosts, and one of them is not understood.",
            hint="Write them as postgresql+psycopg://user@host1:5432,host2:5432/database?target_session_attrs=read-write",
        )
    named = [part for part in found if part is not None]
    return {
        "host": ",".join(part["host"].strip("[]") for part in named),
        "port": ",".join(part["port"] or "5432" for part in named),
    }


def for_superset(url: str, role: str) -> str:
    """
    Return the address by which Superset reads as `role`; it asks for the password where its own mask stands for one.

    Options that are a secret of ours, or name a file of this machine, are left out.
    """
    parsed = parse_url(url).difference_update_query(["user", "password", "passfile", "sslpassword", "sslkey", "sslcert"])
    mask = "XXXXXXXXXX" if parsed.host else None
    return parsed.set(drivername="postgresql+psycopg2", username=role, password=mask).render_as_string(hide_password=False)
