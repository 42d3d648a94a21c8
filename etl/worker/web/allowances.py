"""How much of each account's request allowance is used. Accounts are told apart by a number, never by what comes of a token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from etl import providers
from etl.config import ConnectionSettings
from etl.http.allowance import Allowance, Use
from etl.runs.allowances import Found
from etl.warehouse.allowances import AccountNames
from etl.warehouse.database import Database
from etl.warehouse.reports import figures
from etl.wiring import limits_of


class Used(NamedTuple):
    """The number of the account that a connection uses, and how much of each of its limits is used."""

    account: int
    limits: tuple[Use, ...]


def used(database: Database, connections: Mapping[str, ConnectionSettings], *, now: datetime) -> dict[str, Used]:
    """
    Return what is used of the allowance of each connection's account.

    Accounts are numbered in the order of their connections' names: with one configuration every worker counts alike. Connections
    that share a token have the same number, and the limits of all of them hold. Raises WarehouseError.
    """
    names = AccountNames(database)
    accounts: dict[str, str] = {}
    allowances: dict[str, Allowance] = {}
    for name, one in sorted(connections.items()):
        token = one.token.get_secret_value() if one.token else ""
        account = accounts[name] = names.name(one.provider, token)
        limits, daily = limits_of(one, providers.get(one.provider)), one.daily_requests
        if account in allowances:
            allowances[account].restrict(limits=limits, daily=daily)
        else:
            allowances[account] = Allowance(limits=limits, daily=daily)
    numbers = {account: number for number, account in enumerate(allowances, 1)}
    for account, standing in figures.allowances_of(database, list(allowances)).items():
        allowances[account].remember(Found(standing), now)
    return {name: Used(numbers[account], allowances[account].use(now)) for name, account in accounts.items()}
