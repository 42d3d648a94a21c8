"""Whether a proxy is asked is decided by curl's rules, and what cannot be read is named."""

import pytest

from etl.errors import UsageError
from etl.http.proxies import Proxy, proxy_for

PROXY = "http://proxy.example:3128"
NAME, FOUR, SIX = "https://api.example.com/v1", "http://10.1.2.3:8080", "https://[fd07:b51a::5]/v1"


@pytest.mark.parametrize(
    ("address", "no_proxy", "asked"),
    [
        (NAME, "", True),
        (NAME, "*", False),
        (NAME, "example.com", False),
        (NAME, ".example.com", False),
        (NAME, "*.example.com", False),
        (NAME, "API.Example.COM.", False),
        (NAME, "other.example, api.example.com", False),
        (NAME, "other.example api.example.com", False),
        (NAME, ",, ,", True),
        (NAME, "ample.com", True),
        (NAME, "api.example.com.evil", True),
        (NAME, "api.example.com:443", False),
        (NAME, "api.example.com:8443", True),
        (NAME, "10.0.0.0/8,fd07:b51a::/64", True),
        (FOUR, "10.0.0.0/8", False),
        (FOUR, "10.1.2.99/24", False),
        (FOUR, "10.1.3.0/24", True),
        (FOUR, "10.1.2.3", False),
        (FOUR, "10.1.2.3:8080", False),
        (FOUR, "10.1.2.3:80", True),
        (FOUR, "2.3", True),
        (FOUR, "fd07:b51a::/64", True),
        (SIX, "fd07:b51a::/64", False),
        (SIX, "[fd07:b51a::]/64", False),
        (SIX, "fd07:b51b::/64", True),
        (SIX, "fd07:b51a::5", False),
        (SIX, "[fd07:B51A:0::5]", False),
        (SIX, "[fd07:b51a::5]:443", False),
        (SIX, "[fd07:b51a::5]:80", True),
        ("https://127.0.0.1:1", "", False),
        ("https://localhost", "", False),
    ],
)
def test_what_no_proxy_names_is_asked_directly(address: str, no_proxy: str, asked: bool) -> None:
    """Domains with all below them, addresses, networks of both versions, each with a port or without."""
    found = proxy_for(address, {"https": PROXY, "http": PROXY, "no": no_proxy})

    assert (found is not None) is asked


@pytest.mark.parametrize(
    ("environment", "address", "found"),
    [
        ({}, NAME, None),
        ({"http": PROXY}, NAME, None),
        ({"https": PROXY, "all": "http://other.example"}, NAME, Proxy(PROXY, "HTTPS_PROXY")),
        ({"all": PROXY}, NAME, Proxy(PROXY, "ALL_PROXY")),
        ({"http": "proxy.example:3128"}, FOUR, Proxy(PROXY, "HTTP_PROXY")),
        ({"https": ""}, NAME, None),
    ],
)
def test_the_proxy_of_the_scheme_comes_first(environment: dict[str, str], address: str, found: Proxy | None) -> None:
    """Then the one for all; an address without a scheme is that of an http proxy."""
    assert found == proxy_for(address, environment)


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "fd07::/129", "https://api.example.com", "10/8", "api.example.com/v1"])
def test_what_cannot_be_read_is_named(entry: str) -> None:
    """The variable, the entry, and how it is written."""
    with pytest.raises(UsageError) as raised:
        proxy_for(FOUR, {"http": PROXY, "no": f"localhost,{entry}"})

    assert raised.value.happened == f"NO_PROXY holds {entry!r}, which is no network."
    assert "10.0.0.0/8 or fd00::/8" in raised.value.hint


@pytest.mark.parametrize("no_proxy", ["fd07:b51a::/64", "10.0.0.0/99", "https://[", "*"])
def test_without_a_proxy_nobody_reads_no_proxy(no_proxy: str) -> None:
    """What is no one's business stops nothing."""
    assert [proxy_for(address, {"no": no_proxy}) for address in (NAME, FOUR, SIX)] == [None] * 3


def test_a_proxys_password_is_not_shown() -> None:
    """A representation holds the variable's name only."""
    assert repr(proxy_for(NAME, {"https": "http://user:pa55@proxy.example"})) == "Proxy(HTTPS_PROXY)"
