"""`etl dashboards`: writes the Superset bundle for the configured warehouse."""

from __future__ import annotations

from pathlib import Path

from etl.cli.output import say
from etl.errors import UsageError
from etl.superset import queries, write_bundle
from etl.warehouse.address import for_superset
from etl.warehouse.reports.columns import columns_of, connections_of
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of


def write_dashboards(invocation: Invocation, path: Path, *, role: str) -> None:
    """Write the bundle, and say how Superset takes it and what the role needs."""
    with open_warehouse(settings_of(invocation)) as opened:
        require_warehouse(opened)
        columns = {name: columns_of(opened.database, query) for name, query in queries().items()}
        connections = connections_of(opened.database)
        address = for_superset(opened.database.url, role)
    try:
        write_bundle(path, address=address, columns=columns, connections=connections)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", safe="Nothing was changed.", hint="Name another file."
        ) from error
    say(f"Wrote {path}: four dashboards over the schema masked, for Superset 6.1.")
    say(f"1. Make the role that Superset reads as, once: CREATE ROLE {role} LOGIN PASSWORD '…'")
    say(f"   Then run: etl grant {role} --masked")
    say("2. In Superset, choose Dashboards, Import dashboards, and this file; it asks for the role's password.")
