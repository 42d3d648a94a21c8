"""Where the output goes: queries and their errors, a terminal, a pipe that is closed, a disk that is full."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.forks import PATIENCE, may_fork
from tests.acceptance.process import Program, content, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history

SUPERUSER = (
    "The database role is a superuser: what a query calls can reach files and programs of the server. Use a role that is none."
)
ONLY_READS = "Nothing was changed: `etl sql` with a query only reads."


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before four providers with 12 calls each."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        hourly(program, calls=12)
        yield program


def on_a_terminal(program: Program, *arguments: str, width: int = 120) -> tuple[int, str]:
    """Run a command on a terminal of its own, so wide; return the exit code and what was drawn."""
    master, slave = pty.openpty()
    program.environment |= {"TERM": "xterm", "COLUMNS": str(width)}
    drawn = bytearray()

    def read() -> None:
        with suppress(OSError):  # how Linux tells the end
            while part := os.read(master, 65_536):
                drawn.extend(part)

    reader = Thread(target=read, daemon=True)
    reader.start()
    if may_fork(program.surroundings()):
        program.fork(*arguments, terminal=os.ttyname(slave))
        code = program.forked().code
    else:
        code = program.start(*arguments, stdin=slave, stdout=slave, stderr=slave).wait(PATIENCE)
    os.close(slave)
    reader.join()
    os.close(master)
    return code, program.heard(code, drawn.decode(), "").out


def test_a_query(program: Program) -> None:
    """Its rows as lines, or as one document."""
    assert program.run("sync").code == 0
    columns = "connection, count(*) AS calls, min(occurred_at) AS oldest, NULL AS nothing"
    query = f"SELECT {columns} FROM calls GROUP BY 1 ORDER BY 1 LIMIT 2"

    plain, document = program.run("sql", query), program.run("sql", "--json", query)

    assert (plain.code, plain.lines, plain.out.splitlines()[0], plain.out.splitlines()[-1]) == (
        0,
        [SUPERUSER],
        "connection  calls  oldest                      nothing",
        "(2 rows)",
    )
    assert document.json["columns"] == ["connection", "calls", "oldest", "nothing"]
    assert [row[:2] for row in document.json["rows"]] == [["devices", 12], ["pairing", 12]]


def test_an_answer_is_exact_and_of_any_depth(program: Program) -> None:
    """Costs keep their digits, instants know no end of time, and a record may be nested deeper than Python parses."""
    assert program.run("migrate").code == 0
    numbers = "1.10::numeric AS cost, '9007199254740993'::bigint AS id, 'infinity'::timestamptz AS at, E'a,\"b\"\r\n' AS name"
    deep = "(repeat('[', 2000) || repeat(']', 2000))::jsonb AS raw"

    table, document, lines = (program.run("sql", *form, f"SELECT {numbers}") for form in ([], ["--json"], ["--csv"]))
    nested = [program.run("sql", *form, f"SELECT {deep}") for form in ([], ["--json"], ["--csv"])]

    assert table.out.splitlines()[:2] == [
        "cost                id  at        name",
        r'1.10  9007199254740993  infinity  a,"b"\r\n',
    ]
    assert document.out.splitlines()[2:4] == ['  "rows": [', r'    [1.10, 9007199254740993, "infinity", "a,\"b\"\r\n"]']
    assert lines.out == 'cost,id,at,name\n1.10,9007199254740993,infinity,"a,""b""\n"\n'  # line ends as the test reads them
    assert [(one.code, "[" * 2000 + "]" * 2000 in one.out) for one in nested] == [(0, True)] * 3


@pytest.mark.parametrize("width", [80, 200])
def test_an_answer_fits_the_terminal(program: Program, width: int) -> None:
    """No line is wider, whatever is asked for, and the rows are counted."""
    assert program.run("sync", "devices").code == 0

    wide, long = "SELECT * FROM sync.runs", "SELECT call_id, repeat('long ', 100) AS text, duration_seconds FROM calls"
    for query in (wide, long, "EXPLAIN SELECT * FROM calls"):
        code, drawn = on_a_terminal(program, "sql", query, width=width)
        lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).splitlines()[2:]  # without what is said of the role
        assert (code, [line for line in lines if len(line) > width]) == (0, [])
        assert re.match(r"\(\d+ rows?\b", lines[-1])


@pytest.mark.parametrize(("width", "encoding", "block"), [(80, "utf-8", "█"), (200, "utf-8", "█"), (80, "ascii", "#")])
def test_the_status_draws_time_lines(program: Program, width: int, encoding: str, block: str) -> None:
    """One for each connection, that ends where the terminal does, with its dates; letters where blocks cannot be written."""
    assert program.run("sync").code == 0
    program.environment["PYTHONIOENCODING"] = encoding

    code, drawn = on_a_terminal(program, "status", width=width)

    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).splitlines()
    assert (code, [line for line in lines if len(line) > width]) == (0, [])
    found = [re.fullmatch(rf"(\w+) +03-01 00:00 {block}*[=▄]+ 03-01 12:00", line) for line in lines if line[-11:-5] == "03-01 "]
    assert [(one and one[1], one and len(one[0])) for one in found] == [
        (name, width) for name in ("devices", "pairing", "telephony", "voice")
    ]


@pytest.mark.parametrize(
    ("arguments", "happened", "hint"),
    [
        (["--csv", "--json", "SELECT 1"], "--csv and --json are two forms of the same answer.", "Give one or the other."),
        (["--csv"], "--csv and --json need a query.", 'Write: etl sql --csv "SELECT …"'),
    ],
)
def test_forms_that_cannot_be_given(program: Program, arguments: list[str], happened: str, hint: str) -> None:
    """Nothing is asked."""
    ended = program.run("sql", *arguments)

    assert (ended.code, ended.out, ended.lines) == (2, "", [happened, "Nothing was asked.", hint])


@pytest.mark.parametrize(
    ("query", "happened"),
    [
        ("SELECT FRM", 'The query failed: column "frm" does not exist. It is at character 8.'),
        ("SELEC 1", "`etl sql` with a query does not run SELEC."),
        ("SELECT $1", "The query failed: it has parameters ($1)."),
        ("/* by */ -- the way\n (SELECT 1/0)", "The query failed: division by zero."),
        ("SELECT nope FROM calls", 'The query failed: column "nope" does not exist. It is at character 8.'),
        ("SELECT * FROM nope", 'The query failed: relation "nope" does not exist. It is at character 15.'),
        ("SELECT 1/0", "The query failed: division by zero."),
        ("DELETE FROM calls", "`etl sql` with a query does not run DELETE."),
        (
            "WITH d AS (DELETE FROM calls RETURNING 1) SELECT * FROM d",
            "The query failed: cannot execute SELECT in a read-only transaction.",
        ),
        ("EXPLAIN ANALYZE DELETE FROM calls", "The query failed: cannot execute DELETE in a read-only transaction."),
        ("SELECT * INTO stolen FROM calls", "The query failed: cannot execute SELECT INTO in a read-only transaction."),
        (
            "SELECT set_config('transaction_read_only', 'off', false)",
            "The query failed: transaction read-write mode must be set before any query.",
        ),
        ("COMMIT; DELETE FROM calls", "`etl sql` with a query does not run COMMIT."),
        ("SELECT 1; COMMIT; DELETE FROM calls", "The query failed: cannot insert multiple commands into a prepared statement."),
        (
            "DO $$ BEGIN PERFORM set_config('default_transaction_read_only','off',false); COMMIT; DELETE FROM calls; END $$",
            "`etl sql` with a query does not run DO.",
        ),
        ("COPY calls TO PROGRAM 'cat'", "`etl sql` with a query does not run COPY."),
        ("SET TRANSACTION READ WRITE", "`etl sql` with a query does not run SET."),
        ("CALL something()", "`etl sql` with a query does not run CALL."),
        (" -- nothing", "There is no query to run."),
        ("SELECT 1; SELECT 2", "The query failed: cannot insert multiple commands into a prepared statement."),
    ],
)
def test_a_query_that_fails(program: Program, query: str, happened: str) -> None:
    """The server's own words; and whatever the query was, it changed nothing."""
    assert program.run("sync", "devices").code == 0
    before = content(program.url)

    ended = program.run("sql", query)

    assert (ended.code, ended.out, ended.lines[:2]) == (2, "", [happened, ONLY_READS])
    assert content(program.url) == before


