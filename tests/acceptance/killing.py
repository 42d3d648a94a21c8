"""Knows how the program is killed at a chosen moment: at a request, after a commit, or inside a transaction."""

from __future__ import annotations

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import psycopg
from sqlalchemy import make_url

from tests.acceptance.cast import CAST
from tests.acceptance.process import Hook, Program, content, copied, execute, rows, wait_until

LOCK = 4711
WITHOUT = (
    *("first_seen_at", "last_seen_at", "last_changed_at", "changed_at", "observed_at", "detail_observed_at", "detail_due_at"),
    *("last_run_id", "updated_at"),
)
"""The columns that tell when something was observed, and by which run: two runs differ in them."""

# Every page's transaction writes the run's counters last. In a database with the setting `stage.stop_at` the transaction of
# that number waits there, with all its rows written, for a lock that the test holds.
TRIGGER = f"""
CREATE SEQUENCE public.stage_pages;
CREATE FUNCTION public.stage_page() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('stage_pages', '');
    IF nextval('public.stage_pages')::text = current_setting('stage.stop_at', true) THEN
        PERFORM pg_advisory_xact_lock({LOCK});
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stage_page AFTER UPDATE ON sync.runs FOR EACH ROW WHEN (NEW.status = 'running')
    EXECUTE FUNCTION public.stage_page();
"""


# The same for every statement that writes: a transaction waits after it, with what it has written so far.
EVERY_WRITE = TRIGGER + "".join(
    f"CREATE TRIGGER stage_{table} AFTER INSERT OR UPDATE OR DELETE ON {schema}.{table} FOR EACH STATEMENT "
    "EXECUTE FUNCTION public.stage_page();\n"
    for schema, table in (
        ("public", "calls"),
        ("public", "call_participants"),
        ("public", "call_messages"),
        ("public", "call_history"),
        ("sync", "state"),
        ("sync", "rejected_records"),
        ("sync", "schema_drift"),
    )
)

READ = ("public.calls", "public.call_participants", "public.agents", "sync.state")
"""The tables that hold what was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    When the process is killed: with the `number`-th request unanswered, page committed, or page about to commit.

    With EVERY_WRITE the last is the statement of that number, inside its transaction, and a page is any transaction.
    """

    kind: str
    number: int


