"""Real TLS on loopback: whose certificates are accepted, and what is said of the others."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest

from etl.errors import ProviderUnavailable
from etl.http.client import Client
from etl.http.tls import shared, trusted

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")

Connect = Callable[..., Client]
BODY = b'[{"id": 1}]'
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """An authority of the test's own, and the certificates that it signs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._openssl("req", "-x509", *KEY, "-days", "30", "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file)

    @property
    def file(self) -> str:
        return str(self.folder / f"{self.name}.pem")

    @property
    def key(self) -> str:
        return str(self.folder / f"{self.name}.key")

    def context(self, names: str, *, days: int = 30) -> ssl.SSLContext:
        """Return what a server needs to show a certificate for these names; with negative `days` it has expired."""
        key, request, signed, extensions = (str(self.folder / f"server.{end}") for end in ("key", "csr", "pem", "ext"))
        Path(extensions).write_text(f"subjectAltName={names}\n", encoding="ascii")
        self._openssl("req", *KEY, "-subj", "/CN=server", "-keyout", key, "-out", request)
        signing = ("-CA", self.file, "-CAkey", self.key, "-CAcreateserial", "-days", str(days), "-extfile", extensions)
        self._openssl("x509", "-req", "-in", request, *signing, "-out", signed)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed, key)
        return context

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give an authority that nobody else knows."""
    return Authority(tmp_path, "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Give another authority."""
    return Authority(tmp_path, "stranger")


@pytest.fixture
def serve_tls(serve: Any) -> Callable[[ssl.SSLContext], str]:
    """Give a function that serves a page over TLS and returns the address."""

    def start(context: ssl.SSLContext) -> str:
        server = serve(lambda responder: responder.answer(200, BODY))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return f"https://127.0.0.1:{server.server_port}"

    return start


HERE = "IP:127.0.0.1,DNS:localhost"
REACH = "could not be reached: its certificate"


def accepted(url: str, context: ssl.SSLContext) -> bool:
    """Whether a client with this trust reads the page."""
    try:
        return httpx.get(url, verify=context, trust_env=False).content == BODY
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise
        return False


def test_a_named_file_is_trusted_and_replaces_the_system(
    authority: Authority, stranger: Authority, serve_tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even the system's own authorities no longer count."""
    url = serve_tls(authority.context(HERE))
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)  # on Linux this makes it the system's as well

    assert accepted(url, trusted({"SSL_CERT_FILE": authority.file}))
    assert not accepted(url, trusted({"SSL_CERT_FILE": stranger.file}))


def test_a_named_directory_is_trusted(authority: Authority, serve_tls: Any, tmp_path: Path) -> None:
    """It holds certificates under the names that `openssl rehash` gives."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    shutil.copy(authority.file, folder)
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)

    assert accepted(serve_tls(authority.context(HERE)), trusted({"SSL_CERT_DIR": str(folder)}))


def test_all_clients_share_what_was_read_in_this_hour(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it takes long; what is replaced, or named by another variable, is read anew."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    first = shared(noon)

    assert shared(noon + timedelta(minutes=59)) is first
    later = shared(noon + timedelta(hours=1))
    monkeypatch.delenv("SSL_CERT_FILE")
    other = shared(noon + timedelta(hours=1))
    assert len({id(one) for one in (first, later, other)}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's store is no file that a test could replace")
@pytest.mark.parametrize("system_knows_it", [True, False])
def test_the_systems_authorities_are_trusted(
    authority: Authority, stranger: Authority, serve_tls: Any, monkeypatch: pytest.MonkeyPatch, system_knows_it: bool
) -> None:
    """They alone, without those of certifi."""
    monkeypatch.setenv("SSL_CERT_FILE", (authority if system_knows_it else stranger).file)
    monkeypatch.setattr(certifi, "where", lambda: authority.file)

    assert accepted(serve_tls(authority.context(HERE)), trusted({})) is system_knows_it


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every system has certificates")
def test_certifi_serves_a_system_without_certificates(
    authority: Authority, serve_tls: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A slim container has neither OpenSSL's file and directory nor any of the distributions'."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr("truststore._openssl._CA_FILE_CANDIDATES", [])
    monkeypatch.setattr(certifi, "where", lambda: authority.file)

    assert accepted(serve_tls(authority.context(HERE)), trusted({}))


@pytest.mark.parametrize(
    ("signed_by_ours", "names", "days", "happened", "hint"),
    [
        (False, HERE, 30, "comes from an authority that is not trusted here", "SSL_CERT_FILE"),
        (True, HERE, -1, "has expired, or is not valid yet", "the date of this computer"),
        (True, "DNS:api.example.com", 30, "is for another host name", "the host name in base_url"),
        (True, "IP:127.0.0.2", 30, "is for another host name", "the host name in base_url"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_is_wrong_with_a_certificate_is_said(
    authority: Authority,
    stranger: Authority,
    serve_tls: Any,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    signed_by_ours: bool,
    names: str,
    days: int,
    happened: str,
    hint: str,
    host: str,
) -> None:
    """Three faults, three sentences, three ways on."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    url = serve_tls((authority if signed_by_ours else stranger).context(names, days=days))

    with pytest.raises(ProviderUnavailable) as raised:
        connect(base_url=url.replace("127.0.0.1", host), max_attempts=1).get_list("/calls", {}, ())

    assert raised.value.happened == f"Acme {REACH} {happened} (tried once)."
    assert hint in raised.value.hint


def test_a_certificate_that_is_right_is_no_fault(
    authority: Authority, serve_tls: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same server with all three in order answers."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    client = connect(base_url=serve_tls(authority.context(HERE)))

    assert client.get_list("/calls", {}, ()).records == (b'{"id": 1}',)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("named", [True, False])
def test_an_old_tls_is_refused_whatever_the_system_allows(
    authority: Authority, serve_tls: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """A server that speaks TLS 1.1 at most gets no request, and the message says that it is about TLS."""
    old = authority.context(HERE)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)

    assert trusted({"SSL_CERT_FILE": authority.file} if named else {}).minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(ProviderUnavailable) as raised:
        connect(base_url=serve_tls(old), max_attempts=1).get_list("/calls", {}, ())

    assert raised.value.happened == "Acme could not be reached: it offers no TLS of version 1.2 or newer (tried once)."
    assert "older versions are never used" in raised.value.hint


def test_a_port_that_speaks_no_tls_is_told_apart_from_one_that_is_down(serve: Any, connect: Connect) -> None:
    """`https://` before an address that answers in plain http."""
    port = serve(lambda responder: responder.answer(200, BODY)).server_port

    with pytest.raises(ProviderUnavailable) as raised:
        connect(base_url=f"https://127.0.0.1:{port}", max_attempts=1).get_list("/calls", {}, ())

    assert raised.value.happened == "Acme could not be reached: it offers no TLS of version 1.2 or newer (tried once)."
