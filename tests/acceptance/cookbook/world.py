"""
Knows the company whose questions the cookbook answers: six weeks of calls of the seeded sandbox, synced on three mornings.

What happened is kept twice: in the warehouse, by the program; and here, in plain Python, from the sandbox's own records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from etl.audit.lifecycle import audit_connection
from etl.runs.terms import RunStatus, Want
from etl.sandbox import History
from etl.warehouse import schema
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.wiring import account
from tests.acceptance.cast import USUAL
from tests.acceptance.expected import at, expected_calls
from tests.acceptance.stage import Row, Stage, opened
from tests.warehouse.rollups import expected
from tests.warehouse.rollups.expected import World, facts

ZONE = ZoneInfo("Europe/Berlin")
FIRST = datetime(2025, 9, 28, 22, tzinfo=UTC)  # midnight in Berlin, the beginning of a Monday
CLOSED = datetime(2025, 11, 5, 6, tzinfo=UTC)
MORNINGS = (CLOSED, datetime(2025, 11, 9, 6, tzinfo=UTC), datetime(2025, 11, 10, 6, tzinfo=UTC))
ASKED = datetime(2025, 11, 10, 9, tzinfo=UTC)
TODAY = date(2025, 11, 10)
NUMBERS = {
    "+14155550001": ("Berlin office", "sales", "Europe/Berlin"),
    "+14155550002": ("New York office", "sales", "America/New_York"),
    "+14155550003": ("Help line", "support", "Asia/Kolkata"),
}
PEOPLE = {"alice": "platform", "bob": "platform", "carol": "platform", "dave": "product", "erin": "product"} | {
    "frank": "mobile",
    "grace": "mobile",
}
"""The people of the company by their team; Heidi is in none."""

DAY = timedelta(days=1)
Answer = list[tuple[Any, ...]]


def share(part: float, whole: float, places: int = 1, *, scale: int = 100) -> Decimal | None:
    """Return `scale * part / whole`, rounded half up; None where there is no whole."""
    return None if not whole else rounded(Fraction(part) * scale / Fraction(whole), places)


def rounded(value: Fraction | Decimal | int, places: int) -> Decimal:
    """Return a value rounded half away from zero."""
    exact = Fraction(value) * 10**places
    whole = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    return (Decimal(whole) / 10**places).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def ranked(values: Iterable[int], part: Fraction) -> int:
    """Return the smallest of the values that at least this part of them does not exceed."""
    found = sorted(values)
    return found[max(0, -int(-part * len(found) // 1) - 1)]


def monday(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())


@dataclass(slots=True, kw_only=True)
class Company:
    """
    The warehouse, and beside it what is true: rows of `call_facts`, participants and messages, worked out of its records.

    `mornings` holds what was true at each sync, by connection and id.
    """

    stage: Stage
    mornings: list[dict[tuple[str, str], Row]] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    transcripts: dict[tuple[str, str], str] = field(default_factory=dict)
    raw: World = field(default_factory=lambda: World(calls=[], participants=[], zone=ZONE))

    @property
    def calls(self) -> list[Row]:
        """All calls that live now, with the columns of `call_facts`."""
        return list(self.mornings[-1].values())

    def last(self, days: int, **wanted: object) -> list[Row]:
        """Return the calls of the last whole days that have these values, without tests."""
        return [
            call
            for call in self.calls
            if TODAY - days * DAY <= call["day"] < TODAY
            and not call["is_test"]
            and all(call[name] == value for name, value in wanted.items())
        ]

    def rollup(self, name: str) -> list[Row]:
        """Work out a roll-up of all calls."""
        return expected.ROLLUPS[name](self.raw)

    # How it came about

    def wake(self) -> None:
        """Keep what is true now."""
        parts, agents = [], {agent["id"]: agent["name"] for agent in self.stage.history.agents()}
        self.messages, self.transcripts, calls = [], {}, []
        for provider in USUAL:
            for call_id, row in expected_calls(self.stage, provider).items():
                call = {"parent_call_id": None, "recording_url": None, "transcript": None} | row
                detail = self.stage.history.detail(provider, call_id)
                if provider == "bimpe":
                    call |= {name: at(detail[name]) for name in ("started_at", "answered_at")}
                    self.messages += [{**row, **said} for said in detail["conversation_logs"]]
                elif provider == "tuple":
                    parts += [_participant(call, part) for part in row["listed"]["call_participations"]]
                else:
                    call["transcript"] = detail["transcript"]
                    call["recording_url"] = detail["recording_url" if provider == "krosai" else "audio_record_url"]
                if call["transcript"]:
                    self.transcripts[call["connection"], call_id] = call["transcript"]
                calls.append(call)
        known = {("voice", name): title for name, title in agents.items()}
        self.raw = World(calls=calls, participants=parts, zone=ZONE, agents=known)  # type: ignore[arg-type]
        spoken = {message["call_id"] for message in self.messages}
        self.mornings.append(
            {
                (call["connection"], call["call_id"]): facts(self.raw, call, has_message=call["call_id"] in spoken)
                for call in calls
            }
        )

    def dress(self, done: set[str]) -> None:
        """Give the drawn calls, which are all strangers', a company: numbers of ours, customers that return, people that pair."""
        history = self.stage.history
        for provider in ("krosai", "bimpe", "tuple"):
            for call in history.living(provider):
                if call.id not in done:
                    done.add(call.id)
                    detail = history.detail(provider, call.id)
                    history.change(provider, call.id, DRESS[provider](detail))

    def correct(self) -> None:
        """Let the provider correct the prices of October, and take three of its calls away."""
        october = [call for call in self.calls if call["connection"] == "telephony" and call["cost"] and call["day"].month == 10]
        for call in october[10:60:10]:
            self.stage.history.change("krosai", call["call_id"], {"cost": 250})
        for call in october[100:160:20]:
            self.stage.history.delete("krosai", call["call_id"])

    def sync(self, *, full: bool = False) -> None:
        """Sync all four as `etl sync` does."""
        outcomes = self.stage.sync_all(want=Want(full=full))
        assert [(one.status, one.error) for one in outcomes.values()] == [(RunStatus.SUCCEEDED, None)] * 4

    def audit(self) -> None:
        """Audit all four as `etl audit` does."""
        settings = self.stage.configured()
        for name, one in settings.choose(tuple(USUAL.values())).items():
            with self.stage.surroundings(AuditedWarehouse) as given:
                connect = self.stage.connect(settings, {name: one}, given)
                assert audit_connection(account(name, one), connect=connect, given=given).error is None


