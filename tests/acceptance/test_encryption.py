"""The way to the database: whether it is encrypted, which of several hosts answers, and what is read where that fails."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest
from sqlalchemy import make_url

from etl.errors import WarehouseError
from etl.warehouse.database import Database
from tests.acceptance.process import execute
from tests.acceptance.server import OwnServer


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with closing(create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def programs() -> Path:
    """Give the programs of a PostgreSQL that was built with OpenSSL; the wheel's was not."""
    asked = shutil.which("pg_config")
    folder = (
        Path(subprocess.run([asked, "--bindir"], check=True, capture_output=True, text=True).stdout.strip()) if asked else Path()
    )
    if not asked or not (folder / "postgres").exists() or b"SSL is not supported" in (folder / "postgres").read_bytes():
        pytest.skip("needs a PostgreSQL of the system that was built with OpenSSL")
    return folder


@pytest.fixture
def secured(programs: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Give the address of a server on loopback that offers encryption, and the authority that signed its certificate."""
    port = free_port()
    with OwnServer(programs, options=("listen_addresses=127.0.0.1", f"port={port}")) as server:
        key, certificate = server.data / "server.key", server.data / "server.crt"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
        subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        server.own(key, certificate)
        authority = tmp_path / "ca.pem"
        shutil.copy(certificate, authority)
        execute(server.url(), "ALTER SYSTEM SET ssl = on")
        execute(server.url(), "SELECT pg_reload_conf()")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres", authority


def failure(url: str) -> WarehouseError:
    """Return what is said where a database cannot be reached."""
    with pytest.raises(WarehouseError) as caught, Database(url) as database, database.begin():
        pass
    return caught.value


def test_an_encrypted_session(secured: tuple[str, Path]) -> None:
    """The version of the protocol is named, with proof of the server or without; without encryption that is said."""
    url, authority = secured
    told = {}
    for options in ("sslmode=require", f"sslmode=verify-full&sslrootcert={authority}", "sslmode=disable"):
        with Database(f"{url}?{options}") as database:
            told[options.partition("&")[0]] = database.privacy()
    assert told == {
        "sslmode=require": "encrypted with TLSv1.3",
        "sslmode=verify-full": "encrypted with TLSv1.3",
        "sslmode=disable": "not encrypted",
    }


def test_a_server_that_cannot_prove_who_it_is(secured: tuple[str, Path]) -> None:
    """The setting that is missing is named, and setting it helps."""
    url, authority = secured
    told = failure(f"{url}?sslmode=verify-full&sslrootcert=system")
    assert told.happened.startswith(f"The encrypted connection to {url.replace('://', '+psycopg://')} cannot be made: ")
    assert "?sslrootcert=/path/ca.pem" in told.hint
    with Database(f"{url}?sslmode=verify-full&sslrootcert={authority}") as database:
        assert database.privacy() == "encrypted with TLSv1.3"


def test_a_server_without_encryption(programs: Path) -> None:
    """Where it is asked for, that is what is missing, not the server."""
    port = free_port()
    with OwnServer(programs, options=("listen_addresses=127.0.0.1", f"port={port}")):
        told = failure(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require")
    address = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    assert (told.happened, told.hint) == (
        f"The server at {address} does not offer encryption, and warehouse.url demands it.",
        "Let its administrator set ssl = on; or, where nobody can listen on the way to it, write ?sslmode=prefer.",
    )


def test_no_host_that_takes_writes(database_url: str, server_url: str) -> None:
    """With `target_session_attrs=read-write` and a database set to read-only, it is not the server that is missing."""
    url = make_url(database_url)
    execute(database_url, f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = on')
    several = url.set(query={"host": f"/nowhere,{url.query['host']}", "port": "5432,5432", "target_session_attrs": "read-write"})
    told = failure(several.render_as_string(hide_password=False))
    assert told.happened.startswith(f"No server at postgresql+psycopg://postgres@/{url.database} is of the kind that ")
    assert told.happened.endswith("session is read-only.")
    execute(server_url, f'ALTER DATABASE "{url.database}" RESET ALL')
    with Database(several.render_as_string(hide_password=False)) as database:
        assert database.privacy() == f"by a socket of this machine, now at {url.query['host']}:5432"
