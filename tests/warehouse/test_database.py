"""Holds the way to the database: addresses, sessions, the checks of a server, a proxy that shares sessions out."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from etl.errors import UsageError, WarehouseError
from etl.warehouse.address import parse_url
from etl.warehouse.database import Database, driver_of
from etl.warehouse.requirements import refuse_unfit
from etl.warehouse.sessions import set_up
from tests.sharing_proxy import SharingProxy

PASSWORD = "a-made-up-password"


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_the_usual_ways_to_write_an_address(scheme: str) -> None:
    """All of them lead to the same driver; nothing is connected by reading one."""
    url = parse_url(f"{scheme}://etl:{PASSWORD}@db.example.com:5433/warehouse?sslmode=require")
    assert url.render_as_string(hide_password=False) == (
        f"postgresql+psycopg://etl:{PASSWORD}@db.example.com:5433/warehouse?sslmode=require"
    )


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://etl:{PASSWORD}@localhost/warehouse",
        f"postgresql+asyncpg://etl:{PASSWORD}@localhost/warehouse",
        f"not an address {PASSWORD}",
        f"postgresql://etl:{PASSWORD}@localhost:port/warehouse",
        "",
    ],
)
def test_an_address_that_cannot_be_used_is_not_shown(url: str) -> None:
    """The message names the setting and shows how to write it; a password in the address stays out of it."""
    with pytest.raises(UsageError) as caught:
        Database(url)
    assert "warehouse.url" in caught.value.happened
    assert "postgresql+psycopg://user@host:5432/database" in caught.value.hint
    assert PASSWORD not in repr((caught.value, str(caught.value), caught.value.__cause__))


@pytest.mark.parametrize(
    ("option", "happened", "hint"),
    [
        ("sslmod=require", "has an option 'sslmod', which PostgreSQL does not know.", "Did you mean sslmode?"),
        ("SSLMODE=require", "has an option 'SSLMODE', which PostgreSQL does not know.", "Did you mean sslmode?"),
        ("ssl=true", "has an option 'ssl', which PostgreSQL does not know.", "Did you mean sslmode?"),
        ("autocommit=1", "has an option that PostgreSQL does not know.", "Options stand at its end, like ?sslmode=require"),
        ("connect_timeout=soon", "is no number of seconds.", "Write it like ?connect_timeout=10"),
        (f"{PASSWORD}=x", "has an option that PostgreSQL does not know.", "? as %3F"),
    ],
)
def test_an_option_that_does_not_exist(option: str, happened: str, hint: str) -> None:
    """It is told before anything is connected; what may be the rest of a password is not shown."""
    with pytest.raises(UsageError) as caught:
        Database(f"postgresql://etl@localhost/warehouse?{option}")
    assert caught.value.happened.endswith(happened) and hint in caught.value.hint
    assert PASSWORD not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    """Neither `repr` nor `address` nor the engine's own `repr` holds it, also where it stands among the options."""
    database = Database(f"postgresql://etl:{PASSWORD}@localhost/warehouse?sslpassword={PASSWORD}")
    assert repr(database) == "Database('postgresql+psycopg://etl:***@localhost/warehouse')"
    with pytest.raises(WarehouseError) as caught, database.translate():
        raise psycopg.OperationalError("connection failed: no password supplied")
    assert PASSWORD not in f"{database!r} {database.address} {caught.value}"
    assert PASSWORD in database.url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://etl:{}@one:5432,two:5433/warehouse?sslmode=require", "etl:***@one:5432,two:5433/warehouse"),
        ("postgresql://etl:{}@one,two/warehouse", "etl:***@one:5432,two:5432/warehouse"),
        ("postgresql://etl:{}@[::1]:5433,192.0.2.1/warehouse", "etl:***@[::1]:5433,192.0.2.1:5432/warehouse"),
        ("postgresql://one:1,two:2/warehouse", "one:1,two:2/warehouse"),
        ("postgresql://etl:{},/x@one/warehouse", "etl:***@one/warehouse"),
        ("postgresql://etl:{}@/warehouse?host=one:5432&host=two:5433", "etl:***@one:5432,two:5433/warehouse"),
    ],
)
def test_several_hosts(url: str, address: str) -> None:
    """They are given as libpq's own addresses give them; messages name them all, and never the password."""
    database = Database(url.format(PASSWORD))
    assert database.address == f"postgresql+psycopg://{address}"
    assert PASSWORD not in repr(database)


