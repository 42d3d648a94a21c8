"""A worker tells somebody: its own loops, a real queue, a real database, real providers, and a real hook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.alerts.watch import Watch
from etl.config import NotifySettings
from etl.sandbox import NO_LIMITS, Sandbox
from etl.wiring import watch_of
from etl.worker.due import next_sync
from etl.worker.service import Service
from tests.acceptance.hook import SECRET, LoopbackHook
from tests.acceptance.process import Program, execute
from tests.acceptance.stage import START, Stage, quiet_history
from tests.acceptance.working import age, service

HOUR = timedelta(hours=1)


@dataclass(kw_only=True)
class Scene:
    """A stage whose worker tells `hook`. Time passes for the database and for the providers alike."""

    stage: Stage
    hook: LoopbackHook
    watch: Watch | None = None

    def worker(self) -> Service:
        """Return a worker that looks by the stage's clock, by which the calls are."""
        notify = NotifySettings.model_validate({"url": self.hook.url, "heartbeat_url": self.hook.heartbeat_url})
        settings = self.stage.configured().model_copy(update={"notify": notify})

        def due_after(name: str, at: datetime) -> datetime:
            return next_sync(name, settings.connections[name].schedule, "UTC", at)

        watch = self.watch = self.watch or watch_of(settings, self.stage.database, due_after=due_after)
        return service(self.stage, after_tick=[lambda _seen: watch.look(self.stage.clock.now())])

    def tick(self, *, after: timedelta = HOUR) -> list[str]:
        """Let time pass, do what is due, and return the beginnings of what was told."""
        self.stage.history.advance(after)
        age(self.stage, by=after)
        self.worker().once()
        return [
            text.removeprefix("Call warehouse, connection ").partition(".")[0].partition(": calls")[0]
            for text in self.hook.taken()
        ]

    def restart(self) -> None:
        """Let the next worker be another process."""
        self.watch = None


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    """Give a stage with some calls at three providers."""
    stage.max_attempts = 2
    for provider in ("tuple", "salpre", "krosai"):
        stage.history.add(provider, number=5, at=START - timedelta(hours=2))
    with LoopbackHook() as hook:
        yield Scene(stage=stage, hook=hook)


def test_a_worker_tells_once_of_a_provider_that_fails_and_once_of_its_recovery(scene: Scene) -> None:
    """The hook fails first, and the worker is restarted before and after it was told; the other connections are no news."""
    assert scene.tick() == []
    assert scene.hook.beats == 1

    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    assert scene.tick() + scene.tick() == []
    scene.hook.answers = [500, 500]
    assert scene.tick() == []
    scene.restart()
    assert scene.tick() == []
    assert scene.tick() == ["devices: it is behind"]
    assert scene.tick() == []
    scene.restart()
    assert scene.tick() == []
    assert (scene.hook.beats, scene.hook.answers) == (3, [])

    scene.stage.sandbox.faults.clear()
    assert scene.tick(after=7 * HOUR) == ["devices: it is fresh again"]
    scene.restart()
    assert scene.tick() == []
    assert scene.hook.beats == 5


def test_what_was_behind_while_nothing_ran_is_synced_first(scene: Scene) -> None:
    """A worker that does what is due and ends tells what is still wrong then, and not what it has just put right."""
    scene.tick()
    scene.restart()
    assert scene.tick(after=20 * HOUR) == []
    assert scene.hook.beats == 2


def test_two_workers_at_once_tell_once(scene: Scene) -> None:
    """Both look after their own ticks."""
    scene.tick()
    scene.stage.sandbox.faults.add("status_503", provider="salpre")
    scene.stage.history.advance(5 * HOUR)
    age(scene.stage, by=5 * HOUR)
    one = scene.worker()
    scene.restart()
    another = scene.worker()
    for worker in (one, another, one):
        worker.once()
    assert len(scene.hook.taken()) == 1


def test_the_program_tells_once_and_its_recovery_once(database_url: str, tmp_path: Path) -> None:
    """`etl worker --once`, a process each time: a connection is behind whose provider's clock has stood still."""
    history = quiet_history(start=datetime.now(UTC) - 20 * HOUR)
    with LoopbackHook() as hook, Sandbox(history, limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        program.environment |= {"ETL_NOTIFY__URL": hook.url, "ETL_NOTIFY__HEARTBEAT_URL": hook.heartbeat_url}
        history.add("salpre", number=3, at=history.now - HOUR)
        hook.answers = [500]
        told = []
        for step in range(6):
            if step == 4:
                history.advance(datetime.now(UTC) - history.now)
            ended = program.run("worker", "--once")
            assert SECRET not in ended.err + ended.out
            told.append((ended.code, ["it is behind" in text for text in hook.taken()], hook.beats))
            execute(program.url, "UPDATE sync.runs SET started_at = started_at - interval '17 minutes'")

    assert told == [(0, [], 0), (0, [True], 0), (0, [], 0), (0, [], 0), (0, [False], 1), (0, [], 2)]
