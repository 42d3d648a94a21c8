"""Holds the translation of database errors: every error becomes a sentence with advice, none shows what a row holds."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from threading import Thread

import psycopg
import pytest
from sqlalchemy import exc, make_url

from etl.errors import EtlError, WarehouseError
from etl.warehouse.database import Database
from etl.warehouse.failures import DataRefused, Locked, SchemaMissing, translated
from etl.warehouse.waiting import Blocker, name_blockers

SECRET = "+14155550123"
CLASSES = sorted(
    (found for found in vars(psycopg.errors).values() if isinstance(found, type) and issubclass(found, psycopg.Error)),
    key=lambda found: found.__name__,
)


def translation_of(error: Exception) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught, translated("postgresql://db.example.com/warehouse"):
        raise error
    return caught.value


def test_every_error_of_the_driver_has_a_sentence() -> None:
    """Straight from the driver or wrapped by the engine: a sentence that names the database, says what is safe and what to do."""
    assert len(CLASSES) > 200
    for kind in CLASSES:
        straight = translation_of(kind("a made-up failure"))
        wrapped = translation_of(exc.DBAPIError("INSERT", None, kind("a made-up failure")))
        assert (type(straight), str(straight)) == (type(wrapped), str(wrapped)), kind
        assert "db.example.com" in straight.happened, kind
        assert "{" not in str(straight), kind
        assert straight.safe, kind
        assert straight.hint, kind


@pytest.mark.parametrize(
    ("blocker", "named", "ended_by"),
    [
        (
            Blocker(11, "bi", "psql", "idle in transaction", datetime(2026, 3, 1, 12, tzinfo=UTC)),
            "process 11 of the user bi (psql), idle in transaction, in its transaction since 2026-03-01 12:00:00 UTC",
            "SELECT pg_terminate_backend(11);",
        ),
        (
            Blocker(12, "bi", "", None, None),
            "process 12 of the user bi, whose state this user may not see",
            "SELECT pg_terminate_backend(12);",
        ),
        (
            Blocker(0, None, None, None, None),
            "a prepared transaction (pg_prepared_xacts lists them)",
            "ROLLBACK PREPARED '<its gid>';",
        ),
    ],
)
def test_who_holds_a_lock_is_named(blocker: Blocker, named: str, ended_by: str) -> None:
    """As far as this user may see it, with the statement that ends it."""
    locked = translation_of(psycopg.errors.LockNotAvailable())
    assert isinstance(locked, Locked)
    told = name_blockers(locked, (blocker,), "postgresql://db.example.com/warehouse")
    assert (told.happened, told.hint) == (
        f"The database at postgresql://db.example.com/warehouse is held up by {named}.",
        (
            f"Wait until it is done, or end it as an administrator: {ended_by} "
            "Nothing needs mending: the next run continues where this one stopped."
        ),
    )


def test_what_a_row_holds_is_not_shown() -> None:
    """The server's text may quote a value, so it is left out."""
    with_code = [kind for kind in CLASSES if kind.sqlstate is not None]
    assert [kind for kind in with_code if SECRET in str(translation_of(kind(f"invalid value: {SECRET}")))] == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (psycopg.errors.DiskFull, "disk of the database server"),
        (psycopg.errors.OutOfMemory, "out of memory"),
        (psycopg.errors.TooManyConnections, "no more connections"),
        (psycopg.errors.ReadOnlySqlTransaction, "takes no writes"),
        (psycopg.errors.InsufficientPrivilege, "may not do this"),
        (psycopg.errors.InvalidPassword, "refused the user or its password"),
        (psycopg.errors.InvalidCatalogName, "does not exist"),
        (psycopg.errors.UndefinedTable, "missing or of another version"),
        (psycopg.errors.UndefinedColumn, "missing or of another version"),
        (psycopg.errors.DuplicateTable, "already has a name"),
        (psycopg.errors.DeadlockDetected, "got in the way"),
        (psycopg.errors.SerializationFailure, "got in the way"),
        (psycopg.errors.QueryCanceled, "cancelled"),
        (psycopg.errors.AdminShutdown, "was lost"),
        (psycopg.errors.CrashShutdown, "was lost"),
        (psycopg.errors.IdleSessionTimeout, "was lost"),
        (psycopg.errors.ConnectionFailure, "was lost"),
        (psycopg.errors.DatabaseDropped, "was dropped"),
        (psycopg.errors.DataCorrupted, "damaged"),
        (psycopg.errors.InternalError_, "met an error of its own"),
        (psycopg.errors.ConnectionTimeout, "does not answer"),
        (psycopg.errors.NumericValueOutOfRange, "refuses a value"),
        (psycopg.errors.NotNullViolation, "refuses a value"),
        (psycopg.errors.CheckViolation, "refuses a value"),
        (psycopg.errors.ProgramLimitExceeded, "refuses a value"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_each_kind_is_told_as(kind: type[psycopg.Error], said: str) -> None:
    """The kinds that users meet have sentences of their own."""
    assert said in translation_of(kind("a made-up failure")).happened


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("connection failed: FATAL:  the database system is starting up", "starting, stopping or recovering"),
        ("connection failed: FATAL:  sorry, too many clients already", "accepts no more connections"),
        ("connection failed: FATAL:  no pg_hba.conf entry for host", "not set up to let this user in from here"),
        ("connection is bad: server does not support SSL, but SSL was required", "does not offer encryption"),
        ('connection is bad: root certificate file "/nope" does not exist', 'cannot be made: root certificate file "/nope"'),
        ("connection failed: SSL error: certificate verify failed", "cannot be made: "),
        ("connection failed: FATAL:  connection requires a valid client certificate", "wants a client's certificate"),
        ('connection is bad: could not read certificate file "/c": No such file or directory', "wants a client's certificate"),
        ("connection failed: session is read-only", "of the kind that target_session_attrs demands: "),
        (
            "- host: 'b', hostaddr: None: connection failed: connection to server at b failed: session is read-only",
            "target_session_attrs demands: session is read-only.",
        ),
        ('connection is bad: invalid sslmode value: "on"', 'cannot be used: invalid sslmode value: "on".'),
        ('connection failed: FATAL:  role "etl" does not exist', "refused the user or its password"),
        ("connection failed: timeout expired", "does not answer"),
        ("connection failed: FATAL:  something new", "cannot be reached: something new"),
        ("consuming input failed: server closed the connection unexpectedly", "was lost"),
        ("connection failed: connection to server failed: server closed the connection unexpectedly", "was lost"),
        ("connection failed: FATAL:  terminating connection due to unexpected postmaster exit", "was lost"),
        ("the connection is closed", "was lost"),
    ],
)
def test_a_failed_or_lost_connection_is_told_by_its_words(words: str, said: str) -> None:
    """The client library gives no code for these."""
    assert said in translation_of(psycopg.OperationalError(words)).happened


