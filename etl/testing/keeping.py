"""Looks for what should not be kept of a record: credentials, and addresses that are signed anew at each reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from etl.model import JSON
from etl.provider import Provider
from etl.testing.faults import Fault
from etl.testing.leaves import leaves

_CREDENTIAL = re.compile(r"(^|[._-])(access_?token|auth_?token|refresh_?token|api_?key|secret|password|jwt)$", re.IGNORECASE)
_SIGNED = re.compile(r"^https?://\S+[?&](x-amz-|x-goog-|sig=|signature=|expires=|exp=|token=|se=|policy=)", re.IGNORECASE)


def faults_in_keeping(provider: Provider, name: str, values: Sequence[JSON]) -> Iterator[Fault]:
    """Yield what `never_stored` and `volatile` do not name of a call's records."""
    paths = {
        (".".join(str(part) for part in place if not isinstance(part, int)), value)
        for one in values
        if one is not None
        for place, value in leaves(one)
        if isinstance(value, str) and value
    }
    for path, value in sorted(paths):
        if _CREDENTIAL.search(path) and not _within(path, provider.never_stored):
            yield Fault(
                "never_stored",
                f"{name} holds `{path}`, which looks like a credential",
                f'Cut it out: never_stored=frozenset({{"{path}"}}).',
            )
        elif _SIGNED.search(value) and not _within(path, provider.volatile | provider.never_stored):
            yield Fault(
                "volatile",
                f"the address in `{path}` of {name} is signed, and so another one at each reading",
                f'Else every call looks changed in every run: volatile=frozenset({{"{path}"}}).',
            )


def _within(path: str, known: frozenset[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in known)
