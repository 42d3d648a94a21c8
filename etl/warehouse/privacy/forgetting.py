"""The warehouse of erasing runs, as `etl.runs.forgetting` asks for it: what is held goes out, and what is left of it comes in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, update

from etl.runs.account import Account
from etl.runs.forgetting import Aged, Standing, Texts
from etl.runs.port import FIRST, Place, RejectText
from etl.warehouse.loading.transaction import Page, page_transaction
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.tables import (
    agents,
    audits,
    call_history,
    calls,
    connections,
    erased_calls,
    rejected_records,
    schema_drift,
    texts,
)

_CALLS = (
    "SELECT call_id, 0, raw::text, detail::text FROM public.calls "
    "WHERE connection = %s AND call_id > %s ORDER BY call_id LIMIT %s"
)
_VERSIONS = (
    "SELECT call_id, version, raw::text, detail::text FROM public.call_history "
    "WHERE connection = %s AND (call_id, version) > (%s, %s) ORDER BY call_id, version LIMIT %s"
)
_STANDING = tuple(
    connections.c[name]
    for name in (
        "erasures",
        "erasures_done",
        "erase_calls_before",
        "calls_erased_before",
        "erase_words_before",
        "words_erased_before",
    )
)


class ForgettingPage(Page):
    """Implements `etl.runs.forgetting.ForgettingPage`, whose methods are documented there."""

    def texts_after(self, after: str, *, limit: int) -> Sequence[Texts]:
        return [Texts(*row) for row in self._driver.execute(_CALLS, (self._account.connection, after, limit)).fetchall()]

    def versions_after(self, after: tuple[str, int], *, limit: int) -> Sequence[Texts]:
        return [Texts(*row) for row in self._driver.execute(_VERSIONS, (self._account.connection, *after, limit)).fetchall()]

    def aged_calls(
        self, stream: str, after: Aged | None, *, since: datetime | None, until: datetime, limit: int
    ) -> Sequence[Aged]:
        place = (calls.c.cursor_at, calls.c.call_id)
        asked = select(*place).where(*_within(calls, self._account.connection, since, until), calls.c.stream == stream)
        if after is not None:
            beyond = (calls.c.cursor_at == after.cursor_at) & (calls.c.call_id > after.call_id)
            asked = asked.where(calls.c.cursor_at >= after.cursor_at, beyond | (calls.c.cursor_at > after.cursor_at))
        return [Aged(*row) for row in self._connection.execute(asked.order_by(*place).limit(limit))]

    def aged_versions(self, after: str, *, since: datetime | None, until: datetime, limit: int) -> Sequence[Aged]:
        table = call_history
        asked = (
            select(func.min(table.c.cursor_at), table.c.call_id)
            .where(*_within(table, self._account.connection, since, until), table.c.call_id > after)
            .group_by(table.c.call_id)
            .order_by(table.c.call_id)
            .limit(limit)
        )
        return [Aged(*row) for row in self._connection.execute(asked)]

    def reject_texts_after(self, place: Place, *, limit: int) -> Sequence[RejectText]:
        table = rejected_records
        asked = select(table.c.stream, table.c.record_key, table.c.raw_text).where(table.c.connection == self._account.connection)
        if place != FIRST:
            beyond = (table.c.stream == place.stream) & (table.c.record_key > place.record_key)
            asked = asked.where(beyond | (table.c.stream > place.stream))
        return [
            RejectText(*row) for row in self._connection.execute(asked.order_by(table.c.stream, table.c.record_key).limit(limit))
        ]

    def ask_deletion(self, call_ids: Collection[str]) -> None:
        table = erased_calls
        mine = (table.c.connection == self._account.connection, table.c.call_id == func.any(texts(call_ids)))
        self._connection.execute(update(table).where(*mine, table.c.deletion.is_(None)).values(deletion="asked"))

    def cut_others(self, names_somebody: Callable[[str], bool]) -> int:
        session, mine = self._connection, self._account.connection
        cut = sum(
            _empty(session, table, mine, column, names_somebody)
            for table, column in ((agents, "name"), (agents, "display_name"), (schema_drift, "sample"), (audits, "note"))
        )
        paths = session.execute(select(schema_drift.c.path).where(schema_drift.c.connection == mine).distinct()).scalars()
        named = [path for path in paths if names_somebody(path)]
        if named:
            session.execute(delete(schema_drift).where(schema_drift.c.connection == mine, schema_drift.c.path.in_(named)))
        return cut + len(named)

    def age(self, *, calls_after: timedelta | None, words_after: timedelta | None) -> None:
        ages = {"erase_calls_before": calls_after, "erase_words_before": words_after}
        moved = {name: func.greatest(connections.c[name], self._now - after) for name, after in ages.items() if after is not None}
        if moved:
            self._connection.execute(
                update(connections).where(connections.c.connection == self._account.connection).values(**moved)
            )

    def standing(self) -> Standing:
        asked = select(*_STANDING).where(connections.c.connection == self._account.connection)
        return Standing(*self._connection.execute(asked).one())

    def gone_through(self, standing: Standing) -> None:
        done = {
            "erasures_done": standing.erasures,
            "calls_erased_before": standing.calls_before,
            "words_erased_before": standing.words_before,
        }
        self._connection.execute(update(connections).where(connections.c.connection == self._account.connection).values(**done))


class PostgresForgetting(PostgresWarehouse):
    """Implements `etl.runs.forgetting.ForgettingWarehouse`, whose methods are documented there."""

    def standing(self, connection: str) -> Standing | None:
        with self._database.begin() as session:
            found = session.execute(select(*_STANDING).where(connections.c.connection == connection)).first()
        return None if found is None else Standing(*found)

    def calls_held(self, connection: str) -> int:
        with self._database.begin() as session:
            return int(session.execute(select(func.count()).where(calls.c.connection == connection)).scalar_one())

    @contextmanager
    def page(self, account: Account, *, run_id: int) -> Iterator[ForgettingPage]:
        with page_transaction(self._database, account, run_id, ForgettingPage) as page:
            yield page


def _empty(session: Connection, table: Table, name: str, column: str, names_somebody: Callable[[str], bool]) -> int:
    """Empty a column where it names somebody, and return in how many rows."""
    mine, text = table.c.connection == name, table.c[column]
    told = session.execute(select(text).where(mine, text.is_not(None)).distinct()).scalars()
    named = [one for one in told if names_somebody(one)]
    return session.execute(update(table).where(mine, text.in_(named)).values({column: None})).rowcount if named else 0


def _within(table: Table, name: str, since: datetime | None, until: datetime) -> tuple[ColumnElement[bool], ...]:
    inside = (table.c.connection == name, table.c.cursor_at < until)
    return inside if since is None else (*inside, table.c.cursor_at >= since)
