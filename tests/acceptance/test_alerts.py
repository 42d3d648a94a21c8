"""Somebody is told once when a connection needs it, and once when it does no more: real syncs, a real database, a real hook."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from etl import log
from etl.alerts.watch import Watch
from etl.config import NotifySettings, Settings
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.wiring import watch_of
from tests.acceptance.cast import NAMES
from tests.acceptance.hook import BEAT, SECRET, LoopbackHook
from tests.acceptance.stage import START, Stage

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUARTER = timedelta(minutes=15)

ALERTS = "SELECT connection, kind, state, since, notified_at, number FROM sync.alerts ORDER BY connection, kind"


@dataclass(kw_only=True)
class Scene:
    """A stage with one connection, synced every quarter of an hour, and who is told of it."""

    stage: Stage
    hook: LoopbackHook
    watch: Watch | None = None

    def settings(self, *providers: str) -> Settings:
        """Return the configuration with these providers' connections only, and with the hook."""
        given = self.stage.configured()
        notify = NotifySettings.model_validate({"url": self.hook.url, "heartbeat_url": self.hook.heartbeat_url})
        kept = {NAMES[provider]: given.connections[NAMES[provider]] for provider in providers}
        return given.model_copy(update={"connections": kept, "notify": notify})

    def start(self, *providers: str, database: Database | None = None) -> Watch:
        """Return a watch as a worker that has just been started has it."""
        settings = self.settings(*(providers or ("salpre",)))
        return watch_of(settings, database or self.stage.database, due_after=lambda _name, at: at + QUARTER)

    def tick(self, *, after: timedelta = QUARTER, sync: bool = True) -> list[str]:
        """Let time pass, sync, look as a worker does after its tick, and return what was told."""
        self.stage.history.advance(after)
        if sync:
            self.stage.sync("salpre")
        self.watch = self.watch or self.start()
        self.watch.look(self.now)
        return self.hook.taken()

    @property
    def now(self) -> datetime:
        """The stage's time."""
        return self.stage.clock.now()

    @property
    def alerts(self) -> list[tuple[object, ...]]:
        """What is remembered, without the instants."""
        return [(row["kind"], row["state"], row["notified_at"] is not None) for row in self.stage.rows(ALERTS)]


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    """Give a stage with five calls of yesterday at Salpre."""
    stage.history.add("salpre", number=5, at=START - timedelta(hours=2))
    stage.max_attempts = 2
    with LoopbackHook() as hook:
        yield Scene(stage=stage, hook=hook)


def about(text: str) -> str:
    """Return the beginning of a text, which says what it is about."""
    return text.removeprefix("Call warehouse, connection devices: ").partition(".")[0].partition(":")[0]


def test_a_failing_connection_is_told_once_and_its_recovery_once(scene: Scene) -> None:
    """With a restart of the worker after each; a failure that comes later is told again."""
    assert scene.tick() == []
    for _ in range(2):
        scene.stage.sandbox.faults.add("status_503", provider="salpre")
        assert scene.tick(after=HOUR) + scene.tick(after=HOUR) == []
        (text,) = scene.tick(after=HOUR)
        assert about(text) == "it is behind"
        assert "the last one ended with unavailable" in text
        assert scene.tick() == []
        scene.watch = None
        assert scene.tick() == []

        scene.stage.sandbox.faults.clear()
        (text,) = scene.tick()
        assert about(text) == "it is fresh again"
        scene.watch = None
        assert scene.tick() == []
    assert scene.alerts == [("behind", "closed", True)]


def test_a_hook_that_fails_is_asked_again_with_every_tick(scene: Scene) -> None:
    """Over restarts too; when it answers, it is told once."""
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    scene.hook.answers = [500, 404, 302]
    assert scene.tick(after=3 * HOUR) + scene.tick() == []
    scene.watch = None
    assert scene.tick() == []
    assert scene.alerts == [("behind", "open", False)]
    (text,) = scene.tick()
    assert about(text) == "it is behind"
    assert scene.tick() == []


def test_what_is_over_before_the_hook_works(scene: Scene) -> None:
    """It is told in one message, and nothing after it."""
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    scene.hook.answers = [500, 500]
    assert scene.tick(after=3 * HOUR) == []
    scene.stage.sandbox.faults.clear()
    assert scene.tick() == []
    (text,) = scene.tick()
    assert "it was behind since" in text
    assert "it is over: it is fresh again" in text
    assert scene.tick() == []


def test_two_workers_tell_once(scene: Scene, database_url: str) -> None:
    """One of two that look at the same time tells, whichever it is, and so it is with the recovery."""
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    with Database(database_url) as another:
        watches = [scene.start(), scene.start(database=another)]
        for expected in ("it is behind", "it is fresh again"):
            scene.stage.history.advance(3 * HOUR)
            scene.stage.sync("salpre")
            with SystemThreads().pool("workers", 2) as threads:
                list(threads.map(lambda watch: watch.look(scene.now), watches * 3))
            assert [about(text) for text in scene.hook.taken()] == [expected]
            scene.stage.sandbox.faults.clear()


def test_no_new_calls(scene: Scene) -> None:
    """After the longest pause of the four weeks before, and a day at least; a new call ends it."""
    scene.stage.history.add("salpre", at=START - 3 * DAY)
    scene.stage.history.add("salpre", at=START - 4 * DAY)
    assert scene.tick() == []
    assert scene.tick(after=2 * DAY) == []
    (text,) = scene.tick(after=20 * HOUR)
    assert about(text) == "there is no new call since 2026-03-01 10"
    assert scene.tick(after=30 * DAY) == []
    scene.stage.history.add("salpre", at=scene.stage.history.now)
    (text,) = scene.tick()
    assert about(text) == "there are new calls again, the newest of 2026-04-03 08"
    assert scene.tick() == []


