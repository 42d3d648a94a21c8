"""Whether the environment sets a proxy for an address, by curl's rules."""

from __future__ import annotations

import ipaddress
import re
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from etl.addresses import is_loopback
from etl.errors import UsageError

_PORTS = {"http": 80, "https": 443}
_BETWEEN = re.compile(r"[\s,]+")


class Proxy(NamedTuple):
    """The address of a proxy, and the variable that names it. The address may hold a password."""

    url: str
    variable: str

    def __repr__(self) -> str:
        return f"Proxy({self.variable})"


def proxy_for(base_url: str, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """
    Return the proxy for requests to `base_url`, or None. Requests to this machine never use one.

    `environment` is what `urllib` makes of the variables (and of the system's settings, on macOS and Windows): `https`, `http`,
    `all`, `no`. Raises UsageError if a proxy is set and NO_PROXY cannot be read.
    """
    found = urllib.request.getproxies() if environment is None else environment
    scheme = urlsplit(base_url).scheme.lower()
    name = next((name for name in (scheme, "all") if found.get(name)), None)
    if name is None or is_loopback(base_url) or _is_exempt(base_url, found.get("no", "")):
        return None
    url = found[name]
    return Proxy(url if "://" in url else f"http://{url}", f"{name.upper()}_PROXY")


def _is_exempt(base_url: str, no_proxy: str) -> bool:
    """
    Whether NO_PROXY names the address: `*`; a domain with all its subdomains; an address; a network (`10.0.0.0/8`).

    A name is compared with names and a network with addresses only: nothing is looked up, as curl does it. A port behind a name
    or an address (`example.com:8443`) limits it to that port.
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS.get(parts.scheme.lower(), 0)
    address = _address(host)
    found = [_matches(entry, host, address, port) for entry in _BETWEEN.split(no_proxy) if entry]  # validates all
    return any(found)


def _matches(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        network = _network(entry)
        return address is not None and address in network  # False if one is IPv4 and the other IPv6
    name, wanted = _port_of(entry)
    if wanted not in (None, port):
        return False
    literal = _address(name)
    if literal is not None or address is not None:
        return literal == address
    name = name.removeprefix("*").strip(".").lower()
    return bool(name) and (host == name or host.endswith("." + name))


def _port_of(entry: str) -> tuple[str, int | None]:
    """Split off the port; an IPv6 address can only have one after its brackets."""
    name, colon, port = entry.rpartition(":")
    is_port = colon and port.isascii() and port.isdigit() and (":" not in name or name.endswith("]"))
    return (name, int(port)) if is_port else (entry, None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        shown = entry if len(entry) <= 60 and "@" not in entry else "…"
        raise UsageError(
            f"NO_PROXY holds {shown!r}, which is no network.",
            safe="Nothing was sent.",
            hint="Write networks as 10.0.0.0/8 or fd00::/8, and hosts by their name alone, without https:// and without a path.",
        ) from None
