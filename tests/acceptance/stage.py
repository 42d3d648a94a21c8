"""
Knows the stage of the acceptance tests: a sandbox behind real HTTP, a warehouse, and syncs joined as the program joins them.

The one thing that is not the program's own is the clock. It follows the sandbox's history, as two machines have the same time;
and whoever sleeps by it lets it jump ahead, so that no test waits.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from etl.cli.progress import Silence
from etl.config import ConnectionSettings, Settings, load
from etl.effects import Effects
from etl.runs.lifecycle import Connect, Surroundings
from etl.runs.port import Watcher
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, Trigger, Want
from etl.sandbox import NO_LIMITS, Entry, History, Sandbox, Switches
from etl.system import SystemClock, system_effects
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.wiring import Connector, Opened, Warehouse, account, surroundings
from tests.acceptance.cast import CAST, NAMES, USUAL, per_day

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
Row = dict[str, Any]


class StageClock(SystemClock):
    """
    The clock of a history, a second ahead of it, but for those who sleep time has passed at once.

    So the end of a window, which is in whole seconds, is after what happens now. It moves on by a microsecond whenever it is
    looked at, so that what happens later is later. `off` sets it wrong.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._passed = timedelta(seconds=1)
        self.off = timedelta()

    def now(self) -> datetime:
        with self._lock:
            self._passed += timedelta(microseconds=1)
            return self._history.now + self._passed + self.off

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._passed += timedelta(seconds=seconds)


def quiet_history(seed: int = 1, **given: Any) -> History:
    """A history in which nothing happens but what a test does to it."""
    calm = {"late": 0, "vanishing": 0, "amended": 0, "long": 0, "agents": 1, "agent_changes": (0, 0, 0)}
    return History(seed, **{"start": START, "calls_per_day": per_day(0), **calm, **given})


