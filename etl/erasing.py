"""Goes through connections for what is erased, configured or not: for the command line and the worker."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from etl import providers
from etl.config import ConnectionSettings, Settings
from etl.errors import UsageError
from etl.runs.account import Account
from etl.runs.forgetting import Forgotten, forget_connection
from etl.runs.lifecycle import Surroundings
from etl.wiring import account

if TYPE_CHECKING:
    from etl.warehouse.privacy.forgetting import PostgresForgetting


def forget_known(
    settings: Settings,
    name: str,
    provider: str,
    *,
    given: Surroundings[PostgresForgetting],
    only: Collection[str] = (),
    anew: bool = True,
    at_provider: bool = False,
) -> Forgotten:
    """Do for a connection of this provider what `forget_connection` does. Raises nothing but programming errors."""
    try:
        one = known_account(settings, name, provider)
    except UsageError as error:
        return Forgotten(connection=name, error=error.of(name))
    return forget_connection(one, given=given, only=only, anew=anew, at_provider=at_provider)


def known_account(settings: Settings, name: str, provider: str) -> Account:
    """
    Return a connection's account; of one that is not configured any more its provider is all that is known.

    Raises UsageError where the provider is not installed any more.
    """
    configured = settings.connections.get(name)
    if configured is None:
        providers.get(provider)
        configured = ConnectionSettings(provider=provider)
    return account(name, configured)
