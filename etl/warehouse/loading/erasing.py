"""What a page's transaction offers where something was erased: who is, which calls are, and what is held of them, to be cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from etl.errors import UsageError
from etl.records.rows import HeldCalls, Rewrite
from etl.records.shield import Shield
from etl.runs.port import KeptVersion, RejectText
from etl.warehouse.database import Database, driver_of
from etl.warehouse.held_calls import read_held_of
from etl.warehouse.loading.fence import Standing
from etl.warehouse.loading.load import Loader
from etl.warehouse.tables import erased_calls, erasures, rejected_records, texts

_VERSIONS = """
SELECT call_id, version, raw::text, detail::text, content_hash FROM public.call_history
WHERE connection = %s AND call_id = ANY(%s::text[])
"""
_REWRITE_VERSION = (
    "UPDATE public.call_history SET raw = %s, detail = %s, content_hash = %s, changed_at = %s "
    "WHERE connection = %s AND call_id = %s AND version = %s"
)


def shield_of(database: Database, connection: Connection, name: str, standing: Standing) -> Shield | None:
    """
    Return what keeps out what is erased of a connection, as its row says that it stands now; None: nothing ever was.

    The hashes are read when the row says that there are new ones: so a page that was read before an erasure is cut as well.
    Raises UsageError where this process has no key to know them by.
    """
    if not standing.erasures:
        if standing.calls_before is None and standing.words_before is None:
            return None
        return Shield(calls_before=standing.calls_before, words_before=standing.words_before)
    key = database.erasure_key
    if key is None:
        raise UsageError(
            "Persons were erased from this warehouse, and warehouse.erasure_key is not set.",
            safe="Nothing was written: without the key it cannot be known whose calls must not come back.",
            hint="Set warehouse.erasure_key (or ETL_WAREHOUSE__ERASURE_KEY) to the key that they were erased with.",
        )
    known = database.erased.get(name)
    if known is None or known[0] != standing.erasures:
        found = frozenset(bytes(one) for one in connection.execute(select(erasures.c.hash)).scalars())
        known = database.erased[name] = (standing.erasures, Shield(key=key, hashes=found))
    return replace(known[1], calls_before=standing.calls_before, words_before=standing.words_before)


class Erasing:
    """Implements `etl.runs.port.ErasingPage`, whose methods are documented there."""

    def __init__(self, connection: Connection, name: str, loader: Loader, shield: Shield, *, now: datetime) -> None:
        self._connection = connection
        self._driver = driver_of(connection)
        self._name = name
        self._loader = loader
        self._now = now
        self.shield = shield

    def erased_among(self, call_ids: Collection[str]) -> frozenset[str]:
        table = erased_calls
        asked = select(table.c.call_id).where(table.c.connection == self._name, table.c.call_id == func.any(texts(call_ids)))
        return frozenset(self._connection.execute(asked).scalars())

    def note_erased(self, call_ids: Collection[str]) -> None:
        rows = [{"connection": self._name, "call_id": call_id, "erased_at": self._now} for call_id in sorted(call_ids)]
        if rows:
            self._connection.execute(insert(erased_calls).on_conflict_do_nothing(), rows)

    def held_whole(self, call_ids: Collection[str]) -> HeldCalls:
        return read_held_of(self._driver, self._name, call_ids)

    def rewrite(self, rewrites: Sequence[Rewrite]) -> frozenset[str]:
        return self._loader.rewrite(rewrites) if rewrites else frozenset()

    def versions_of(self, call_ids: Collection[str]) -> Sequence[KeptVersion]:
        return [KeptVersion(*row) for row in self._driver.execute(_VERSIONS, (self._name, list(call_ids))).fetchall()]

    def rewrite_versions(self, versions: Sequence[KeptVersion]) -> None:
        if not versions:
            return
        with self._driver.cursor() as cursor:
            cursor.executemany(
                _REWRITE_VERSION,
                [(one.raw, one.detail, one.content_hash, self._now, self._name, one.call_id, one.version) for one in versions],
            )

    def rejects_of(self, call_ids: Collection[str]) -> Sequence[RejectText]:
        table = rejected_records
        asked = select(table.c.stream, table.c.record_key, table.c.raw_text).where(
            table.c.connection == self._name, table.c.call_id == func.any(texts(call_ids))
        )
        return [RejectText(*row) for row in self._connection.execute(asked)]

    def rewrite_rejects(self, rejects: Sequence[tuple[RejectText, str, str]]) -> None:
        table = rejected_records
        for one, text, key in rejects:
            mine = (table.c.connection == self._name, table.c.stream == one.stream)
            taken = select(table.c.record_key).where(*mine, table.c.record_key == key)
            itself = (*mine, table.c.record_key == one.record_key)
            if key != one.record_key and self._connection.execute(taken).first() is not None:
                self._connection.execute(delete(table).where(*itself))
            else:
                self._connection.execute(update(table).where(*itself).values(raw_text=text, record_key=key))
