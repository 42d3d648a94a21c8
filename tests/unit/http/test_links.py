"""No link leads away from the configured origin, and no credential to an address that must not have it."""

import pytest

from etl.errors import ForeignLink, UsageError
from etl.http.links import absolute, check_base_url, check_link_unfollowed, check_same_origin

BASE = "https://api.example.com/v1"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/other",
        "https://API.example.com:443/v1?x=1",
        "/v1/calls?page=2",
        "?page=2",
        "https://api.example.com./",
    ],
)
def test_the_own_origin_is_accepted(url: str) -> None:
    """Relative links, the default port and letter case make no difference."""
    check_same_origin(url, BASE)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "https://api.example.com:8443/v1",
        "https://evil.example/v1",
        "//evil.example/v1",
        "https://api.example.com@evil.example/",
        "https://api.example.com.evil.example/",
        "https://evil.example\\@api.example.com/",
        "https://[",
        "https://api.example.com:x/",
        "javascript:alert(1)",
        "https://api.example.com/\nv1",
    ],
)
def test_another_origin_is_refused(url: str) -> None:
    """Scheme, host and port all count, and what cannot be read is foreign."""
    with pytest.raises(ForeignLink):
        check_same_origin(url, BASE)


@pytest.mark.parametrize("url", ["https://api.example.com/v1/calls?page=2", "https://API.example.com:443", "/v1/calls?page=2"])
def test_behind_a_gateway_a_link_may_lead_to_the_documented_address(url: str) -> None:
    """The provider does not know of the gateway."""
    check_link_unfollowed(url, "https://gateway.example.org/api", documented=BASE)


@pytest.mark.parametrize(
    "url", ["https://evil.example/v1", "https://api.example.com:8443/v1", "https://[", "https://api.example.net"]
)
@pytest.mark.parametrize("documented", [BASE, "", "no address"])
def test_behind_a_gateway_a_link_to_a_third_place_is_refused(url: str, documented: str) -> None:
    """Also where the documented address is none."""
    with pytest.raises(ForeignLink):
        check_link_unfollowed(url, "https://gateway.example.org/api", documented=documented)


def test_a_foreign_link_is_shown_without_what_it_may_carry() -> None:
    """A message names the origin only."""
    with pytest.raises(ForeignLink) as raised:
        check_same_origin("https://user:pw@evil.example:99/path?token=abc", BASE)

    assert raised.value.happened == (
        "a link of the provider leads to another address, https://evil.example:99, than the one configured, https://api.example.com."
    )


def test_a_relative_link_belongs_to_the_page_it_stands_on() -> None:
    """It is resolved against the request's address."""
    assert absolute("?page=2", "https://api.example.com/v1/calls?page=1") == "https://api.example.com/v1/calls?page=2"


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com/v1", "http://localhost:8000", "http://127.0.0.1:1/x", "http://[::1]/", "http://api.localhost/"],
)
def test_https_and_this_machine_are_accepted(url: str) -> None:
    """Plain http is fine where it does not leave the machine."""
    check_base_url(url, connection="voice", allow_http=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://127.0.0.1.example.com",
        "ftp://example.com",
        "api.example.com",
        "",
        "https://",
        "https://user:secret@example.com",
        "https://example.com/?key=1",
        "https://a..example.com",
        "https://exa mple.com",
        "https://example.com:99999",
    ],
)
def test_an_address_that_credentials_must_not_go_to_is_refused(url: str) -> None:
    """The sentence names the setting and never what stood in it beside the host."""
    with pytest.raises(UsageError) as raised:
        check_base_url(url, connection="voice", allow_http=False)

    assert "connections.voice." in str(raised.value) and "secret" not in str(raised.value)


def test_plain_http_can_be_allowed() -> None:
    """Who knows that the way is safe may say so."""
    check_base_url("http://api.example.com", connection="voice", allow_http=True)
