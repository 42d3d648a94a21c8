"""Whose certificates are trusted, by the environment."""

from pathlib import Path

import certifi
import pytest

from etl.errors import UsageError
from etl.http.tls import trusted


def test_a_named_file_replaces_them(tmp_path: Path) -> None:
    """Only what it holds is trusted."""
    first, _, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----")
    bundle = tmp_path / "company.pem"
    bundle.write_text(first + "-----END CERTIFICATE-----\n", encoding="utf-8")

    assert len(trusted({"SSL_CERT_FILE": str(bundle)}).get_ca_certs()) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, content: str | None) -> None:
    """Else every provider would seem to have a bad certificate."""
    bundle = tmp_path / "company.pem"
    if content is not None:
        bundle.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        trusted({"SSL_CERT_FILE": str(bundle)})


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    """As with a file; one that is there is accepted."""
    trusted({"SSL_CERT_DIR": str(tmp_path)})
    with pytest.raises(UsageError, match="SSL_CERT_DIR"):
        trusted({"SSL_CERT_DIR": str(tmp_path / "none")})