@pytest.mark.parametrize("url", ["postgresql://etl:{}@rest@one/warehouse", "postgresql://etl:x@{}@one,two/warehouse"])
def test_an_at_sign_in_the_password(url: str) -> None:
    """Where the password ends is not guessed: the part behind the @ would be shown as a host."""
    with pytest.raises(UsageError, match="second @") as caught:
        Database(url.format(PASSWORD))
    assert PASSWORD not in str(caught.value)
    assert "%40" in caught.value.hint


def test_the_first_host_that_takes_writes_is_used(database_url: str) -> None:
    """A host that does not answer is passed over, and `target_session_attrs` is libpq's own."""
    url = make_url(database_url)
    directory = url.query["host"]
    several = url.set(query={"host": f"/nowhere,{directory}", "port": "5432,5432", "target_session_attrs": "read-write"})
    with Database(several.render_as_string(hide_password=False)) as database, database.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_every_session_is_set_up_the_same(database: Database) -> None:
    """Time in UTC, `public` alone on the path, a name to be known by, whatever role and database prefer: pooled or not."""
    names = ("TimeZone", "search_path", "application_name", "statement_timeout", "idle_in_transaction_session_timeout")
    query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    with database.autocommit() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        for setting in ("TimeZone = 'Asia/Tokyo'", "search_path = sync", "statement_timeout = '1s'"):
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET {setting}')
    with Database(database.url) as other:
        with other.begin() as connection:
            assert tuple(connection.exec_driver_sql(query).one()) == ("UTC", "public", "call-warehouse", "0", "1min")
        with other.session() as session:
            assert session.execute(query.encode()).fetchone() == ("UTC", "public", "call-warehouse", "0", "1min")