@dataclass(slots=True, kw_only=True)
class Stage:
    """
    A connection at each of `providers` of the sandbox; one that a test syncs alone joins them.

    `settings` holds further keys of each connection's section by provider; they may change between two syncs.
    """

    sandbox: Sandbox
    database: Database
    url: str
    folder: Path
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    providers: tuple[str, ...] = tuple(USUAL)
    max_attempts: int = 8
    max_response_mb: int = 64
    clock: StageClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = StageClock(self.sandbox.history)

    @property
    def history(self) -> History:
        """What is true at the providers."""
        return self.sandbox.history

    def configured(self) -> Settings:
        """Write a config.toml and load it."""
        lines = ["[warehouse]", f"url = {json.dumps(self.url)}", "", "[http]", f"max_attempts = {self.max_attempts}"]
        lines += [f"max_response_mb = {self.max_response_mb}", "backoff = 0.001", "max_backoff = 0.01", ""]
        for provider, name in ((provider, NAMES[provider]) for provider in self.providers):
            keys = {"provider": provider, "token": self.sandbox.tokens[provider], "base_url": self.sandbox.url(provider)}
            keys |= self.sandbox.own.get(provider, {})
            keys |= self.settings.get(provider, {})
            lines += [f"[connections.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
        path = self.folder / "config.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return load(path, {}, container_secrets=self.folder / "none")

    def sync_all(self, *providers: str, want: Want | None = None, stop: threading.Event | None = None) -> dict[str, Outcome]:
        """Sync the connections at these providers (none: all), one after the other, each as `etl sync` does."""
        self.providers = tuple(dict.fromkeys((*self.providers, *providers)))
        settings = self.configured()
        chosen = settings.choose(tuple(NAMES[provider] for provider in providers or self.providers))
        with self.surroundings(PostgresWarehouse, stop=stop) as given:
            outcomes = [
                sync_connection(
                    account(name, one), want=want or Want(), connect=self.connect(settings, chosen, given), given=given
                )
                for name, one in chosen.items()
            ]
        return dict(zip(providers or self.providers, outcomes, strict=True))

    def connect(
        self, settings: Settings, chosen: Mapping[str, ConnectionSettings], given: Surroundings[PostgresWarehouse]
    ) -> Connect:
        """Return what opens the client of one of the chosen connections, by the stage's clock."""
        return Connector(settings, chosen, effects=self.effects, book=given.warehouse.allowances)

    @property
    def effects(self) -> Effects:
        """What the program takes from this machine, but for the clock."""
        return replace(system_effects(), clock=self.clock)

    @contextmanager
    def surroundings(
        self, warehouse: Callable[[Database, Locks], Warehouse], *, watcher: Watcher | None = None, stop: Any = None
    ) -> Iterator[Surroundings[Warehouse]]:
        """Give runs what `etl` gives them, with the warehouse as they see it."""
        opened = Opened(database=self.database, conninfo="")
        stop, watcher = stop or threading.Event(), watcher or Silence()
        with surroundings(warehouse, opened, effects=self.effects, watcher=watcher, stop=stop, trigger=Trigger.CLI) as given:
            yield given

    def sync(self, provider: str, *, want: Want | None = None, stop: threading.Event | None = None) -> Outcome:
        """Sync the connection at one provider."""
        return self.sync_all(provider, want=want, stop=stop)[provider]

    # What the warehouse holds

    def rows(self, query: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run a query on the warehouse."""
        with self.database.begin() as session:
            return [dict(row) for row in session.exec_driver_sql(query, dict(parameters or {})).mappings()]

    def calls(self, provider: str) -> dict[str, Row]:
        """Return all columns of all calls of a connection by their ids."""
        found = self.rows("SELECT * FROM calls WHERE connection = %(name)s", {"name": NAMES[provider]})
        return {row["call_id"]: row for row in found}

    def ids(self, provider: str) -> set[str]:
        """Return the ids of the calls held."""
        return set(self.calls(provider))

    def state(self, provider: str) -> list[Row]:
        """Return the streams of a connection, without the instant at which they were written."""
        query = (
            "SELECT stream, high_water_mark, coverage, settled, horizon, domain_start, closed_at FROM sync.state "
            "WHERE connection = %(name)s ORDER BY stream"
        )
        return self.rows(query, {"name": NAMES[provider]})

    def ranges(self, provider: str, column: str = "coverage") -> list[tuple[datetime, datetime]]:
        """Return the ranges of the connection's only stream."""
        (row,) = self.state(provider)
        return [(one.lower, one.upper) for one in row[column]]

    def rejects(self, provider: str) -> list[Row]:
        """Return what is known of the rejected records of a connection, but for their keys and instants."""
        query = (
            "SELECT stream, call_id, reason, raw_text, sightings, resolved_at FROM sync.rejected_records "
            "WHERE connection = %(name)s ORDER BY reason, raw_text"
        )
        return self.rows(query, {"name": NAMES[provider]})

    def drift(self, provider: str) -> list[tuple[str, str, str, int]]:
        """Return path, kind, sample and count of every departure that was noted."""
        query = "SELECT path, kind, sample, count FROM sync.schema_drift WHERE connection = %(name)s ORDER BY path, kind"
        return [tuple(row.values()) for row in self.rows(query, {"name": NAMES[provider]})]  # type: ignore[misc]

    def freshness(self, provider: str) -> Row:
        """Return the connection's row of `data_freshness`."""
        (row,) = self.rows("SELECT * FROM data_freshness WHERE connection = %(name)s", {"name": NAMES[provider]})
        return row

    def run_row(self, outcome: Outcome) -> Row:
        """Return the row of a run."""
        (row,) = self.rows("SELECT * FROM sync.runs WHERE id = %(id)s", {"id": outcome.run_id})
        return row

    # What the provider saw

    def pages(self, provider: str) -> list[Entry]:
        """Return the requests for pages of calls since the log was cleared."""
        return [entry for entry in self.sandbox.requests(provider) if entry.path.endswith(CAST[provider].page)]

    def numbers(self, provider: str) -> list[int]:
        """Return the page numbers asked for since the log was cleared."""
        return [int(entry.query.get("page", "1")) for entry in self.pages(provider)]

    def truth_ids(self, provider: str) -> set[str]:
        """Return the ids of the calls that live at the provider."""
        return {call.id for call in self.history.living(provider)}


def opened(history: History, *, database: Database, url: str, folder: Path, switches: Switches | None = None) -> Stage:
    """Start a sandbox on a history and set a stage before it; the sandbox has to be stopped."""
    sandbox = Sandbox(history, limits=NO_LIMITS, switches=switches).start()
    return Stage(sandbox=sandbox, database=database, url=url, folder=folder)
