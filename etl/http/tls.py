"""Which certificates are trusted."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

import certifi
import truststore

from etl.errors import UsageError


def trusted(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """
    Return the trust for https: `SSL_CERT_FILE` and `SSL_CERT_DIR` where set, else what the system trusts, on every system.

    httpx alone would trust certifi only, and so refuse a company's own authority that the system trusts; here certifi serves
    systems that have no certificates, such as a slim container. Raises UsageError where a variable names what cannot be read:
    OpenSSL would silently trust nobody.
    """
    file, directory = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if file or directory:
        return _named(file, directory)
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not _system_has_any(context):
        context.load_verify_locations(cafile=certifi.where())
    return context


def unused() -> ssl.SSLContext:
    """Return a context for plain http, where none is asked for: loading certificates takes time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _named(file: str | None, directory: str | None) -> ssl.SSLContext:
    """Trust these and nobody else: truststore would add the system's directory to a file on Linux, and read neither elsewhere."""
    try:
        if directory and not any(Path(part).is_dir() for part in directory.split(os.pathsep)):
            raise FileNotFoundError(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=file or None, capath=directory or None)
    except (OSError, ssl.SSLError) as error:
        variable = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise UsageError(
            f"The certificates that the environment variable {variable} names cannot be read.",
            hint="Correct the variable, or unset it to trust the system's certificates.",
        ) from error
    return context


def _system_has_any(context: truststore.SSLContext) -> bool:
    """Whether the system has certificates at all; macOS and Windows always do."""
    if sys.platform in {"darwin", "win32"}:
        return True
    # truststore looks for them at the first use; the object that it makes then shows what was found.
    used = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context
    folder = ssl.get_default_verify_paths().capath  # OpenSSL reads it when a certificate is checked, not before
    return used.cert_store_stats()["x509_ca"] > 0 or (bool(folder) and any(Path(folder).glob("*.[0-9]")))
