"""Holds the locks: one holder at a time, lost with their session, kept alive by a thread."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event

import pytest

from etl.errors import WarehouseError
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks

NEVER = timedelta(days=1)
PATIENCE = 300  # seconds until a condition that must come is given up; no test passes by it


@pytest.fixture
def mine(database: Database) -> Iterator[Locks]:
    """Give the locks of one process; no thread speaks up by itself."""
    with Locks(database, SystemThreads(), interval=NEVER) as locks:
        yield locks


@pytest.fixture
def others(database_url: str) -> Iterator[Locks]:
    """Give the locks of another process."""
    with Database(database_url) as database, Locks(database, SystemThreads(), interval=NEVER) as locks:
        yield locks


def comes(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds."""
    pause = Event()
    return any(condition() or pause.wait(0.01) for _ in range(PATIENCE * 100))


def acquires(locks: Locks) -> bool:
    """Take a lock, unless the session is ended before it can ask: what is silent for long depends on how busy the machine is."""
    try:
        return locks.try_acquire("pairing")
    except WarehouseError:
        return False


def sessions(database: Database) -> list[int]:
    """Return the server's processes that hold advisory locks in this database."""
    query = """
    SELECT DISTINCT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND datname = current_database()
    """
    with database.begin() as connection:
        return list(connection.exec_driver_sql(query).scalars())


def cut(database: Database) -> None:
    """End the sessions that hold locks, as a server's restart would."""
    for pid in sessions(database):
        with database.begin() as connection:
            assert connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 10000)").scalar_one()


def test_one_holder_at_a_time(mine: Locks, others: Locks) -> None:
    """What one process holds another cannot take, until it is given back; other connections are free."""
    assert mine.try_acquire("pairing")
    assert (mine.held("pairing"), others.held("pairing")) == (True, False)
    assert not others.try_acquire("pairing")
    assert others.try_acquire("voice")
    mine.release("pairing")
    assert not mine.held("pairing")
    assert others.try_acquire("pairing")


def test_one_run_per_connection_within_a_process_too(mine: Locks) -> None:
    """The server would let the same session in twice; the second run is refused here."""
    assert mine.try_acquire("pairing")
    assert not mine.try_acquire("pairing")
    mine.release("pairing")
    assert mine.try_acquire("pairing")


def test_locks_of_another_process_can_be_seen(mine: Locks, others: Locks) -> None:
    """Whoever asks sees the others' locks and not its own, without taking any."""
    assert mine.try_acquire("pairing")
    assert not mine.is_locked_elsewhere("pairing")
    assert others.is_locked_elsewhere("pairing")
    assert not others.is_locked_elsewhere("voice")
    assert not others.alive
    mine.release("pairing")
    assert not others.is_locked_elsewhere("pairing")


def test_names_with_keys_below_and_above_zero(mine: Locks, others: Locks) -> None:
    """The key of a lock is a signed number; each half is found again among the server's locks."""
    names = [f"connection_{number}" for number in range(20)]
    for name in names:
        assert mine.try_acquire(name)
    assert [others.is_locked_elsewhere(name) for name in names] == [True] * 20


def test_all_locks_stand_in_one_session(database: Database, mine: Locks) -> None:
    """However many connections, one session of the server."""
    for name in ("pairing", "voice", "telephony"):
        assert mine.try_acquire(name)
    assert len(sessions(database)) == 1


def test_closing_gives_everything_back(database: Database, mine: Locks, others: Locks) -> None:
    """A process that ends leaves no lock; closing twice does no harm."""
    assert mine.try_acquire("pairing")
    mine.close()
    mine.close()
    assert comes(lambda: sessions(database) == [])
    assert others.try_acquire("pairing")


def test_a_lost_session_is_found_out_by_the_next_beat(database: Database, mine: Locks, others: Locks) -> None:
    """The locks went with it, and another process may take them."""
    assert mine.try_acquire("pairing")
    assert mine.beat()
    cut(database)
    assert not mine.beat()
    assert (mine.alive, mine.held("pairing")) == (False, False)
    assert others.try_acquire("pairing")
    assert not mine.try_acquire("pairing")


def test_a_lost_session_is_replaced_by_the_next_lock(database: Database, mine: Locks) -> None:
    """Taking a lock after the server restarted works at once; what was held before stays lost."""
    assert mine.try_acquire("pairing")
    cut(database)
    assert mine.try_acquire("voice")
    assert (mine.alive, mine.held("pairing"), mine.held("voice")) == (True, False, True)


def test_giving_back_a_lost_lock_does_no_harm(database: Database, mine: Locks) -> None:
    """The lock is gone already, which is what was wanted."""
    assert mine.try_acquire("pairing")
    cut(database)
    mine.release("pairing")
    mine.release("voice")
    assert not mine.held("pairing")


def test_a_silent_process_loses_its_locks(database: Database, others: Locks) -> None:
    """The server ends a session that it hears nothing of, so a stopped process gives way."""
    with Locks(database, SystemThreads(), interval=NEVER, timeout=timedelta(milliseconds=50)) as silent:
        assert comes(lambda: acquires(silent))
        assert comes(lambda: others.try_acquire("pairing"))
        assert not silent.beat()
        assert not silent.held("pairing")


def test_a_thread_keeps_the_session_alive(database: Database) -> None:
    """While nobody uses the locks, the session is heard of at every interval."""
    query = "SELECT query, state_change FROM pg_stat_activity WHERE pid = {}"

    def seen(pid: int) -> tuple[object, ...]:
        with database.begin() as connection:
            return tuple(connection.exec_driver_sql(query.format(pid)).one())

    with Locks(database, SystemThreads(), interval=timedelta(milliseconds=5)) as locks:
        assert locks.try_acquire("pairing")
        (pid,) = sessions(database)
        assert comes(lambda: seen(pid)[0] == "SELECT 1")
        before = seen(pid)
        assert comes(lambda: seen(pid) != before)
        assert locks.held("pairing")


def test_the_server_is_told_how_long_to_wait(database: Database, mine: Locks) -> None:
    """Without a parameter: a minute of silence."""
    assert mine.try_acquire("pairing")
    session = mine._session  # what the server was told can be read in that session only
    assert session is not None
    assert session.execute("SELECT current_setting('idle_session_timeout')").fetchone() == ("1min",)


def test_a_database_that_cannot_be_reached() -> None:
    """Taking a lock says so; nothing is held."""
    with Database("postgresql://etl@db.invalid/warehouse") as database, Locks(database, SystemThreads()) as locks:
        with pytest.raises(WarehouseError):
            locks.try_acquire("pairing")
        assert (locks.alive, locks.held("pairing")) == (False, False)