def _participant(call: Row, part: Any) -> Row:
    joined, left = at(part["joined_at"]), at(part["left_at"])
    email = part["user"]["email"] if part["user"] else None
    return {
        **{name: call[name] for name in ("connection", "call_id", "occurred_at")},
        "participant_id": str(part["id"]),
        "email": email,
        "joined_at": joined,
        "left_at": left,
    }


def _customer(number: str, *, of: int) -> str:
    """Return one of so many customers' numbers, by a number drawn from all."""
    return f"+1415555{1000 + int(number[-4:]) % of:04d}"


def _krosai(record: Any) -> Row:
    ours = list(NUMBERS)[int(record["phone_number_id"][-1]) - 1]
    side, other = ("to_number", "from_number") if record["direction"] == "inbound" else ("from_number", "to_number")
    return {side: ours, other: _customer(record[other], of=97)}


def _bimpe(record: Any) -> Row:
    side = "source" if record["direction"] == "inbound" else "destination"
    known = record[side] is not None and record[side].startswith("+")
    return {side: _customer(record[side], of=60)} if known else {}


def _tuple(record: Any) -> Row:
    """Eight people in place of forty, in sessions twelve times as long."""
    end = at(record["ended_at"])
    assert end is not None

    def earlier(instant: str | None) -> str | None:
        given = at(instant)
        return given and (end - 12 * (end - given)).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    parts = [
        part
        | {"joined_at": earlier(part["joined_at"]), "left_at": earlier(part["left_at"])}
        | {"user": part["user"] and {"email": part["user"]["email"].partition(".")[0] + "@example.com"}}
        for part in record["call_participations"]
    ]
    return {
        "started_at": earlier(record["started_at"]),
        "duration_seconds": record["duration_seconds"] * 12,
        "call_participations": parts,
    }


DRESS: dict[str, Callable[[Any], Row]] = {"krosai": _krosai, "bimpe": _bimpe, "tuple": _tuple}


def founded(database: Database, url: str, folder: Path) -> Company:
    """Let six weeks pass, sync on three mornings, and audit on the last; the sandbox has to be stopped."""
    schema.set_reporting_timezone(database, ZONE.key)
    rates = {"tuple": 10.0, "bimpe": 12.0, "salpre": 3.0, "krosai": 16.0}
    calm = {"long": 0.0, "agents": 3, "agent_changes": (0.0, 0.0, 0.0)}
    history = History(11, start=CLOSED, past=CLOSED - FIRST, calls_per_day=rates, may_pass_real_time=True, **calm)  # type: ignore[arg-type]
    company = Company(stage=opened(history, database=database, url=url, folder=folder))
    company.stage.settings = {"krosai": {"daily_requests": 100_000, "rate_limit": "600000/min"}}
    dressed: set[str] = set()
    for morning in MORNINGS:
        history.advance_to(morning)
        company.dress(dressed)
        if morning == MORNINGS[-1]:
            company.wake()
            company.correct()
            with database.begin() as session:  # `changed_at` is by the server's clock, for which no day has passed
                session.exec_driver_sql("UPDATE calls SET changed_at = %s", (MORNINGS[1],))
        company.sync(full=morning == MORNINGS[-1])
        company.wake()
    company.audit()
    with database.begin() as session:
        session.exec_driver_sql(
            "INSERT INTO numbers (number, name, team, time_zone) "
            "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])",
            tuple(map(list, zip(*((number, *rest) for number, rest in NUMBERS.items()), strict=True))),
        )
        session.exec_driver_sql(
            "INSERT INTO people (email, name, team) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])",
            tuple(map(list, zip(*((f"{who}@example.com", who.title(), team) for who, team in PEOPLE.items()), strict=True))),
        )
    return company
