"""What a server must be to hold the warehouse."""

from __future__ import annotations

from etl.errors import WarehouseError

OLDEST = 14
"""The oldest major version of PostgreSQL that has what the schema needs: multiranges, `idle_session_timeout`."""


def refuse_unfit(address: str, *, version: int, encoding: str, standby: bool, read_only: bool) -> None:
    """Raise WarehouseError where a server with these properties cannot hold the warehouse; `version` like 150018."""
    if version < OLDEST * 10_000:
        raise WarehouseError(
            f"The server at {address} is PostgreSQL {_major(version)}; the warehouse needs {OLDEST} or newer.",
            safe="Nothing was changed.",
            hint="Upgrade the server, or set warehouse.url to another one.",
        )
    if encoding != "UTF8":
        raise WarehouseError(
            f"The database at {address} stores text as {encoding}; the warehouse needs UTF8.",
            safe="Nothing was changed.",
            hint="Run CREATE DATABASE calls ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0; and name it in warehouse.url.",
        )
    if standby or read_only:
        raise WarehouseError(
            f"The server at {address} takes no writes: it is {'a standby' if standby else 'set to read-only'}.",
            safe="Nothing was changed.",
            hint="Set warehouse.url to the primary server." if standby else "Set default_transaction_read_only to off.",
        )


def _major(version: int) -> str:
    return f"{version // 10_000}" if version >= 100_000 else f"{version // 10_000}.{version // 100 % 100}"
