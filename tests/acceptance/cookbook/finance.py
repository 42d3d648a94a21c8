"""Works out the answers to the questions of finance, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.world import DAY, NUMBERS, TODAY, Answer, Company, Row, monday, rounded

ANSWERS = Answers()


def _priced(company: Company) -> list[Row]:
    return [call for call in company.calls if call["cost"] is not None]


def _month(call: Row) -> date:
    day: date = call["day"]
    return day.replace(day=1)


def _sum(calls: list[Row]) -> Decimal:
    return sum((call["cost"] for call in calls), Decimal())


def _per(calls: list[Row], what: int, *, times: int = 1) -> Decimal:
    return rounded(Fraction(_sum(calls)) * times / what, 4)


def _grouped(calls: list[Row], *keys: Any) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for call in calls:
        found[tuple(key(call) if callable(key) else call[key] for key in keys)].append(call)
    return found


@ANSWERS.to("What do calls cost per month?")
def _months(company: Company) -> Answer:
    months = _grouped(_priced(company), _month, "connection", "currency")
    return sorted(
        (*key, _sum(calls), len(calls), _per(calls, sum(call["is_answered"] is True for call in calls)))
        for key, calls in months.items()
    )


@ANSWERS.to("What does each agent cost per month?")
def _agents(company: Company) -> Answer:
    october = [call for call in _priced(company) if call["day"].month == 10]
    rows: Answer = [
        (month, agent, None, currency, _sum(calls), _per(calls, sum(call["talk_seconds"] or 0 for call in calls), times=60))
        for (month, agent, currency), calls in _grouped(october, _month, "agent_id", "currency").items()
    ]
    return sorted(rows, key=lambda row: -row[4])


@ANSWERS.to("What does each of our numbers cost per month?")
def _numbers(company: Company) -> Answer:
    october = [call for call in _priced(company) if call["day"].month == 10]
    rows: Answer = [
        (month, number, NUMBERS[number][0], currency, _sum(calls), len(calls))
        for (month, number, currency), calls in _grouped(october, _month, "our_number", "currency").items()
    ]
    return sorted(rows, key=lambda row: -row[4])


def _october(calls: dict[tuple[str, str], Row]) -> dict[str, Row]:
    return {
        call["call_id"]: call
        for call in calls.values()
        if call["cost"] is not None and (call["day"].year, call["day"].month) == (2025, 10)
    }


@ANSWERS.to("What did October cost when its books were closed, and what would it cost now?")
def _books(company: Company) -> Answer:
    closed, now = (_sum(list(_october(company.mornings[at]).values())) for at in (0, -1))
    assert closed != now
    return [("USD", closed, now, now - closed)]


@ANSWERS.to("Which calls of October changed their price after the books were closed?")
def _changed(company: Company) -> Answer:
    closed, now = (_october(company.mornings[at]) for at in (0, -1))
    rows: Answer = []
    for call_id, call in closed.items():
        cost = now[call_id]["cost"] if call_id in now else None
        if cost != call["cost"]:
            rows.append((call_id, call["cost"], cost, call["currency"]))
    return sorted(rows, key=lambda row: (row[2] is None, row[2] is not None and row[1] - row[2], -row[1], row[0]))[:8]


@ANSWERS.to("How much of the cost is in the dearest tenth of the calls?")
def _dearest(company: Company) -> Answer:
    costs = sorted((call["cost"] for call in _priced(company) if TODAY - 28 * DAY <= call["day"] < TODAY), reverse=True)
    tenth = len(costs) // 10 + (len(costs) % 10 > 0)
    percent = rounded(100 * Fraction(sum(costs[:tenth])) / Fraction(sum(costs)), 1)
    return [("USD", len(costs), sum(costs), percent, costs[0])]


@ANSWERS.to("What is paid for calls that reach nobody or end at once?")
def _in_vain(company: Company) -> Answer:
    calls = [call for call in _priced(company) if TODAY - 28 * DAY <= call["day"] < TODAY]
    return sorted(
        (
            *key,
            _sum(own),
            _sum([call for call in own if not call["is_answered"]]),
            _sum([call for call in own if call["talk_seconds"] is not None and call["talk_seconds"] < 10]),
        )
        for key, own in _grouped(calls, lambda call: monday(call["day"]), "currency").items()
    )
