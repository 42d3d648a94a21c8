"""Addresses and credentials are checked, and links read, by one rule, whoever asks."""

import pytest

from etl.addresses import base_url, beyond_host, check_private, hook, is_credential, is_loopback, next_link


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://api.example.com/v1/calls?page=2>; rel="next"', "https://api.example.com/v1/calls?page=2"),
        ('</calls?page=1>; rel="prev", </calls?page=3>; rel="next"', "/calls?page=3"),
        ("<?page=2>;rel=next", "?page=2"),
        ('<a,b;c>; title="x, <y>; rel=\\"next\\""; REL="last Next"', "a,b;c"),
        ('<a>; rel="prev"; rel="next"', None),
        ('<a>; rel="nextish"', None),
        ("<a>", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_next_link_is_found(header: str, target: str | None) -> None:
    """Several links, quoted text and relative targets are understood; the first relation of a link counts."""
    assert target == next_link(header)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "[::1]", "localhost:3", "api.localhost"])
def test_loopback(host: str) -> None:
    """Addresses of this machine."""
    assert is_loopback(f"http://{host}/x")


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example.com", "example.com", "[2001:db8::1]", "0.0.0.0"])
def test_not_loopback(host: str) -> None:
    """Addresses that may be another machine's."""
    assert not is_loopback(f"http://{host}/x")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://",
        "example.com",
        "ftp://example.com",
        "https://example.com:0",
        "https://example.com:x",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://example.com/a b",
        "https://example.com\\@evil.example",
        "https://[",
        "https://a..example.com",
        " https://example.com",
        "https://user:secret@example.com",
        "https://@example.com",
    ],
)
def test_an_address_that_cannot_be_used(value: str) -> None:
    """What is wrong is said without the value."""
    with pytest.raises(ValueError, match=r"^must (be an address like|hold no user)") as raised:
        base_url(value)

    assert "secret" not in str(raised.value)


def test_an_address_that_can_be_used() -> None:
    """It comes without the slash that would be doubled."""
    assert base_url("https://api.example.com:8443/v1/") == "https://api.example.com:8443/v1"


@pytest.mark.parametrize("url", ["HTTP://api.example.com", "http://api.example.com"])
def test_plain_http_to_another_machine_has_to_be_allowed(url: str) -> None:
    """However the scheme is written; this machine and https need no leave."""
    with pytest.raises(ValueError, match="must begin with https://"):
        check_private(url, allow_http=False)

    check_private(url, allow_http=True)
    check_private("http://127.0.0.1:8000", allow_http=False)
    check_private("https://api.example.com", allow_http=False)


def test_credentials_that_a_header_can_carry() -> None:
    """Visible ASCII only, and something of it."""
    texts = ("sk-1", "", "a b", "a\n", "sk-tuple-…", "a\x7f")

    assert [is_credential(text) for text in texts] == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    "value",
    ["https://hooks.example.com/services/1a2b3c", "https://example.com?token=1a2b3c", "http://localhost:8080/", "http://[::1]/x"],
)
def test_a_hook_is_kept_as_it_is(value: str) -> None:
    """With its path, its query and its last slash."""
    assert hook(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "hooks.example.com/x",
        "http://hooks.example.com/x",
        "http://10.0.0.1/x",
        "https://example.com/x#y",
        "https://user:secret@example.com/x",
        "https://example.com/a b",
        "https://example.com/…",
        "https://b\u00fccher.example/x",
    ],
)
def test_a_hook_that_cannot_be_used(value: str) -> None:
    """Unencrypted beyond this machine, or no address; the value is not in the error."""
    with pytest.raises(ValueError, match=r"must|holds characters") as caught:
        hook(value)
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://hooks.example.com/services/1a2b3c", "/services/1a2b3c"),
        ("https://hooks.example.com?token=1a2b3c", "?token=1a2b3c"),
        ("https://hooks.example.com/in", ""),
    ],
)
def test_what_of_an_address_is_secret(url: str, secret: str) -> None:
    """Path and query, unless they are so short that any path would be masked."""
    assert beyond_host(url) == secret