@pytest.mark.parametrize(
    "words", ["FATAL:  no pg_hba.conf entry for host, no encryption", "server does not support SSL, but SSL was required"]
)
def test_a_hint_names_the_option_that_helps(words: str) -> None:
    """Who follows it has something to write."""
    assert "write ?sslmode=" in translation_of(psycopg.OperationalError(f"connection failed: {words}")).hint


def test_a_fault_of_ours_is_not_put_on_the_server() -> None:
    """The driver was used wrongly: no log of a server says anything about it."""
    failure = translation_of(psycopg.ProgrammingError("a made-up misuse"))

    assert failure.happened.endswith("was not used as it should be (ProgrammingError).")
    assert "please report it" in failure.hint and "log" not in failure.hint


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), EtlError("x"), KeyboardInterrupt()])
def test_other_errors_pass(error: BaseException) -> None:
    """Only the database's own errors are translated."""
    with pytest.raises(type(error)) as caught, translated("postgresql://db.example.com/warehouse"):
        raise error
    assert caught.value is error


# ── The real thing ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "statement", ["SELECT 1/0", "SELECT 'no json'::jsonb", "SELECT 99999999999::int", "SELECT repeat('x', 1 << 30)"]
)
def test_a_refused_value_can_be_told_apart(database: Database, statement: str) -> None:
    """The loader looks for the culprit only when it is a value that was refused."""
    with pytest.raises(DataRefused), database.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize("value", ["a\0b", "a\ud800b"], ids=["NUL", "lone surrogate"])