@pytest.mark.parametrize(("theirs", "ours"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_what_is_committed_is_kept(database: Database, theirs: str, ours: str) -> None:
    """A run builds on what it has committed: no crash of the server may forget it. Whoever promises more is heard."""
    with database.autocommit() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = {theirs}')
    with Database(database.url) as other, other.begin() as connection:
        assert connection.exec_driver_sql("SELECT current_setting('synchronous_commit')").scalar_one() == ours


def test_a_tiny_statement_timeout_of_the_database(database: Database, server_url: str) -> None:
    """One millisecond, of the database or of the role, cancels nothing of ours: not even what lifts it."""
    with database.autocommit() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 1'.encode())
    with Database(database.url) as other, other.begin() as connection, other.session() as session:
        assert connection.exec_driver_sql("SELECT pg_sleep(0.01)::text").scalar_one() == ""
        assert session.execute("SELECT pg_sleep(0.01)::text").fetchone() == ("",)


def test_the_statement_that_lifts_a_timeout_is_tried_again(database: Database) -> None:
    """However often the server cancels it first; where it always does, that is told."""

    class Cancelled(psycopg.Connection[tuple[object, ...]]):
        """A session whose first statements are cancelled."""

        left = 9

        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            if self.left:
                self.left -= 1
                raise psycopg.errors.QueryCanceled
            return super().execute(query, *arguments, **options)

    conninfo = database.url.replace("+psycopg", "")
    with Cancelled.connect(conninfo, autocommit=True) as session:
        set_up(session)
        assert session.execute("SELECT current_setting('lock_timeout')").fetchone() == ("5min",)
    with Cancelled.connect(conninfo, autocommit=True) as session:
        session.left = 10
        with pytest.raises(psycopg.errors.QueryCanceled):
            set_up(session)


def test_options_of_the_address_win(database_url: str) -> None:
    """Whoever names an option of the connection in the address gets it."""
    url = make_url(database_url).update_query_dict({"application_name": "mine"}).render_as_string(hide_password=False)
    with Database(url) as database, database.begin() as connection:
        assert connection.exec_driver_sql("SELECT current_setting('application_name')").scalar_one() == "mine"


def test_begin_commits_or_takes_back(database: Database) -> None:
    """The block's end commits; an exception takes everything back, and passes as it is when it is not the database's."""
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (id int)")

    def fail() -> None:
        with database.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE lost (id int)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.begin() as connection:
        found = connection.execute(text("SELECT to_regclass('kept') IS NOT NULL, to_regclass('lost') IS NOT NULL")).one()
    assert tuple(found) == (True, False)


def test_the_pool_is_bounded(database_url: str) -> None:
    """A session more than allowed is refused with a sentence, not opened."""
    with (
        Database(database_url, sessions=1, patience=timedelta(milliseconds=1)) as database,
        database.begin(),
        pytest.raises(WarehouseError, match="in use"),
        database.begin(),
    ):
        pass


def test_a_session_lost_while_idle_is_replaced(database: Database, server_url: str) -> None:
    """After the server ended every idle session, the next transaction works."""
    with ExitStack() as together:
        for _ in range(3):
            together.enter_context(database.begin()).exec_driver_sql("SELECT 1")
    with database.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    with psycopg.connect(server_url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
        ).fetchall()
    assert ended == [(True,)] * 3
    with database.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_a_session_that_was_closed_here_is_replaced(database: Database) -> None:
    """One that is no connection any more cannot even be asked whether the server said something."""
    with database.begin() as connection:
        session = driver_of(connection)
    session.close()
    with database.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_a_plain_session_commits_each_statement(database: Database) -> None:
    """Nothing is begun around it; after one that fails the next one gets another session, and a transaction is one as ever."""
    with database.plain() as session:
        session.execute("CREATE TABLE public.kept (id int)")
        failing = session
    with pytest.raises(WarehouseError), database.plain() as session:
        session.execute("INSERT INTO public.kept VALUES (1), (1 / 0)")
    with database.begin() as connection:
        connection.exec_driver_sql("INSERT INTO public.kept VALUES (2)")
        connection.rollback()
    with database.plain() as session:
        assert session is not failing
        assert session.execute("SELECT count(*) FROM public.kept").fetchone() == (0,)
        session.execute("DROP TABLE public.kept")


def test_a_plain_session_is_kept_as_long_as_it_lives(database_url: str) -> None:
    """The next one gets the same; one that the server ended, or that was closed here, is replaced."""
    with Database(database_url) as database:
        found = []
        for end in (None, "SELECT pg_terminate_backend(%s, 10000)", "close", None):
            with database.plain() as session:
                found.append(session.info.backend_pid)
            if end == "close":
                session.close()
            elif end is not None:
                with database.session() as other:
                    other.execute(end, (found[-1],))
        assert [one == two for one, two in pairwise(found)] == [True, False, False]
        assert database.look_at_waits() == ()


# ── What the server must be ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_fit_server_passes(database: Database) -> None:
    """The server of these tests can hold the warehouse."""
    database.check_server()


@pytest.mark.parametrize(
    ("facts", "said", "advised"),
    [
        ({"version": 130_014}, "is PostgreSQL 13; the warehouse needs 14 or newer", "Upgrade the server"),
        ({"version": 90_624}, "is PostgreSQL 9.6; the warehouse needs 14 or newer", "Upgrade the server"),
        ({"encoding": "LATIN1"}, "stores text as LATIN1; the warehouse needs UTF8", "TEMPLATE template0"),
        ({"standby": True, "read_only": True}, "takes no writes: it is a standby", "primary server"),
        ({"read_only": True}, "takes no writes: it is set to read-only", "default_transaction_read_only"),
    ],
)
def test_an_unfit_server_is_refused(facts: dict[str, object], said: str, advised: str) -> None:
    """The message says what is wrong with it and what to do."""
    fit: dict[str, object] = {"version": 140_000, "encoding": "UTF8", "standby": False, "read_only": False}
    refuse_unfit("postgresql://db.example.com/warehouse", **fit)  # type: ignore[arg-type]  # a table of facts, one type for all
    with pytest.raises(WarehouseError) as caught:
        refuse_unfit("postgresql://db.example.com/warehouse", **{**fit, **facts})  # type: ignore[arg-type]  # the same table
    assert said in caught.value.happened
    assert advised in caught.value.hint


def test_a_database_set_to_read_only(database: Database) -> None:
    """The real thing: found by the check, and told by the statement that met it."""
    with database.autocommit() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with Database(database.url) as read_only:
        with pytest.raises(WarehouseError, match="takes no writes: default_transaction_read_only is on"):
            read_only.check_server()
        with pytest.raises(WarehouseError, match="takes no writes"), read_only.begin() as connection:
            connection.exec_driver_sql("DELETE FROM agents")


def test_a_database_in_another_encoding(server_url: str) -> None:
    """The real thing: a database that stores bytes without knowing what they mean."""
    name = f"ascii_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0".encode())
        try:
            with (
                Database(make_url(server_url).set(database=name).render_as_string(hide_password=False)) as database,
                pytest.raises(WarehouseError, match="stores text as SQL_ASCII"),
            ):
                database.check_server()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def shared_database(database_url: str) -> Iterator[Database]:
    """Give a way to the database through a proxy that shares one session out by the transaction."""
    with SharingProxy(database_url) as proxy, Database(proxy.url) as database:
        yield database


def test_a_proxy_that_shares_sessions_out_is_refused(shared_database: Database) -> None:
    """Statements work through it, so only the check can tell; the message says that locks would not hold."""
    with shared_database.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    with pytest.raises(WarehouseError) as caught:
        shared_database.check_server()
    assert "shares sessions out by the transaction" in caught.value.happened
    assert "session mode" in caught.value.hint
