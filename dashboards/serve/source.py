"""Where the dashboards' calls come from: the embedded server, which stays up meanwhile, or a server of your own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from etl import embedded
from etl.cli.demonstration import run_demo
from etl.cli.output import say
from etl.config import load
from etl.errors import UsageError, WarehouseError
from etl.superset import queries, write_bundle
from etl.warehouse.address import for_superset, parse_url
from etl.warehouse.database import Database
from etl.warehouse.privacy.granting import Rights, grant
from etl.warehouse.reports.columns import columns_of, connections_of
from etl.warehouse.schema import require_newest

ROLE = "dashboards"

# Of the analysts' own relations a single column would be too much.
_READS = b"""
SELECT nspname, bool_or(has_schema_privilege(schema.oid, 'USAGE') AND has_any_column_privilege(relation.oid, 'SELECT'))
FROM pg_class AS relation
JOIN pg_namespace AS schema ON schema.oid = relnamespace
WHERE nspname = 'public' AND relname IN ('calls', 'call_facts', 'call_participants', 'call_history', 'people', 'numbers')
    OR nspname = 'masked' AND relname = 'calls_daily'
GROUP BY nspname
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The bundle of a warehouse, and the password that its address needs; `repr` does not show it."""

    bundle: Path
    password: str | None

    def __repr__(self) -> str:
        return f"Source({self.bundle})"


def demonstration(root: Path) -> Path:
    """Return the configuration that `etl demo --keep .demo` left in `root`, after running it where it has not been."""
    kept = root / ".demo"
    if not (kept / "config.toml").exists():
        say("There is no warehouse to show yet: etl demo makes one of made-up calls in .demo.")
        code = run_demo(kept)
        if code != 0:
            raise WarehouseError(
                "The demonstration did not end well, so there is nothing to show.",
                safe="What it made is in .demo.",
                hint="See what it said above; remove .demo and try again.",
            )
    return kept / "config.toml"


@contextmanager
def of_embedded(config: Path, folder: Path) -> Iterator[Source]:
    """
    Keep the embedded server of a configuration running, with a masked role in it, and give its bundle.

    Raises WarehouseError, or UsageError where the configuration names a server of its own.
    """
    demo = config.parent.name == ".demo"  # nobody's own variables decide about a demonstration
    settings = load(config, {} if demo else os.environ)
    wanted = settings.warehouse
    if wanted.url is not None:
        raise UsageError(
            f"{config} names a server of your own.",
            safe="Nothing was started.",
            hint=f"Make a role there, run etl grant {ROLE} --masked, and give its address: "
            f"DATABASE=postgresql://{ROLE}@host/db make dashboards",
        )
    with embedded.server(data_dir=wanted.data_dir, bin_dir=wanted.bin_dir, run_as=wanted.run_as, reader=ROLE) as server:
        with Database(server.url, sessions=2) as database:
            require_newest(database)
            grant(database, ROLE, Rights(masked=True))
            bundle = _written(database, for_superset(server.url, ROLE), folder)
        yield Source(bundle=bundle, password=None)


@contextmanager
def of_database(address: str, folder: Path) -> Iterator[Source]:
    """Give the bundle of the warehouse at `address`, a masked role's. Raises UsageError if the role sees too much, or nothing."""
    url = parse_url(address)
    if not url.username:
        raise UsageError("DATABASE names no role.", safe="Nothing was started.", hint=f"postgresql://{ROLE}@host/db")
    with Database(address, sessions=2) as database:
        with database.session() as session:
            rights: dict[str, bool] = dict(session.execute(_READS).fetchall())
        sees_all, sees_masked = rights.get("public", False), rights.get("masked", False)
        if sees_all or not sees_masked:
            raise UsageError(
                "The role of DATABASE may read what is not masked: numbers, addresses, names."
                if sees_all
                else "The role of DATABASE may not read the schema masked, or that database holds no warehouse.",
                safe="Nothing was started.",
                hint=f"Make a role of its own for the dashboards, and let it read just what it needs: etl grant {ROLE} --masked",
            )
        named = make_url(for_superset(address, url.username))
        if url.password is None:  # libpq finds it by itself, or needs none: Superset's mask would be taken for it
            named = named.set(password=None)
        yield Source(bundle=_written(database, named.render_as_string(hide_password=False), folder), password=url.password)


def _written(database: Database, address: str, folder: Path) -> Path:
    bundle = folder / "dashboards.zip"
    columns = {name: columns_of(database, query) for name, query in queries().items()}
    write_bundle(bundle, address=address, columns=columns, connections=connections_of(database))
    return bundle
