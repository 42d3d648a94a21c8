"""Which certificates are trusted."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from etl.errors import UsageError


def trusted(environment: os._Environ[str] | dict[str, str] = os.environ) -> ssl.SSLContext:
    """
    Return the trust for https: `SSL_CERT_FILE` and `SSL_CERT_DIR` where set, else the system's store and certifi's together.

    httpx alone would trust certifi only, and so refuse a company's own authority that the system trusts. Raises UsageError
    where a variable names what cannot be read: OpenSSL would silently trust nobody.
    """
    file, directory = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    try:
        if file or directory:
            if directory and not any(Path(part).is_dir() for part in directory.split(os.pathsep)):
                raise FileNotFoundError(directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cafile=file or None, capath=directory or None)
            return context
    except (OSError, ssl.SSLError) as error:
        variable = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise UsageError(
            f"The certificates that the environment variable {variable} names cannot be read.",
            hint="Correct the variable, or unset it to trust the system's certificates.",
        ) from error
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    return context


def unused() -> ssl.SSLContext:
    """Return a context for plain http, where none is asked for: loading certificates takes time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