def test_a_text_that_cannot_be_stored_is_a_refused_value(database: Database, value: str) -> None:
    """The driver refuses it before the server sees it: as a parameter and in a COPY."""
    with pytest.raises(DataRefused), database.begin() as connection:
        connection.exec_driver_sql("SELECT %s::text", (value,))
    with (
        pytest.raises(DataRefused),
        database.translate(),
        database.session() as session,
        session.cursor() as cursor,
        cursor.copy("COPY agents (name) FROM STDIN") as copy,
    ):
        copy.write_row((value,))


def test_a_personal_value_stays_out_of_the_sentence(database: Database) -> None:
    """The server quotes the row that breaks a rule; the sentence does not."""
    with pytest.raises(DataRefused) as caught, database.begin() as connection:
        connection.exec_driver_sql("INSERT INTO agents (connection, agent_id, name) VALUES ('voice', 'a', %s)", (SECRET,))
    assert SECRET not in f"{caught.value} {caught.value.__cause__}".split("DETAIL")[0]
    assert SECRET not in str(caught.value)


def test_tables_that_are_missing_send_to_migrate(empty_database: Database) -> None:
    """A database without our tables is told from a broken one."""
    with pytest.raises(SchemaMissing) as caught, empty_database.begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM sync.runs")
    assert caught.value.hint == "Run: etl migrate"


def test_a_session_ended_in_the_middle(database: Database) -> None:
    """The server went away between two statements: what was committed stays, the next run continues."""

    def work() -> None:
        with database.begin() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with database.begin() as other:
                assert other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 10000)").scalar_one()
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(WarehouseError) as caught:
        work()
    assert "was lost" in caught.value.happened
    assert caught.value.safe == "What was committed before stays."


def test_a_database_that_does_not_exist(server_url: str) -> None:
    """The name in question is said."""
    url = make_url(server_url).set(database="nowhere").render_as_string(hide_password=False)
    with Database(url) as database, pytest.raises(WarehouseError) as caught, database.begin():
        pass
    assert 'database "nowhere" does not exist' in caught.value.happened
    assert "CREATE DATABASE" in caught.value.hint


def test_a_host_that_does_not_exist() -> None:
    """The name service knows no such host."""
    with Database("postgresql://etl@db.invalid/warehouse") as database, pytest.raises(WarehouseError) as caught, database.begin():
        pass
    assert "The host of the database address" in caught.value.happened


def test_a_port_where_nobody_listens() -> None:
    """Nobody answers: the server is to be started, or the address corrected."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with Database(f"postgresql://etl@127.0.0.1:{port}/warehouse") as database:
        for attempt in (database.check_server, lambda: database.session().close()):
            with pytest.raises(WarehouseError) as caught:
                attempt()
            assert caught.value.happened == f"No server answers at postgresql+psycopg://etl@127.0.0.1:{port}/warehouse."


@pytest.fixture
def suspicious_port() -> Iterator[int]:
    """Give the port of a server that asks for a password and refuses whatever it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(1024)
                client.sendall(b"R" + struct.pack("!ii", 8, 3))
                if client.recv(1024):
                    said = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "etl"\0\0'
                    client.sendall(b"E" + struct.pack("!i", 4 + len(said)) + said)

    Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.mark.parametrize("credentials", ["etl:a-made-up-password", "etl"], ids=["wrong password", "no password"])
def test_a_password_that_is_refused_or_missing(suspicious_port: int, credentials: str) -> None:
    """The user is named, the password is not."""
    url = f"postgresql://{credentials}@127.0.0.1:{suspicious_port}/warehouse?sslmode=disable&gssencmode=disable"
    with Database(url) as database, pytest.raises(WarehouseError) as caught, database.begin():
        pass
    assert "refused the user or its password" in caught.value.happened
    assert "a-made-up-password" not in str(caught.value)
