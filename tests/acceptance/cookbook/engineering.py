"""Works out the answers to the questions of engineering, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import combinations

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.world import DAY, PEOPLE, TODAY, Answer, Company, Row, monday, share

ANSWERS = Answers()


def _stays(company: Company, begin: date, end: date) -> dict[str, list[Row]]:
    """Return the rows of the days of each person."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in company.rollup("person_daily"):
        if begin <= row["day"] < end:
            found[row["person"]].append(row)
    return found


def _hours(rows: list[Row], name: str) -> object:
    return share(sum(row[name] for row in rows), 3600, scale=1)


@ANSWERS.to("How many hours did each of us pair last week?")
def _paired(company: Company) -> Answer:
    rows: Answer = []
    for who, days in _stays(company, TODAY - 7 * DAY, TODAY).items():
        paired, inside = (sum(day[name] for day in days) for name in ("paired_seconds", "in_call_seconds"))
        hours = (_hours(days, "paired_seconds"), _hours(days, "solo_seconds"))
        rows.append((who, sum(day["calls"] for day in days), *hours, share(paired, inside)))
    return sorted(rows, key=lambda row: (-row[2], row[0]))


@ANSWERS.to("How did our pairing develop, week by week?")
def _development(company: Company) -> Answer:
    rows: Answer = []
    for back in range(5, 0, -1):
        week = TODAY - 7 * back * DAY
        people = _stays(company, week, week + 7 * DAY)
        seconds = sum(day["paired_seconds"] for days in people.values() for day in days)
        rows.append((week, len(people), share(seconds, 3600, scale=1), share(seconds, 3600 * len(people), scale=1)))
    return rows


def _pairs(company: Company, weeks: int) -> Iterator[tuple[str, str, Row]]:
    """Return the rows of the pairs of the last whole weeks, both ways."""
    for row in company.rollup("pair_weekly"):
        if TODAY - 7 * weeks * DAY <= row["week"] < TODAY:
            yield row["person_a"], row["person_b"], row
            yield row["person_b"], row["person_a"], row


@ANSWERS.to("Who pairs with whom? (the pair matrix)")
def _matrix(company: Company) -> Answer:
    seconds: dict[str, Counter[str]] = defaultdict(Counter)
    for one, other, row in _pairs(company, 4):
        seconds[one][other] += row["seconds_together"]
    rows: Answer = []
    for one, others in sorted(seconds.items()):
        cells = [(share(all_, 3600, scale=1) or 0, other) for other, all_ in others.items()]
        told = sorted(cells, key=lambda cell: (-cell[0], cell[1]))
        rows.append((one, ", ".join(f"{other.partition('@')[0]} {hours}" for hours, other in told)))
    return rows


@ANSWERS.to("Which colleagues hardly pair with each other?")
def _apart(company: Company) -> Answer:
    seconds: Counter[tuple[str, str]] = Counter()
    for one, other, row in _pairs(company, 4):
        seconds[one, other] += row["seconds_together"]
    pairs = ((f"{a}@example.com", f"{b}@example.com") for a, b in combinations(sorted(PEOPLE), 2) if PEOPLE[a] == PEOPLE[b])
    rows: Answer = [(*pair, share(seconds[pair], 3600, scale=1)) for pair in pairs]
    return sorted(rows, key=lambda row: (row[2], *row[:2]))[:5]


@ANSWERS.to("Who paired with how many others last week, for three hours or more?")
def _partners(company: Company) -> Answer:
    partners = Counter(one for one, _, row in _pairs(company, 1) if row["seconds_together"] >= 3 * 3600)
    return sorted(partners.items(), key=lambda row: (-row[1], row[0]))


@ANSWERS.to("Do teams mix?")
def _mixing(company: Company) -> Answer:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for one, other, row in _pairs(company, 4):
        teams = [PEOPLE.get(who.partition("@")[0]) for who in (one, other)]
        if one < other and None not in teams:
            first, second = sorted(str(team) for team in teams)
            found[first, second].append(row)
    rows: Answer = [(*key, _hours(own, "seconds_together"), sum(row["calls"] for row in own)) for key, own in found.items()]
    return sorted(rows, key=lambda row: (-row[2], *row[:2]))


@ANSWERS.to("Who sits in sessions without a partner?")
def _solo(company: Company) -> Answer:
    rows: Answer = []
    for who, days in _stays(company, TODAY - 28 * DAY, TODAY).items():
        alone = sum(day["paired_seconds"] == 0 < day["in_call_seconds"] for day in days)
        if any(day["solo_seconds"] for day in days):
            rows.append((who, sum(day["calls"] for day in days), _hours(days, "solo_seconds"), alone))
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:5]


@ANSWERS.to("How many sessions had nobody but one person in them?")
def _alone(company: Company) -> Answer:
    there: dict[str, set[str]] = defaultdict(set)
    for part in company.raw.participants:
        there[part["call_id"]].add(part["email"] or part["participant_id"])
    weeks: dict[date, list[int]] = defaultdict(list)
    for call in company.last(28, provider="tuple"):
        weeks[monday(call["day"])].append(len(there[call["call_id"]]))
    return sorted((week, len(sizes), sizes.count(0), sizes.count(1)) for week, sizes in weeks.items())
