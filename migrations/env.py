"""
Knows how Alembic reaches the warehouse: through a connection handed over by the program, or by an address for developers.

For developers: `alembic -x url=postgresql://… check`, or the address in `ETL_WAREHOUSE__URL`.
"""

from __future__ import annotations

import os

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from etl.warehouse import schema
from etl.warehouse.database import Database


def _run(connection: Connection) -> None:
    schema.prepare(connection)
    context.configure(connection=connection, **schema.comparison())
    with context.begin_transaction():
        context.run_migrations()


def _run_by_address() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url") or os.environ.get("ETL_WAREHOUSE__URL")
    if not url:
        raise CommandError("No database: give -x url=postgresql://… or set ETL_WAREHOUSE__URL.")
    with Database(url) as database, database.begin() as connection:
        _run(connection)


if context.is_offline_mode():
    raise CommandError("Migrations look at the server they run on, so they cannot be written out as SQL (--sql).")
given = context.config.attributes.get("connection")
if given is None:
    _run_by_address()
else:
    _run(given)
