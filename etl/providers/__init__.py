"""The registry of providers: our own, and others from the entry point group `etl.providers`. Each is loaded when needed."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from etl.errors import UsageError
from etl.provider import Provider

GROUP = "etl.providers"
"""The entry point group in which other distributions register a `Provider` under its name."""

OURS = ("tuple", "bimpe", "salpre", "krosai", "aircall", "twilio")
"""Each is a module of this package that defines `PROVIDER`; an entry point of the same name does not replace it."""


def names() -> tuple[str, ...]:
    """Return the name of every provider, our own first, without loading any."""
    return (*OURS, *sorted(_registered()))


def is_known(name: object) -> bool:
    """Whether a provider has this name; of ours that is known without a look at what is installed."""
    return name in OURS or (isinstance(name, str) and name in _registered())


def get(name: str) -> Provider:
    """Load and return the provider of this name. Raises UsageError for an unknown name, and for one that cannot be loaded."""
    if name in OURS:
        provider: Provider = import_module(f"{__name__}.{name}").PROVIDER
        return provider
    registered = _registered()
    if name not in registered:
        near = get_close_matches(name, names(), n=1)
        raise UsageError(
            f"There is no provider {name!r}.",
            safe="Nothing was started.",
            hint=f"Did you mean {near[0]!r}?" if near else f"The providers are: {', '.join(names())}.",
        )
    return _loaded(registered[name])


@cache  # the metadata of every distribution is read for it; what is installed meanwhile is known to the next process
def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in OURS}


def _loaded(point: EntryPoint) -> Provider:
    origin = point.dist.name if point.dist else point.value
    try:
        provider = point.load()
    except Exception as exc:
        raise UsageError(
            f"The provider {point.name!r} of the distribution {origin!r} cannot be loaded: {type(exc).__name__}: {exc}.",
            safe="Nothing was started.",
            hint="Update or uninstall that distribution.",
        ) from exc
    if not isinstance(provider, Provider) or provider.name != point.name:
        raise UsageError(
            f"The entry point {point.name!r} of the distribution {origin!r} is no provider of that name.",
            safe="Nothing was started.",
            hint="It must lead to an `etl.provider.Provider` whose `name` is the entry point's.",
        )
    return provider
