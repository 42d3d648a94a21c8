"""Which certificates are trusted."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path

import certifi
import truststore

from etl.errors import UsageError


def trusted(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """
    Return the TLS context for https: TLS 1.2 or newer, and `SSL_CERT_FILE` and `SSL_CERT_DIR` if set, else the system's trust.

    httpx by default trusts only certifi, and so refuses a company's own authority that the system trusts. Here certifi is used
    only on systems without certificates, such as a slim container. Raises UsageError if a variable names something that cannot be
    read, because OpenSSL would silently trust nobody.
    """
    file, directory = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    context: ssl.SSLContext = _named(file, directory) if file or directory else _of_the_system()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # a system's own settings may allow less
    return context


def shared(now: datetime) -> ssl.SSLContext:
    """
    Return the context of `trusted` that was made in this hour, for all clients of the process.

    Reading the system's certificates takes several times as long as a sync that finds nothing new. Those that were replaced are
    read within the hour.
    """
    return _made(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), now.replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=1)
def _made(file: str | None, directory: str | None, _hour: datetime) -> ssl.SSLContext:
    named = {"SSL_CERT_FILE": file, "SSL_CERT_DIR": directory}
    return trusted({name: value for name, value in named.items() if value is not None})


@cache
def unused() -> ssl.SSLContext:
    """Return an empty context for plain http, which needs no certificates; loading them would take time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _of_the_system() -> ssl.SSLContext:
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not _system_has_any(context):
        context.load_verify_locations(cafile=certifi.where())
    return context


def _named(file: str | None, directory: str | None) -> ssl.SSLContext:
    """Trust only these. truststore would add the system's directory to a file on Linux, and ignore both variables elsewhere."""
    try:
        if directory and not any(Path(part).is_dir() for part in directory.split(os.pathsep)):
            raise FileNotFoundError(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=file or None, capath=directory or None)
    except (OSError, ssl.SSLError) as error:
        variable = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise UsageError(
            f"The certificates that the environment variable {variable} names cannot be read.",
            safe="Nothing was sent.",
            hint="Correct the variable, or unset it to trust the system's certificates.",
        ) from error
    return context


def _system_has_any(context: truststore.SSLContext) -> bool:
    """Whether the system has certificates at all; macOS and Windows always do."""
    if sys.platform in {"darwin", "win32"}:
        return True
    # truststore looks for certificates at the first use; the context of the object created then shows what was found.
    used = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context
    folder = ssl.get_default_verify_paths().capath  # OpenSSL only reads this folder when it checks a certificate
    return used.cert_store_stats()["x509_ca"] > 0 or (bool(folder) and any(Path(folder).glob("*.[0-9]")))
