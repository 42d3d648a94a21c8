"""Works out the answers to the questions of support about callers and hours, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.world import DAY, FIRST, NUMBERS, TODAY, ZONE, Answer, Company, Row, monday, ranked, rounded, share

ANSWERS = Answers()


@ANSWERS.to("In which weeks were 80 of 100 callers answered within 20 seconds?")
def _service_level(company: Company) -> Answer:
    weeks: dict[tuple[str, date], list[bool]] = defaultdict(list)
    for call in company.last(28, direction="inbound"):
        if call["speed_of_answer_seconds"] is not None or call["is_abandoned"]:
            waited = call["speed_of_answer_seconds"]
            weeks[call["connection"], monday(call["day"])].append(waited is not None and waited <= 20)
    return sorted((*key, share(sum(soon), len(soon)), 5 * sum(soon) >= 4 * len(soon)) for key, soon in weeks.items())


@ANSWERS.to("How long do callers wait: half of them, nine of ten, the longest?")
def _waits(company: Company) -> Answer:
    waits: dict[str, list[int]] = defaultdict(list)
    for call in recent(company, 28):
        if call["direction"] == "inbound" and call["speed_of_answer_seconds"] is not None:
            waits[call["connection"]].append(call["speed_of_answer_seconds"])
    return sorted(
        (name, len(all_), ranked(all_, Fraction(1, 2)), ranked(all_, Fraction(9, 10)), max(all_)) for name, all_ in waits.items()
    )


def recent(company: Company, days: int) -> list[Row]:
    """Return the calls of the last days and today, without tests, in their order."""
    found = [call for call in company.calls if call["day"] >= TODAY - days * DAY and not call["is_test"]]
    return sorted(found, key=lambda call: (call["occurred_at"], call["call_key"]))


@ANSWERS.to("At which hours do we miss calls?")
def _missed(company: Company) -> Answer:
    hours: dict[int, list[Row]] = defaultdict(list)
    for call in company.last(28, direction="inbound"):
        if call["is_answered"] is not None:
            hours[call["local_hour"]].append(call)
    rows: Answer = []
    for hour, calls in hours.items():
        missed = sum(call["is_missed"] for call in calls)
        rows += [(hour, len(calls), missed, share(missed, len(calls)))] if missed >= 3 else []
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:6]


@ANSWERS.to("How many callers give up before anybody answers?")
def _gave_up(company: Company) -> Answer:
    months: dict[tuple[str, date], list[bool]] = defaultdict(list)
    for call in company.last(100, direction="inbound", provider="bimpe"):
        if call["is_answered"] is not None:
            months[call["connection"], call["day"].replace(day=1)].append(call["status"] == "canceled")
    return sorted((*key, len(gave), sum(gave), share(sum(gave), len(gave))) for key, gave in months.items())


def by_customer(calls: list[Row]) -> dict[str, list[Row]]:
    """Return calls by the customer's number."""
    found: dict[str, list[Row]] = defaultdict(list)
    for call in calls:
        if call["customer_number"] is not None:
            found[call["customer_number"]].append(call)
    return found


@ANSWERS.to("How many missed callers did we call back within a day, and how soon?")
def _called_back(company: Company) -> Answer:
    weeks: dict[date, list[timedelta | None]] = defaultdict(list)
    for calls in by_customer(recent(company, 28)).values():
        for call in calls:
            if call["is_missed"] and call["day"] < TODAY - DAY:
                backs = (
                    later["occurred_at"] - call["occurred_at"]
                    for later in calls
                    if later["direction"] == "outbound" and timedelta() <= later["occurred_at"] - call["occurred_at"] <= DAY
                )
                weeks[monday(call["day"])].append(min(backs, default=None))
    rows: Answer = []
    for week, backs in sorted(weeks.items()):
        known = [back // timedelta(microseconds=1) for back in backs if back is not None]
        minutes = rounded(Fraction(ranked(known, Fraction(1, 2)), 60_000_000), 0) if known else None
        rows.append((week, len(backs), len(known), minutes))
    return rows


@ANSWERS.to("Who called in vain and has not been spoken with since?")
def _in_vain(company: Company) -> Answer:
    rows: Answer = []
    for number, calls in by_customer(recent(company, 7)).items():
        missed = [place for place, call in enumerate(calls) if call["is_missed"]]
        if missed and not any(call["is_answered"] for call in calls[missed[-1] :]):
            rows.append((number, len(missed), calls[missed[-1]]["occurred_at"]))
    return sorted(rows, key=lambda row: (-row[2].timestamp(), row[0]))[:5]


@ANSWERS.to("Which calls come after hours, where the number is?")
def _after_hours(company: Company) -> Answer:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for call in recent(company, 28):
        if call["direction"] == "inbound" and call["our_number"] in NUMBERS:
            name, _, zone = NUMBERS[call["our_number"]]
            local = call["occurred_at"].astimezone(ZoneInfo(zone))
            in_hours = time(9) <= local.time() < time(17)
            found[name]["weekend" if local.isoweekday() > 5 else "in" if in_hours else "outside"] += 1
    return sorted((name, kinds.total(), kinds["weekend"], kinds["outside"], kinds["in"]) for name, kinds in found.items())


@ANSWERS.to("When is the first call of a day, and when the last?")
def _first_and_last(company: Company) -> Answer:
    days: dict[date, list[Any]] = defaultdict(list)
    for call in company.last(5, direction="inbound"):
        days[call["day"]].append(call["occurred_at"].astimezone(ZONE))
    return sorted((day, len(all_), f"{min(all_):%H:%M}", f"{max(all_):%H:%M}") for day, all_ in days.items())


@ANSWERS.to("On which days did a connection have no call at all?")
def _quiet(company: Company) -> Answer:
    days = {(call["connection"], call["day"]) for call in company.calls}
    calendar = [TODAY - back * DAY for back in range(1, 43)]
    assert min(calendar) == FIRST.astimezone(ZONE).date()
    return sorted((name, day) for name in {name for name, _ in days} for day in calendar if (name, day) not in days)


@ANSWERS.to("What do we know of this number?")
def _number(company: Company) -> Answer:
    found = [call for call in company.raw.calls if "+14155551050" in (call["from_address"], call["to_address"])]
    found.sort(key=lambda call: (-call["occurred_at"].timestamp(), call["connection"], call["call_id"]))
    names = ("occurred_at", "connection", "direction", "status", "duration_seconds")
    return [tuple(call[name] for name in names) for call in found[:5]]
