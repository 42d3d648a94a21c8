"""Works out the answers to the questions of voice AI, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.acceptance.cookbook.asking import Answers
from tests.acceptance.cookbook.support import recent
from tests.acceptance.cookbook.world import Answer, Company, Row, monday, ranked, rounded, share
from tests.warehouse.rollups.expected import bucket

ANSWERS = Answers()


@ANSWERS.to("How many calls does the agent handle alone, and how many does it pass on?")
def _containment(company: Company) -> Answer:
    agents: dict[str, list[bool]] = defaultdict(list)
    for call in company.last(28, provider="bimpe", status="completed"):
        agents[call["agent_name"]].append("transfer" in (call["end_reason"] or "").lower())
    return sorted((name, len(own), sum(own), share(len(own) - sum(own), len(own))) for name, own in agents.items())


@ANSWERS.to("Why do calls end?")
def _ends(company: Company) -> Answer:
    ends = Counter((call["provider"], call["end_reason"]) for call in recent(company, 28) if call["end_reason"] is not None)
    rows = [(provider, reason.replace("\n", " "), calls) for (provider, reason), calls in ends.items()]
    return sorted(rows, key=lambda row: (row[0], -row[2], row[1]))[:14]


@ANSWERS.to("How fast does the agent answer when spoken to?")
def _latency(company: Company) -> Answer:
    weeks: dict[date, list[int]] = defaultdict(list)
    for call in company.last(28):
        if call["latency_ms"] is not None:
            weeks[monday(call["day"])].append(call["latency_ms"])
    return sorted((week, len(own), ranked(own, Fraction(1, 2)), ranked(own, Fraction(95, 100))) for week, own in weeks.items())


@ANSWERS.to("How long do the agents' calls last, month by month?")
def _talk(company: Company) -> Answer:
    months: dict[tuple[str, date], list[int]] = defaultdict(list)
    for call in company.calls:
        if call["talk_seconds"] is not None and not call["is_test"] and call["provider"] != "tuple":
            months[call["connection"], call["day"].replace(day=1)].append(call["talk_seconds"])

    def middle(seconds: int) -> Decimal:
        _, first, last = bucket(seconds)
        return rounded((Decimal(first) * last).sqrt(), 0)

    return sorted(
        (*key, middle(ranked(own, Fraction(1, 2))), middle(ranked(own, Fraction(9, 10))), len(own)) for key, own in months.items()
    )


@ANSWERS.to("Which agents are hung up on at once?")
def _at_once(company: Company) -> Answer:
    agents: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for call in company.last(28, provider="bimpe", is_answered=True):
        agents[call["connection"], call["agent_name"]].append(call)
    rows: Answer = []
    for key, own in agents.items():
        short = sum(call["talk_seconds"] is not None and call["talk_seconds"] < 10 for call in own)
        rows.append((*key, len(own), short, share(short, len(own))))
    return sorted(rows, key=lambda row: (-row[4], row[1]))


@ANSWERS.to("How many times do the two sides speak in a conversation?")
def _turns(company: Company) -> Answer:
    recently = {call["call_id"] for call in recent(company, 28)}
    said = Counter(message["call_id"] for message in company.messages if message["call_id"] in recently)
    return sorted(Counter(said.values()).items())


def _plain(text: str) -> str:
    return text.lower().replace(".", "").replace(",", "")


@ANSWERS.to("In which conversations was something said? (messages)")
def _messages(company: Company) -> Answer:
    found: dict[str, list[Any]] = defaultdict(list)
    for message in company.messages:
        if "move my appointment" in _plain(message["message"]) or "goodbye" in _plain(message["message"]):
            found[message["role"]].append(message["call_id"])
    return sorted((role, len(calls), len(set(calls))) for role, calls in found.items())


@ANSWERS.to("In which calls was something said? (transcripts)")
def _transcripts(company: Company) -> Answer:
    found: dict[str, list[date]] = defaultdict(list)
    for key, text in company.transcripts.items():
        if "thursday" in text.lower() and "goodbye" not in text.lower():
            call = company.mornings[-1][key]
            found[call["provider"]].append(call["day"])
    return sorted((provider, len(days), min(days), max(days)) for provider, days in found.items())
