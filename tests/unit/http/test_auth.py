"""Credentials travel in their headers and appear in no text."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from etl.errors import UsageError
from etl.http.auth import SAID_LENGTH, Credentials
from etl.http.exchange import _OwnOrigin
from etl.provider import Basic, Header, Provider, Setting


def credentials(provider: Provider, token: str) -> Credentials:
    return Credentials(provider, {"token": SecretStr(token), "organization_id": None}, connection="voice")  # type: ignore[dict-item]  # as a configuration may hold it


def test_the_headers_are_those_of_the_form(provider: Callable[..., Provider], token: str) -> None:
    """Each by its template; an optional one only where it is set; blanks around a value are not its own."""
    form = provider(headers=(Header(name="account-secret-key", setting="token"), Header(name="x-o", setting="o", required=False)))

    assert [{"account-secret-key": token}, {"account-secret-key": token, "x-o": "1"}] == [
        Credentials(form, {"token": f" {token}\n"}, connection="voice").headers(),
        Credentials(form, {"token": token, "o": "1"}, connection="voice").headers(),
    ]


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("https://api.example.com/v1/calls", True),
        ("https://api.example.com:443/elsewhere", True),
        ("https://other.example.com/v1/calls", False),
        ("https://api.example.com:8443/v1/calls", False),
        ("http://api.example.com/v1/calls", False),
    ],
)
def test_credentials_go_to_their_own_origin_and_nowhere_else(
    provider: Callable[..., Provider], token: str, url: str, *, is_told: bool
) -> None:
    """Whatever has led there: the last guard, behind redirects and links that are not followed."""
    form = provider(headers=(Header(name="account-secret-key", setting="token"),))
    auth = _OwnOrigin("https://api.example.com/v1", Credentials(form, {"token": token}, connection="voice"))
    request = next(auth.auth_flow(httpx.Request("GET", url)))

    assert ("account-secret-key" in request.headers) is is_told


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_credential_is_named(provider: Callable[..., Provider], value: Any) -> None:
    """And where to get it."""
    with pytest.raises(UsageError) as raised:
        Credentials(provider(), {"token": value}, connection="voice")

    assert str(raised.value) == "connections.voice.token is missing. You find it at https://example.com/keys."


@pytest.mark.parametrize("value", ["se\ncret", "sec\x00ret", "sécret", "sec ret"])
def test_a_credential_that_cannot_be_sent_is_refused_unseen(provider: Callable[..., Provider], value: str) -> None:
    """A line break would let a value add headers of its own."""
    with pytest.raises(UsageError) as raised:
        Credentials(provider(), {"token": value}, connection="voice")

    assert value not in str(raised.value) and "connections.voice.token holds a character" in str(raised.value)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Agent not found", "Agent not found"),
        ("a\r\n\x1b[31mb\x00c\u202ed", "a [31mb c d"),
        ("Key sk-acme-5eCr3tT0k3nV4lue is revoked", "Key [secret] is revoked"),
        ("Key ending in V4lue. or 3nV4lue!", "Key ending in V4lue. or [secret]"),
        ("SK-ACME-5ECR3TT0 is revoked", "[secret] is revoked"),
        ("Bearer abc is wrong", "[secret] is wrong"),
        ("ann.lee+x@example.com may not", "[e-mail] may not"),
        ("call +1 (415) 555-0101 now, or 4155550102", "call [number] now, or [number]"),
        ("call sk_live_9f8e7d6c5b is unknown", "call [id] is unknown"),
        ("id 9b2d3c1e-1111-4222-8333-444455556666", "id [id]"),
        ("HTTP 422: per_page must be at most 1000", "HTTP 422: per_page must be at most 1000"),
        ("", ""),
    ],
)
def test_a_providers_words_are_cleaned(provider: Callable[..., Provider], token: str, said: str, shown: str) -> None:
    """No control characters, no secrets or parts of them, no personal data."""
    assert shown == credentials(provider(), token).clean(said)


def test_a_providers_words_are_cut(provider: Callable[..., Provider], token: str) -> None:
    """A page of text is no message."""
    assert len(credentials(provider(), token).clean("word " * 100_000)) == SAID_LENGTH


def test_no_form_of_the_credentials_shows_them(provider: Callable[..., Provider], token: str) -> None:
    """Their representation names the settings."""
    assert repr(credentials(provider(), token)) == "Credentials(connections.voice.token)"


def basic(provider: Callable[..., Provider]) -> Provider:
    """Return a form with a login of two settings, of which a key may stand in for the account."""
    own = (Setting(name="account_sid", secret=False), Setting(name="key_sid", required=False))
    return provider(headers=(), login=Basic(user=("key_sid", "account_sid")), own=own)


@pytest.mark.parametrize(
    ("given", "pair"),
    [
        ({"account_sid": "AC17", "token": "s3cret"}, b"AC17:s3cret"),
        ({"account_sid": "AC17", "key_sid": " SK5 ", "token": "s3cret\n"}, b"SK5:s3cret"),
    ],
)
def test_basic_is_made_of_two_settings(provider: Callable[..., Provider], given: dict[str, str], pair: bytes) -> None:
    """The first user that is given counts."""
    found = Credentials(basic(provider), given, connection="voice")
    assert found.headers() == {"Authorization": f"Basic {b64encode(pair).decode()}"}


def test_basic_is_shown_nowhere(provider: Callable[..., Provider]) -> None:
    """Neither its parts nor both together, as an echo would have them; the account is no secret."""
    form, given = basic(provider), {"account_sid": "AC1700000000", "key_sid": "SK555666777", "token": "s3cretive"}
    found = Credentials(form, given, connection="voice")
    pair = b64encode(b"SK555666777:s3cretive").decode()
    assert found.clean(f"no {pair} SK555666777 s3cretive") == "no [secret] [secret] [secret]"
    assert found.without("/Accounts/AC1700000000/Calls") == "/Accounts/AC1700000000/Calls"
    assert repr(found) == "Credentials(connections.voice.key_sid and connections.voice.token)".replace(" and ", ", ")


@pytest.mark.parametrize("given", [{"token": "s3cret"}, {"account_sid": "AC17"}, {"account_sid": "A:C", "token": "s3cret"}])
def test_basic_without_both_parts_is_refused(provider: Callable[..., Provider], given: dict[str, str]) -> None:
    """And a colon in the user would move the border between them."""
    with pytest.raises(UsageError) as raised:
        Credentials(basic(provider), given, connection="voice")
    assert "connections.voice." in str(raised.value) and "s3cret" not in str(raised.value)