def test_a_terminal_sees_progress_and_a_table(program: Program) -> None:
    """A bar for each stream while it is read, then a table with a bold head; without the terminal there is neither."""
    code, drawn = on_a_terminal(program, "sync")

    assert code == 0
    assert "━" in drawn
    for name in ("pairing", "voice", "devices", "telephony"):
        assert re.search(rf"{name}.*━.*\d+/(\d+|\?)", drawn)
    assert re.search(r"\x1b\[1m ?connection", drawn)
    assert re.search(r"devices *succeeded *12 ", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn))
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h")  # the cursor is there again


def test_nobody_listens(program: Program) -> None:
    """Output into a pipe that is closed, as `head` closes it, is no error, and keeps no sync from its work."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = [program.run(*command, stdout=writing) for command in (["sync"], ["status"], ["runs", "--json"])]
    finally:
        os.close(writing)

    assert [(one.code, one.lines) for one in ended] == [(0, [])] * 3
    held, true = held_and_true(program)
    assert held == true


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(program: Program) -> None:
    """It is said; the calls are in the warehouse all the same."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = program.run("sync", stdout=full)

    assert (ended.code, ended.lines) == (
        2,
        [
            "Standard output cannot be written: No space left on device.",
            "What was committed stays.",
            "Lead the output to another place.",
        ],
    )
    assert rows(program.url, "SELECT count(*) FROM calls") == [(48,)]


def test_an_embedded_server_without_a_place(program: Program) -> None:
    """A data directory that cannot be made is named, with the two settings that help."""
    program.configure()
    text = program.config.read_text(encoding="utf-8")
    taken = program.folder / "taken"
    taken.touch()
    program.config.write_text(re.sub(r"url = .*", f'data_dir = "{taken}"', text, count=1), encoding="utf-8")

    ended = program.ask(*program.command("sync"))

    assert (ended.code, ended.out, ended.lines) == (
        1,
        "",
        [
            f"The embedded server's folder {taken} cannot be used: Not a directory.",
            "Nothing was started.",
            "Set warehouse.data_dir to a folder that you can write, or warehouse.url to a server of your own.",
        ],
    )
    assert program.sandbox.requests() == []
