"""What surrounds a configuration: other people's variables, secrets as people write them, documents that no parser takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from etl import config
from etl.config import Settings
from etl.config.settings import WarehouseSettings
from etl.errors import UsageError

NOWHERE = Path(__file__).parent / "no-such-directory"


@pytest.fixture(autouse=True)
def _no_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no configuration stand where the tests run."""
    monkeypatch.chdir(tmp_path)


def load(environ: Mapping[str, str], path: Path | None = None) -> Settings:
    """Load what an environment says, with no container secrets."""
    return config.load(path, environ, container_secrets=NOWHERE)


def refusal(environ: Mapping[str, str], path: Path | None = None) -> str:
    """Return what is told of a configuration that is refused."""
    with pytest.raises(UsageError) as caught:
        load(environ, path)
    return str(caught.value)


def _file(folder: Path, document: str) -> Path:
    path = folder / "given.toml"
    path.write_text(document, encoding="utf-8")
    return path


KUBERNETES = {
    "ETL_PORT": "tcp://10.0.0.1:9106",
    "ETL_SERVICE_HOST": "10.0.0.1",
    "ETL_SERVICE_PORT": "9106",
    "ETL_SERVICE_PORT_HTTP": "9106",
    "ETL_PORT_9106_TCP": "tcp://10.0.0.1:9106",
    "ETL_PORT_9106_TCP_PROTO": "tcp",
    "ETL_PORT_9106_TCP_ADDR": "10.0.0.1",
    "ETL_HTTP_PORT": "tcp://10.0.0.1:9106",
    "ETL_HTTP_SERVICE_HOST": "10.0.0.1",
    "ETL_WAREHOUSE_SERVICE_PORT": "5432",
    "ETL_CONNECTIONS_SERVICE_HOST": "10.0.0.1",
    "ETL_HOME": "/opt/etl",
    "ETL_VERSION": "3",
}
"""What Services called `etl`, `etl-http`, `etl-warehouse` and `etl-connections` put into a container, and two more strangers."""


def test_variables_that_are_not_ours() -> None:
    """A variable of our prefix that is neither a key of ours nor nearly one belongs to somebody else."""
    assert load({**KUBERNETES}) == Settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ETL_CONFG", "ETL_CONFIG"),
        ("ETL_SECRET_DIR", "ETL_SECRETS_DIR"),
        ("ETL_WAREHOUSE_URL", "ETL_WAREHOUSE__URL"),
        ("ETL_HTTP_TIMEOUT", "ETL_HTTP__TIMEOUT"),
        ("ETL_WAREHOSE__URL", "ETL_WAREHOUSE__URL"),
        ("ETL_CONNECTIONS__TOKEN", "ETL_CONNECTIONS__NAME__TOKEN"),
        ("ETL_CONNECTIONS_PAIRING_TOKEN", "ETL_CONNECTIONS__PAIRING__TOKEN"),
        ("ETL_CONNECTION__PAIRING__TOKEN", "ETL_CONNECTIONS__PAIRING__TOKEN"),
        ("etl_connections_new_york_organization_id", "ETL_CONNECTIONS__NEW_YORK__ORGANIZATION_ID"),
    ],
)
def test_a_variable_that_was_to_be_ours(name: str, meant: str) -> None:
    """A near miss is named, so that no typing error hides a setting."""
    assert f"{name}: unknown environment variable; did you mean {meant}?" in refusal({name: "x"})


@pytest.mark.parametrize(
    "written",
    [
        b"\xef\xbb\xbfsk-made-up\r\n",
        b'"sk-made-up"\n',
        b"'sk-made-up'",
        b"TOKEN=sk-made-up\n",
        b"token = sk-made-up",
        b'export TOKEN="sk-made-up"',
        b"\xef\xbb\xbfETL_CONNECTIONS__PAIRING__TOKEN='sk-made-up'",
        b"connections__pairing__token=sk-made-up",
    ],
)
def test_a_secret_file_as_people_write_them(tmp_path: Path, written: bytes) -> None:
    """A byte-order mark, quotes, or the setting's own name in front are not part of the secret."""
    (tmp_path / "connections__pairing__token").write_bytes(written)
    environ = {"ETL_SECRETS_DIR": str(tmp_path), "ETL_CONNECTIONS__PAIRING__PROVIDER": "tuple"}

    token = load(environ).connections["pairing"].token

    assert token is not None
    assert token.get_secret_value() == "sk-made-up"


@pytest.mark.parametrize("secret", ["c2stbWFkZS11cA==", "x'y\"z", '"half'])
def test_a_secret_that_looks_wrapped(tmp_path: Path, secret: str) -> None:
    """What may be part of a token stays."""
    (tmp_path / "connections__pairing__token").write_text(secret)
    environ = {"ETL_SECRETS_DIR": str(tmp_path), "ETL_CONNECTIONS__PAIRING__PROVIDER": "tuple"}
    token = load(environ).connections["pairing"].token
    assert token is not None
    assert token.get_secret_value() == secret


def test_a_secret_file_that_assigns_something_else(tmp_path: Path) -> None:
    """Another name in front is explained, without what follows it."""
    (tmp_path / "connections__pairing__token").write_text("API_KEY=sk-made-up")

    told = refusal({"ETL_SECRETS_DIR": str(tmp_path)})

    assert "secret file connections__pairing__token: begins with API_KEY=; such a file holds the value alone" in told
    assert "sk-made-up" not in told


def test_a_quoted_variable() -> None:
    """Docker's --env-file leaves quotes where a shell would take them away."""
    environ = {"ETL_CONNECTIONS__PAIRING__PROVIDER": "tuple", "ETL_CONNECTIONS__PAIRING__TOKEN": '"sk-made-up"'}
    token = load(environ).connections["pairing"].token
    assert token is not None
    assert token.get_secret_value() == "sk-made-up"


PASSWORD_URLS = [
    ("postgresql://etl:se[cret@db.example.com/warehouse", "se[cret"),
    ("postgresql://etl:se%5Bcret@db.example.com/warehouse", "se[cret"),
    ("postgresql://etl:se]c/r#e?t@db.example.com/warehouse", "se]c/r#e?t"),
    ("postgresql://etl:at@sign@db.example.com/warehouse", "at@sign"),
    ("postgresql://etl@db.example.com/warehouse?password=se%26cret", "se&cret"),
    ("postgresql://etl@db.example.com/warehouse?sslmode=require&sslpassword=secret+one", "secret one"),
]


@pytest.mark.parametrize(("url", "password"), PASSWORD_URLS)
def test_a_password_in_an_address_is_known_as_a_secret(url: str, password: str) -> None:
    """Whatever characters it has and wherever it stands, so that the log can mask it."""
    assert {password, url} <= Settings(warehouse=WarehouseSettings(url=SecretStr(url))).secrets


@pytest.mark.parametrize("document", ["x = " + "[" * 5000 + "]" * 5000, "a." * 5000 + "b = 1", "x = " + "9" * 5000])
def test_a_document_that_no_parser_takes(tmp_path: Path, document: str) -> None:
    """Nested thousands deep, or a number of thousands of digits: said in a sentence."""
    assert "Nothing was started." in refusal({}, _file(tmp_path, document))


@pytest.mark.parametrize("key", ["_env_file", "_case_sensitive", "__pydantic_self__", "self"])
def test_a_key_that_is_an_argument_of_the_library(tmp_path: Path, key: str) -> None:
    """It is an unknown key like any other."""
    assert f"{key}: unknown key" in refusal({}, _file(tmp_path, f'{key} = "x"'))
