"""Works out the answers to the questions of sales, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.world import DAY, TODAY, Answer, Company, Row, monday, share

ANSWERS = Answers()


@ANSWERS.to("Which hours of the week bring the most calls?")
def _hours(company: Company) -> Answer:
    calls = company.last(28)
    every = Counter((call["iso_weekday"], call["local_hour"]) for call in calls)
    answered = Counter((call["iso_weekday"], call["local_hour"]) for call in calls if call["is_answered"])
    return sorted(((*hour, number, answered[hour]) for hour, number in every.items()), key=lambda row: (-row[2], *row[:2]))[:6]


@ANSWERS.to("How does each week compare with the week before?")
def _weeks(company: Company) -> Answer:
    weeks = sorted(Counter(monday(call["day"]) for call in company.last(35)).items())
    found: Answer = [(*weeks[0], None, None)]
    for (_, before), (week, calls) in pairwise(weeks):
        found.append((week, calls, calls - before, share(calls - before, before)))
    return found


@ANSWERS.to("When do people pick up?")
def _pick_up(company: Company) -> Answer:
    hours: dict[int, list[Row]] = defaultdict(list)
    for call in company.last(28, direction="outbound"):
        hours[call["local_hour"]].append(call)
    rows = [
        (hour, len(calls), answered := sum(call["is_answered"] is True for call in calls), share(answered, len(calls)))
        for hour, calls in hours.items()
        if len(calls) >= 20
    ]
    return sorted(rows, key=lambda row: (-(row[3] or 0), row[0]))[:5]


def spoken_with(company: Company, days: int, direction: str) -> dict[str, list[Row]]:
    """Return the calls of the last days and today by the customer's number, each in their order."""
    found: dict[str, list[Row]] = defaultdict(list)
    for call in sorted(company.calls, key=lambda call: (call["occurred_at"], call["call_key"])):
        wanted = call["direction"] == direction and not call["is_test"] and call["customer_number"] is not None
        if wanted and call["day"] >= TODAY - days * DAY:
            found[call["customer_number"]].append(call)
    return found


@ANSWERS.to("How many attempts does it take to reach somebody?")
def _attempts(company: Company) -> Answer:
    reached = Counter(
        next((attempt for attempt, call in enumerate(calls, 1) if call["is_answered"]), None)
        for calls in spoken_with(company, 28, "outbound").values()
    )
    return sorted(reached.items(), key=lambda row: row[0] or 1_000)


@ANSWERS.to("Who calls again and again?")
def _again(company: Company) -> Answer:
    rows = [
        (number, len(calls), len({call["day"] for call in calls}), max(call["day"] for call in calls))
        for number, calls in spoken_with(company, 28, "inbound").items()
        if len(calls) >= 3
    ]
    return sorted(rows, key=lambda row: (-row[1], TODAY - row[3], row[0]))[:5]


@ANSWERS.to("What share of callers calls again within a week?")
def _within_a_week(company: Company) -> Answer:
    weeks: dict[object, list[bool]] = defaultdict(list)
    for calls in spoken_with(company, 42, "inbound").values():
        for call, following in zip(calls, [*calls[1:], None], strict=True):
            soon = following is not None and following["occurred_at"] <= call["occurred_at"] + 7 * DAY
            if call["day"] < TODAY - 7 * DAY:
                weeks[monday(call["day"])].append(soon)
    return sorted((week, len(soon), sum(soon), share(sum(soon), len(soon))) for week, soon in weeks.items())


@ANSWERS.to("Of the numbers that first called in a week, how many came back in the weeks after?")
def _cohorts(company: Company) -> Answer:
    weeks = [{monday(call["day"]) for call in calls} for calls in spoken_with(company, 1_000, "inbound").values()]
    cohorts: dict[object, list[int]] = defaultdict(lambda: [0] * 4)
    for called in weeks:
        for later in range(4):
            cohorts[min(called)][later] += min(called) + 7 * later * DAY in called
    return sorted((cohort, *numbers) for cohort, numbers in cohorts.items())
