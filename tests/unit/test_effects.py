"""The rule that time, threads and chance are handed in, and that what is written is handed the database's instant."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ETL = Path(__file__).parents[2] / "etl"

ASKING = {
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")),
    *(f"random.{name}" for name in ("random", "uniform", "randint", "randrange", "choice", "choices", "shuffle", "sample")),
    *("secrets.token_bytes", "secrets.token_hex", "secrets.choice", "os.urandom", "uuid.uuid1", "uuid.uuid4"),
}
"""Functions that nobody may so much as name."""

MAKING = {
    *("threading.Thread", "threading.Timer", "multiprocessing.Process"),
    *("concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor"),
    *("random.Random", "random.SystemRandom"),
}
"""Classes that serve as types everywhere; only making one is an effect."""

PERMITTED = {
    "system.py": ASKING | MAKING,  # which is what hands them in
    "embedded/cluster.py": {"time.monotonic", "time.sleep"},  # waits for processes of the operating system
    "embedded/users.py": {"time.monotonic", "time.sleep"},  # as above
    "warehouse/database.py": {"time.monotonic"},  # how long a session lay idle in the pool: decides whether it is asked, no more
    "warehouse/queue_sessions.py": {"time.monotonic"},  # as above
    "testing/world.py": {"random.Random"},  # hands the kit's world one of a fixed seed: a proof leaves nothing to chance
}


def effects(source: str) -> Iterator[str]:
    """Yield every effect that a module takes by itself, by its full name."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.partition(".")[0]
                known[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom):
            known |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}

    def full(node: ast.AST) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full(node.value)}.{node.attr}"
        return known.get(node.id, "") if isinstance(node, ast.Name) else ""

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and full(node) in ASKING:
            yield full(node)
        elif isinstance(node, ast.Call) and full(node.func) in MAKING:
            yield full(node.func)


def modules() -> dict[str, str]:
    """Return the text of every module but those of the sandbox, which is a program of its own."""
    files = (path for path in sorted(ETL.rglob("*.py")) if "sandbox" not in path.relative_to(ETL).parts)
    return {path.relative_to(ETL).as_posix(): path.read_text("utf-8") for path in files}


def test_time_threads_and_chance_are_handed_in() -> None:
    """No module asks the machine for them but `etl.system`, and a few that no simulation has to replace."""
    taken = {name: set(effects(text)) - PERMITTED.get(name, set()) for name, text in modules().items()}

    assert {name: found for name, found in taken.items() if found} == {}


@pytest.mark.parametrize("name", PERMITTED)
def test_what_is_permitted_is_needed(name: str) -> None:
    """An exception that nobody uses any more is taken out of the list."""
    used = set(effects(modules()[name]))

    assert used and (name == "system.py" or used == PERMITTED[name])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time\ntime.sleep(1)", "time.sleep"),
        ("from time import monotonic as since\nwatch(since)", "time.monotonic"),
        ("from datetime import UTC, datetime\ndatetime.now(UTC)", "datetime.datetime.now"),
        ("import datetime as dt\ndt.datetime.now()", "datetime.datetime.now"),
        ("import threading\nthreading.Thread(target=work)", "threading.Thread"),
        ("from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(4)", "concurrent.futures.ThreadPoolExecutor"),
        ("import concurrent.futures\nconcurrent.futures.ThreadPoolExecutor()", "concurrent.futures.ThreadPoolExecutor"),
        ("import random\nrandom.Random(1)", "random.Random"),
    ],
)
def test_effects_are_recognised(source: str, found: str) -> None:
    """However a module imports what it takes."""
    assert list(effects(source)) == [found]


def test_a_type_is_no_effect() -> None:
    """Whoever is handed a thread or a source of chance says so in its signature."""
    assert list(effects("import random\ndef wait(chance: random.Random) -> None: chance.random()")) == []


def test_statements_that_write_are_handed_their_instant() -> None:
    """The database's clock is asked by a SELECT (`INSTANT` in the fence's module), never inside a statement that writes."""
    clocks = r"now|current_timestamp|clock_timestamp|statement_timestamp|transaction_timestamp|localtimestamp"
    asked = {name for name, text in modules().items() if re.search(rf"func\.({clocks})\(", text)}
    written = {  # `:now` is handed in
        name
        for name, text in modules().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"\b(INSERT INTO|UPDATE|MERGE INTO)\b", node.value) and re.search(rf"(?i)(?<!:)\b({clocks})\b", node.value)
    }

    assert (asked, written) == ({"warehouse/loading/fence.py"}, set())


def test_open_statuses_stand_in_one_place() -> None:
    """SQL that asks for open calls is made from the model's list."""
    by_hand = [name for name, text in modules().items() if re.search(r"'queued',\s*'ringing'", text)]

    assert by_hand == []