def test_an_outage_is_not_a_silence(scene: Scene) -> None:
    """What was not read may hold calls: that the connection is behind is told, and nothing else."""
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    assert [about(text) for text in scene.tick(after=5 * DAY)] == ["it is behind"]


def test_each_gap_that_cannot_be_closed_is_told(scene: Scene) -> None:
    """A list of the newest five calls does not reach what is held, twice; when it does again, that is told once."""
    history, switches = scene.stage.history, scene.stage.sandbox.switches.salpre
    switches.recent_calls = 5
    assert scene.tick() == []
    told = []
    for _ in range(2):
        history.advance(HOUR)
        for minutes in range(8, 0, -1):
            history.add("salpre", at=history.now - timedelta(minutes=minutes))
        told += scene.tick() + scene.tick()
    switches.recent_calls = None
    told += scene.tick() + scene.tick()
    assert [about(text) for text in told] == ["calls may be missing for good"] * 2 + [
        "it has no gap any more that cannot be closed"
    ]
    assert ["A gap cannot be closed" in text for text in told[:2]] == [True, False]
    assert "2 gaps cannot be closed" in told[1]


def test_a_proof_that_failed_and_is_repaired(scene: Scene) -> None:
    """An audit's verdict is told, and the next one that agrees."""
    scene.tick()
    verdict = """
    INSERT INTO sync.audits (connection, stream, range_start, range_end, checked_at, verdict)
    VALUES ('devices', 'calls', '-infinity', 'infinity', %(at)s, %(verdict)s)
    """
    told = []
    for word in ("mismatch", "mismatch", "repaired", "complete"):
        with scene.stage.database.begin() as session:
            session.exec_driver_sql(verdict, {"at": scene.now, "verdict": word})
        told += scene.tick()
    assert [text.partition(" UTC ")[2].partition(".")[0] for text in told] == [
        "found what does not agree, with the provider's totals or within the warehouse",
        "no longer finds what does not agree",
    ]


def test_a_connection_that_no_sync_has_begun_to_read(scene: Scene) -> None:
    """It is behind once a sync has been due for too long since the worker started."""
    assert scene.tick(sync=False) == []
    assert scene.tick(after=2 * HOUR, sync=False) == []
    (text,) = scene.tick(after=HOUR, sync=False)
    assert "Not all of it was ever read, and for 2 h 45 min no sync has got through." in text
    assert about(*scene.tick()) == "it is fresh again"


def test_the_heartbeat_stops_while_something_is_behind(scene: Scene) -> None:
    """It is asked for once a tick, whatever else there is to tell, and whether or not the hook works."""
    scene.stage.history.add("salpre", at=START - DAY)
    scene.tick()
    scene.tick()
    assert scene.hook.beats == 2
    scene.hook.answers = [500, 500]
    scene.tick(after=2 * DAY)  # no new calls
    assert (scene.hook.beats, scene.alerts) == (3, [("no_new_calls", "open", False)])
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    scene.tick(after=3 * HOUR)
    scene.tick()
    assert scene.hook.beats == 3
    scene.stage.sandbox.faults.clear()
    scene.tick()
    assert scene.hook.beats == 4


def test_alerts_of_a_connection_that_was_removed_do_not_stay_open(scene: Scene) -> None:
    """They are forgotten an hour after the last look of a worker that has it; one without it tells nothing of it."""
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    assert len(scene.tick(after=3 * HOUR)) == 1
    with_it, without = scene.watch, scene.start("krosai")
    assert with_it is not None
    for _ in range(8):  # both at work
        scene.stage.history.advance(QUARTER)
        scene.stage.sync("krosai")
        with_it.look(scene.now)
        without.look(scene.now)
        assert scene.alerts == [("behind", "open", True)]
    for _ in range(5):
        scene.stage.history.advance(QUARTER)
        scene.stage.sync("krosai")
        without.look(scene.now)
    assert (scene.alerts, scene.hook.taken()) == ([], [])


def test_nothing_but_the_hook_is_told_where_it_is(scene: Scene) -> None:
    """A failing hook is logged once, with its cause, and works again; its address, which is a secret, is nowhere in the log."""
    out = io.StringIO()
    log.configure(stream=out)  # without knowing any secret
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    scene.hook.answers = [500, 500]
    for _ in range(3):
        scene.tick(after=3 * HOUR)
    events = [
        document
        for line in out.getvalue().splitlines()
        if (document := json.loads(line))["event"].startswith(("alert.", "hook."))
    ]
    assert [(one["event"], one.get("cause")) for one in events] == [
        ("hook.failed", "http_500"),
        ("hook.works_again", None),
        ("alert.opened", None),
    ]
    assert SECRET not in out.getvalue()
    assert BEAT not in out.getvalue()


def test_without_a_hook_alerts_are_logged(scene: Scene) -> None:
    """Once as well, with connection and kind."""
    out = io.StringIO()
    log.configure(stream=out)
    settings = scene.settings("salpre").model_copy(update={"notify": NotifySettings()})
    scene.watch = watch_of(settings, scene.stage.database, due_after=lambda _name, at: at + QUARTER)
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    for _ in range(3):
        scene.tick(after=3 * HOUR)
    scene.stage.sandbox.faults.clear()
    scene.tick()
    events = [json.loads(line) for line in out.getvalue().splitlines() if '"alert.' in line]
    assert [(one["event"], one["connection"], one["kind"]) for one in events] == [
        ("alert.opened", "devices", "behind"),
        ("alert.closed", "devices", "behind"),
    ]
    assert (scene.hook.texts, scene.hook.beats) == ([], 0)
