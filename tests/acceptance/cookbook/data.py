"""Works out the answers to the questions about the data itself, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date
from decimal import Decimal

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.world import DAY, MORNINGS, TODAY, Answer, Company, Row

ANSWERS = Answers()


@ANSWERS.to("Are yesterday's numbers final?")
def _final(company: Company) -> Answer:
    open_ = Counter(call["connection"] for call in company.calls if call["is_open"])
    rows: Answer = []
    for name in sorted({call["connection"] for call in company.calls}):
        rows.append((name, MORNINGS[-1], True, open_[name], 0, "unverifiable" if name == "devices" else "complete"))
    return rows


@ANSWERS.to("Do our calls of each day agree with the provider's own count?")
def _totals(company: Company) -> Answer:
    days = Counter(call["occurred_at"].astimezone(UTC).date() for call in company.calls if call["provider"] == "krosai")
    return sorted(("telephony", day, calls, calls) for day, calls in days.items() if TODAY - 4 * DAY <= day < TODAY)


def _gone(company: Company) -> list[Row]:
    before, after = company.mornings[-2:]
    return [call for key, call in before.items() if key not in after]


@ANSWERS.to("What changed in my numbers since yesterday?")
def _changes(company: Company) -> Answer:
    yesterday, after = company.mornings[-3], company.mornings[-1]
    kinds: dict[date, Counter[str]] = defaultdict(Counter)
    for key, call in after.items():
        if call["provider"] == "krosai" and call != yesterday.get(key):
            kinds[call["day"]]["changed" if key in yesterday else "new"] += 1
    for call in _gone(company):
        kinds[call["day"]]["deleted"] += 1
    rows: Answer = [(day, kind["new"], kind["changed"], kind["deleted"]) for day, kind in kinds.items()]
    return sorted(rows, reverse=True)[:8]


@ANSWERS.to("On which days were the calls that their provider deleted?")
def _deleted(company: Company) -> Answer:
    costs: dict[tuple[str, date], list[Decimal]] = defaultdict(list)
    for call in _gone(company):
        costs[call["connection"], call["day"]].append(call["cost"])
    return sorted((*key, len(own), sum(own)) for key, own in costs.items())