class Killing:
    """A group of moments: each begins with a copy of one database, before one and the same history that stands still."""

    def __init__(
        self,
        program: Program,
        hook: Hook,
        *,
        server_url: str,
        template: str,
        command: tuple[str, ...] = ("sync",),
        tables: tuple[str, ...] = READ,
        without: tuple[str, ...] = WITHOUT,
    ) -> None:
        self.program = program
        self.hook = hook
        self.command = command
        self.tables = tables
        self.without = without
        self._server_url = server_url
        self._template = template

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Begin anew."""
        with copied(self._server_url, self.program.url, self._template):
            self.program.sandbox.clear_requests()
            yield

    def kill_at(self, moment: Moment) -> None:
        """Run the command, kill it at a moment, and wait until the database has noticed."""
        ways: dict[str, Callable[[int], None]] = {"request": self._request, "page": self._page, "inside": self._inside}
        ways[moment.kind](moment.number)
        wait_until(
            self.program.url,
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    def _request(self, number: int) -> None:
        started: SimpleQueue[int] = SimpleQueue()
        self.hook.arm(number, lambda: os.kill(started.get(), signal.SIGKILL))
        started.put(self.program.fork(*self.command))
        ended = self.program.forked()
        self.hook.arm(0, lambda: None)
        # Threads that ask for details side by side find out at the same time which form of an id is known: a few requests
        # more or less, so that the last ones may never be sent.
        assert ended.code in (-signal.SIGKILL, 0), ended

    def _page(self, number: int) -> None:
        with psycopg.connect(self.program.url, autocommit=True) as session:
            session.execute("LISTEN stage_pages")
            child = self.program.fork(*self.command)
            left = number
            while left > 0 and alive(child):
                left -= len(list(session.notifies(timeout=0.2, stop_after=left)))
            kill(child)
        assert self.program.forked().code in (-signal.SIGKILL, 0)  # after the last page it may have ended

    def _inside(self, number: int) -> None:
        name = make_url(self.program.url).database
        execute(self.program.url, f"ALTER DATABASE \"{name}\" SET stage.stop_at = '{number}'")
        waiting = f"SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND NOT granted"
        with psycopg.connect(self.program.url, autocommit=True) as session:
            session.execute(f"SELECT pg_advisory_lock({LOCK})".encode())
            child = self.program.fork(*self.command)
            while session.execute(waiting.encode()).fetchone() != (True,) and alive(child):
                session.execute("SELECT pg_sleep(0.002)")
            kill(child)
        assert self.program.forked().code in (-signal.SIGKILL, 0)
        execute(self.program.url, f'ALTER DATABASE "{name}" RESET stage.stop_at')

    def held(self) -> dict[str, list[Any]]:
        """Return what the warehouse holds in the tables that count; of some instants only whether there is one."""
        found = content(self.program.url, without=self.without)
        for row in [row for table in self.tables for row in found[table]]:
            for name in {"content_hash", "detail_due_at", "resolved_at"} & row.keys():
                row[name] = row[name] is not None  # the hash is of the bytes, in which a signed address differs
            for place in (row, row.get("raw"), row.get("detail")):
                if isinstance(place, dict) and place.get("recording_url"):
                    place["recording_url"] = re.sub(r"\?.*", "", place["recording_url"])
        return {table: found[table] for table in self.tables}

    def asked(self) -> Counter[tuple[str, str]]:
        """Return how many pages of calls were asked for, by provider and stream, since the beginning."""
        entries = self.program.sandbox.requests()
        return Counter((entry.provider, entry.path) for entry in entries if entry.path.endswith(CAST[entry.provider].page))


EVERYTHING = (*READ, "public.call_messages", "public.call_history", "sync.rejected_records")
"""The tables that hold what was read, and what it was before."""

OBSERVED = (
    *(
        "first_seen_at",
        "last_seen_at",
        "last_changed_at",
        "changed_at",
        "observed_at",
        "detail_observed_at",
        "valid_from",
        "valid_to",
    ),
    *("last_run_id", "updated_at", "sightings"),
)
"""The columns in which two runs differ that read the same: when, by which run and how often it was observed."""

_DISORDER = """
SELECT count(*) FROM call_versions earlier JOIN call_versions later USING (connection, call_id)
WHERE later.version > earlier.version AND (earlier.valid_to IS NULL OR earlier.valid_to > later.valid_from)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What one undisturbed command did, in a database with EVERY_WRITE."""

    held: dict[str, list[Any]]
    requests: int
    transactions: int
    statements: int


def alive(child: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        os.kill(child, 0)
    except ProcessLookupError:
        return False
    return True


def kill(child: int) -> None:
    """Kill a process, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def whole(killing: Killing) -> Whole:
    """Run the command once to its end."""
    with killing.fresh(), psycopg.connect(killing.program.url, autocommit=True) as session:
        session.execute("LISTEN stage_pages")
        ended = killing.program.run(*killing.command)
        assert ended.code == 0, ended
        transactions = len(list(session.notifies(timeout=0)))
        (row,) = rows(killing.program.url, "SELECT last_value FROM public.stage_pages")
        requests = len(killing.program.sandbox.requests())
        return Whole(held=killing.held(), requests=requests, transactions=transactions, statements=row[0])


def differing(held: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """Return the rows of each table that stand on one side only, with their table."""
    found: list[tuple[str, Any]] = []
    for table, theirs in wanted.items():
        ours = held[table]
        found += [(f"{table}, too much", row) for row in ours if row not in theirs]
        found += [(f"{table}, missing", row) for row in theirs if row not in ours]
        if len(ours) != len(theirs):
            found.append((f"{table}, rows", (len(ours), len(theirs))))
    return found


def survive(
    killing: Killing, *, seed: int, number: int, between: Callable[[], Callable[[], None] | None] | None = None
) -> dict[str, list[Any]]:
    """
    Kill the command at that many moments, run it again, and compare with one that nobody killed; return what that one held.

    `between` is called after each kill, and what it returns when the command has run again.
    """
    reference = whole(killing)
    chance = random.Random(seed)
    ends = {"request": reference.requests, "page": reference.transactions, "inside": reference.statements}
    kinds = [kind for kind in ("request", "page", "inside") if ends[kind]]
    for index in range(number):
        kind = kinds[index % len(kinds)]
        moment = Moment(kind=kind, number=chance.randint(1, ends[kind]))
        print(f"seed {seed}, {moment} of {ends[kind]}")  # noqa: T201 - what repeats a failure
        with killing.fresh():
            killing.kill_at(moment)
            after = between() if between else None
            ended = killing.program.run(*killing.command)
            assert ended.code == 0, ended
            found = differing(killing.held(), reference.held)
            assert not found, found[:4]
            assert rows(killing.program.url, _DISORDER) == [(0,)]
            assert rows(killing.program.url, "SELECT count(*) FROM sync.runs WHERE status = 'running'") == [(0,)]
            if after:
                after()
    return reference.held
