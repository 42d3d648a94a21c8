"""One token, and whoever uses it: connections, runs and processes share the allowance that the provider gives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.audit.lifecycle import audit_connection
from etl.cli.progress import Silence
from etl.config import Settings, load
from etl.errors import AccountBusy
from etl.runs.lifecycle import Surroundings
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, RunStatus, Trigger, Want
from etl.sandbox import Sandbox
from etl.sandbox.limits import Quota
from etl.system import SystemThreads, system_effects
from etl.warehouse.allowances import Allowances
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.wiring import Connector, Opened, account, on_each, surroundings
from tests.acceptance.process import PATIENCE, Ended, Hook, content, rows
from tests.acceptance.quick import Quick
from tests.acceptance.stage import StageClock, quiet_history

CALLS = 30
A_MINUTE = (Quota(requests=20, seconds=60),)
QUICK = 40.0
"""How fast the clock of real processes runs: a minute takes a second and a half."""


@dataclass(kw_only=True)
class Lines:
    """Connections at one provider, by their tokens, all with the limit that the provider has: 20 a minute."""

    sandbox: Sandbox
    database: Database
    url: str
    folder: Path
    tokens: dict[str, str]
    clock: StageClock
    more: str = ""  # another key of every connection

    def write(self, *names: str) -> Path:
        """Write a configuration of these connections."""
        lines = ["[warehouse]", f"url = {json.dumps(self.url)}", "[http]", "backoff = 0.001", "timeout = 300"]
        for name in names:
            lines += [f"[connections.{name}]", 'provider = "tuple"', 'rate_limit = "20/min"', "per_page = 5"]
            lines += [
                self.more,
                f"token = {json.dumps(self.tokens[name])}",
                f"base_url = {json.dumps(self.sandbox.url('tuple'))}",
            ]
        path = self.folder / f"{'_'.join(names)}.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def settings(self, *names: str) -> Settings:
        """Load a configuration of these connections."""
        return load(self.write(*names), {}, container_secrets=self.folder / "none")

    @contextmanager
    def process(self, *names: str, kind: Any = None, watcher: Any = None) -> Iterator[tuple[Connector, Surroundings[Any]]]:
        """Give what a process of its own would have to work on these connections, by the clock of the test."""
        from etl.warehouse.postgres import PostgresWarehouse

        settings, effects = self.settings(*names), replace(system_effects(), clock=self.clock)
        with surroundings(
            kind or PostgresWarehouse,
            Opened(database=self.database, conninfo=""),
            effects=effects,
            watcher=watcher or Silence(),
            stop=threading.Event(),
            trigger=Trigger.CLI,
        ) as given:
            yield Connector(settings, settings.choose(names), effects=effects, book=given.warehouse.allowances), given

    def sync(self, *names: str, full: bool = False, watcher: Any = None) -> list[Outcome]:
        """Sync connections side by side, as one process does."""
        with self.process(*names, watcher=watcher) as (connect, given):
            chosen = self.settings(*names).choose(names)
            want = Want(full=full)
            return on_each(lambda one: sync_connection(one, want=want, connect=connect, given=given), chosen, given=given)

    @contextmanager
    def used_by_another(self, name: str) -> Iterator[None]:
        """Let another process use the account of a connection for the block."""
        with Locks(self.database, SystemThreads()) as locks:
            book = Allowances(self.database, locks)
            book.take(book.account("tuple", self.tokens[name]), now=self.clock.now())
            yield

    def wait_for(self, name: str) -> None:
        """Let another process ask for the account of a connection, in vain."""
        with pytest.raises(AccountBusy), self.used_by_another(name):
            pass

    def requests(self) -> int:
        """Return how many requests reached the provider."""
        return len(self.sandbox.requests("tuple"))

    @property
    def refused(self) -> int:
        """How many requests were refused because they came too early."""
        return self.sandbox.violations("tuple")


def lines_of(sandbox: Sandbox, database: Database, url: str, folder: Path, clock: StageClock) -> Lines:
    """Return three connections with one token, and one with another."""
    for hours in range(1, CALLS + 1):
        sandbox.history.add("tuple", at=sandbox.history.now - timedelta(hours=hours))
    mine, other = sandbox.tokens["tuple"], sandbox.other_tokens["tuple"]
    tokens = {"one": mine, "two": mine, "three": mine, "foreign": other}
    return Lines(sandbox=sandbox, database=database, url=url, folder=folder, tokens=tokens, clock=clock)


@pytest.fixture
def lines(database: Database, database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Lines]:
    """Give the connections, and a provider that counts by the clock of the test."""
    history = quiet_history()
    clock = StageClock(history)
    counting = {"limits": {"tuple": A_MINUTE}, "limit_clock": lambda: clock.now().timestamp(), "on_request": hook}
    with Sandbox(history, **counting) as sandbox:  # type: ignore[arg-type]
        yield lines_of(sandbox, database, database_url, tmp_path, clock)


def ended(outcomes: list[Outcome]) -> list[tuple[str, RunStatus, str | None]]:
    """Return how connections ended, and with which error."""
    return [(one.connection, one.status, one.error.code if one.error else None) for one in outcomes]


def owners(lines: Lines) -> list[Any]:
    """Return who uses each account."""
    return [owner for (owner,) in rows(lines.url, "SELECT owner FROM sync.allowances ORDER BY account")]


# ── One process after the other ─────────────────────────────────────────────────────────────────────────────────────


def test_ten_runs_one_after_another_are_never_refused(lines: Lines) -> None:
    """Each in a process of its own, of three connections in turn; together they ask far more than one minute allows."""
    began = lines.clock.now()
    for number in range(10):
        name = ("one", "two", "three")[number % 3]
        assert ended(lines.sync(name, full=True)) == [(name, RunStatus.SUCCEEDED, None)]

    minutes = (lines.clock.now() - began) / timedelta(minutes=1)
    assert (lines.refused, lines.requests() > 60, minutes > lines.requests() / 20 - 1.1) == (0, True, True)
    assert owners(lines) == [None]


def test_a_pause_holds_for_every_connection_of_the_account(lines: Lines) -> None:
    """`Retry-After: 3600`: no process asks before the hour is over, whatever its connection; other accounts are not paused."""
    lines.sandbox.faults.add("rate_limited", provider="tuple", times=1, retry_after=3600)
    told = ended(lines.sync("one"))
    lines.sandbox.clear_requests()
    lines.clock.sleep(1800)
    waits = ended(lines.sync("two", "three"))
    asked = lines.requests()
    others = ended(lines.sync("foreign"))
    lines.clock.sleep(1800)
    after = ended(lines.sync("two"))

    assert told == [("one", RunStatus.PARTIAL, "budget_spent")]
    assert (waits, asked) == ([(name, RunStatus.PARTIAL, "budget_spent") for name in ("two", "three")], 0)
    assert (others, after) == ([("foreign", RunStatus.SUCCEEDED, None)], [("two", RunStatus.SUCCEEDED, None)])


def test_the_token_stands_nowhere_in_the_database(lines: Lines) -> None:
    """Not in any row; what the rows of accounts are named by is neither the token nor a hash that anybody could make."""
    import hashlib

    lines.sync("one", "foreign")
    held = json.dumps(content(lines.url), default=str)
    tokens = [lines.tokens[name] for name in ("one", "foreign")]
    plain = [hashlib.sha256(f"{salt}{token}".encode()).hexdigest() for token in tokens for salt in ("", "tuple", "tuple\0")]

    assert [text for text in (*tokens, *plain) if text in held] == []
    assert len({name for (name,) in rows(lines.url, "SELECT account FROM sync.allowances")}) == 2


# ── Side by side ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_connections_of_an_account_run_side_by_side_on_one_limiter(lines: Lines) -> None:
    """In one process nobody is refused by the provider, and nobody is sent away by us."""
    outcomes = lines.sync("one", "two", "three")

    assert ended(outcomes) == [(name, RunStatus.SUCCEEDED, None) for name in ("one", "two", "three")]
    assert (lines.refused, lines.requests() > 20, owners(lines)) == (0, True, [None])
    assert rows(lines.url, "SELECT connection, count(*) FROM calls GROUP BY 1 ORDER BY 1") == [
        (name, CALLS) for name in ("one", "three", "two")
    ]


def test_an_account_that_another_process_uses_is_left_alone(lines: Lines) -> None:
    """No run is opened and nothing is asked for; a connection with another token is synced beside it."""
    with lines.used_by_another("one"):
        outcomes = lines.sync("one", "foreign", "two")
    busy, others, _ = outcomes

    assert ended([others]) == [("foreign", RunStatus.SUCCEEDED, None)]
    assert [(one.run_id, one.error.code, one.error.exit_code) for one in outcomes if one.error] == [(None, "account_busy", 3)] * 2
    assert str(busy.error) == (
        "Connection one: another process is using the request allowance of its account. Nothing was asked for, and nothing was "
        "touched. Wait for it to end: it lets others have the account after ten minutes at the latest, and the next run "
        "continues. Connections with one token share it side by side if one command or one worker syncs them."
    )
    assert rows(lines.url, "SELECT DISTINCT connection FROM sync.runs") == [("foreign",)]
    assert ended(lines.sync("one")) == [("one", RunStatus.SUCCEEDED, None)]


def test_an_audit_needs_the_account_too(lines: Lines) -> None:
    """Its requests count like all others."""
    lines.sync("one")

    def audited() -> Any:
        with lines.process("one", kind=AuditedWarehouse) as (connect, given):
            return audit_connection(account("one", lines.settings("one").choose(("one",))["one"]), connect=connect, given=given)

    (before,) = rows(lines.url, "SELECT day_requests FROM sync.allowances")
    outcome = audited()
    (after,) = rows(lines.url, "SELECT day_requests FROM sync.allowances")
    with lines.used_by_another("one"):
        busy = audited()

    assert (outcome.error, after[0] - before[0]) == (None, outcome.requests)
    assert (busy.error.code, busy.requests, busy.verdicts) == ("account_busy", 0, [])


@dataclass
class AtPage:
    """Does something when so many pages are committed."""

    acts: dict[int, Callable[[], object]]
    pages: int = 0

    def stream_started(self, connection: str, stream: str) -> None:
        pass

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        self.pages += 1
        self.acts.get(self.pages, lambda: None)()

    def stream_finished(self, connection: str, stream: str) -> None:
        pass


def test_a_run_gives_way_ten_minutes_after_another_process_asked(lines: Lines) -> None:
    """It ends partial at a page; what it had loaded stays, and the account is free for the other one, then for the next run."""
    watcher = AtPage({2: lambda: lines.wait_for("two"), 3: lambda: lines.clock.sleep(2), 4: lambda: lines.clock.sleep(601)})
    first = lines.sync("one", watcher=watcher)
    (held,) = rows(lines.url, "SELECT count(*) FROM calls")[0]
    left = rows(lines.url, "SELECT owner, wanted_at FROM sync.allowances")
    second = lines.sync("two")
    third = lines.sync("one")

    assert (ended(first), 15 <= held < CALLS, left) == ([("one", RunStatus.PARTIAL, "gave_way")], True, [(None, None)])
    assert first[0].error is not None
    assert first[0].error.exit_code == 0
    assert (ended(second), ended(third)) == ([("two", RunStatus.SUCCEEDED, None)], [("one", RunStatus.SUCCEEDED, None)])
    assert rows(lines.url, "SELECT count(*) FROM calls WHERE connection = 'one'") == [(CALLS,)]


# ── Real processes ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(kw_only=True)
class Quickly:
    """Real processes by a quick clock, before a provider that counts by the same one."""

    lines: Lines
    quick: Quick

    def start(self, *arguments: str, names: tuple[str, ...]) -> subprocess.Popen[str]:
        """Start a process that does a command on connections once it is told to (`go`)."""
        config = str(self.lines.write(*names))
        quick = [str(self.quick.times), str(self.quick.since)]
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("ETL_")}
        command = [sys.executable, "-m", "tests.acceptance.quick", *quick, "--config", config, *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=kept, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def go(self, process: subprocess.Popen[str]) -> Ended:
        """Let a process begin, and return how it ended."""
        with process:
            out, told = process.communicate("go\n", timeout=PATIENCE)
        assert [token for token in self.lines.tokens.values() if token in out + told] == []
        return Ended(code=process.returncode, out=out, err=told)

    def run(self, *arguments: str, names: tuple[str, ...]) -> Ended:
        """Run a command on connections to its end."""
        return self.go(self.start(*arguments, names=names))


@pytest.fixture
def quickly(database: Database, database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Quickly]:
    """Give real processes by a quick clock."""
    quick = Quick(QUICK, time.time())
    history = quiet_history()
    with Sandbox(history, limits={"tuple": A_MINUTE}, limit_clock=quick.seconds, on_request=hook) as sandbox:
        yield Quickly(lines=lines_of(sandbox, database, database_url, tmp_path, StageClock(history)), quick=quick)


def test_three_processes_with_one_token_are_never_refused(quickly: Quickly, hook: Hook) -> None:
    """While one is at work the others exit with 3; in turn they all get through, with more than a minute allows."""
    lines = quickly.lines
    sent_away: list[Ended] = []
    one, *others = (quickly.start("sync", names=(name,)) for name in ("one", "two", "three", "two", "three"))
    hook.arm(4, lambda: sent_away.extend(map(quickly.go, others[:2])))
    first = quickly.go(one)
    later = [quickly.go(other) for other in others[2:]]

    assert [one.code for one in (first, *later)] == [0, 0, 0], (first, later)
    assert [one.code for one in sent_away] == [3, 3], sent_away
    assert all("another process is using the request allowance of its account." in one.err for one in sent_away)
    assert (lines.refused, lines.requests() > 20, owners(lines)) == (0, True, [None])
    assert rows(lines.url, "SELECT connection, count(*) FROM calls GROUP BY 1 ORDER BY 1") == [
        (name, CALLS) for name in ("one", "three", "two")
    ]


def test_after_a_kill_the_next_process_is_not_refused(quickly: Quickly, hook: Hook) -> None:
    """The killed one leaves its name in the row; the next one waits until nothing that it sent can count any more."""
    lines = quickly.lines
    process, successor = (quickly.start("sync", names=(name,)) for name in ("one", "two"))
    hook.arm(7, lambda: os.kill(process.pid, signal.SIGKILL))
    killed_one = quickly.go(process)
    killed = owners(lines)
    before = quickly.quick.seconds()
    next_one = quickly.go(successor)
    waited = quickly.quick.seconds() - before

    assert (killed_one.code, [owner is None for owner in killed]) == (-signal.SIGKILL, [False])
    assert (next_one.code, lines.refused, owners(lines), waited > 55) == (0, 0, [None], True), next_one


def test_check_counts_its_requests_and_respects_who_is_at_work(quickly: Quickly) -> None:
    """
    Its requests are the account's; where another process uses it nothing is asked for, and the exit code is 3.

    Two each: for both ends of what there is.
    """
    lines = quickly.lines
    lines.more = "daily_requests = 1000"
    first = quickly.run("check", names=("one", "two"))
    counted = rows(lines.url, "SELECT day_requests, owner FROM sync.allowances")
    with lines.used_by_another("one"):
        busy = quickly.run("check", names=("one",))

    assert (first.code, counted, lines.requests()) == (0, [(4, None)], 4), first
    told = [f"; {spent} of today's 1,000 are spent" in first.out for spent in (1, 2, 3, 4, 5)]
    assert told == [False, True, False, True, False], first
    assert (busy.code, "request allowance" in busy.err) == (3, True), busy
