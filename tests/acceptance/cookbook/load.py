"""Works out the answers to the questions of support about lines and agents, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.world import DAY, TODAY, ZONE, Answer, Company, Row, rounded, share

ANSWERS = Answers()


@ANSWERS.to("How many lines were in use at once, and how much traffic was that?")
def _lines(company: Company) -> Answer:
    days: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for row in company.rollup("lines_hourly"):
        if TODAY - 3 * DAY <= row["day"] < TODAY:
            days[row["connection"], row["day"]].append(row)
    return sorted(
        (
            *key,
            max(row["peak_concurrent"] for row in rows),
            rounded(max(row["erlangs"] for row in rows), 3),
            rounded(sum(row["erlangs"] for row in rows), 2),
        )
        for key, rows in days.items()
    )


def _stretches(company: Company, wanted: Callable[[Any], bool]) -> list[tuple[Any, datetime, datetime]]:
    """Return when ended calls went on."""
    found = []
    for call in company.raw.calls:
        began = call["started_at"] or call["answered_at"] or call["occurred_at"]
        if not call["is_test"] and call["ended_at"] is not None and call["ended_at"] > began and wanted(call):
            found.append((call, began, call["ended_at"]))
    return found


@ANSWERS.to("How many lines were in use at once over all connections?")
def _everywhere(company: Company) -> Answer:
    all_ = _stretches(company, lambda call: company.raw.day(call["occurred_at"]) >= TODAY - 4 * DAY)
    peaks: dict[date, int] = defaultdict(int)
    for at in (at for _, *edges in all_ for at in edges):
        day = at.astimezone(ZONE).date()
        peaks[day] = max(peaks[day], sum(began <= at < ended for _, began, ended in all_))
    return sorted((day, peak) for day, peak in peaks.items() if TODAY - 3 * DAY <= day < TODAY)


@ANSWERS.to("What is the load of each agent?")
def _load(company: Company) -> Answer:
    calls: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for call in company.last(28, provider="bimpe"):
        calls[call["connection"], call["agent_id"], call["agent_name"]].append(call)
    every = sum(map(len, calls.values()))
    rows = [
        (*key, len(own), share(sum(call["talk_seconds"] or 0 for call in own), 3600, scale=1), share(len(own), every))
        for key, own in calls.items()
    ]
    return sorted(rows, key=lambda row: (row[0], -row[3], row[1]))


@ANSWERS.to("How many calls does an agent have at once?")
def _at_once(company: Company) -> Answer:
    def wanted(call: Any) -> bool:
        day = company.raw.day(call["occurred_at"])
        return call["connection"] == "telephony" and call["agent_id"] is not None and TODAY - 28 * DAY <= day < TODAY

    agents: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for call, began, ended in _stretches(company, wanted):
        agents[call["agent_id"]].append((began, ended))
    return sorted(
        (agent, max(sum(began <= at < ended for began, ended in own) for at, _ in own)) for agent, own in agents.items()
    )
