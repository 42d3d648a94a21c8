"""
A small server made of the form and the payloads: it answers as the API would, from calls of its own, over loopback.

What it understands of a request, and how it writes its pages, was learned from both (`asking`, `answering`), and they agree.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from etl.model import JSON
from etl.provider import CALLS, Order, Part, Provider, Style, all_of
from etl.sandbox.damage import Damage
from etl.sandbox.door import Door
from etl.sandbox.exchange import Reply
from etl.testing.answering import Envelope, Truth
from etl.testing.asking import Leaves, Wording, request_leaves
from etl.testing.clocks import day_or_instant
from etl.testing.faults import Fault, Raised
from etl.testing.made import Made
from etl.testing.parts import answer_of, own_of
from etl.testing.payloads import Payloads, naming_call

TOO_MANY = 400
"""More requests than any of the kit's syncs needs."""

TOKEN_PATH = "/kit-token"  # noqa: S105 - an address
"""Where the server hands out tokens, wherever the API does."""

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Refuse = Callable[[int], Reply | None]
"""What stands in the place of an answer to a request for a page, given how many there were before; None: nothing."""


class Leading(NamedTuple):
    """What leads on to a page: the call that it comes after, and what the page before was asked for."""

    place: tuple[datetime, str]
    asked: Leaves
    size: int


@dataclass(kw_only=True)
class Habits:
    """How the server departs from what is right."""

    ignores_place: bool = False  # each page is the first one
    ignores_filter: bool = False
    total_off: int = 0
    refuse: Refuse = lambda number: None
    before_page: Callable[[int], object] = lambda number: None


@dataclass(kw_only=True)
class Asked:
    """What the server was asked for: the requests for pages, one by one, and how often anything else."""

    pages: list[str] = field(default_factory=list)
    details: int = 0
    parts: int = 0
    agents: int = 0
    strays: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """All requests together."""
        return len(self.pages) + self.details + self.parts + self.agents + len(self.strays)


class Server:
    """One account at the provider. A context manager; `url` is its base address."""

    def __init__(
        self,
        provider: Provider,
        style: Style,
        *,
        wording: Wording,
        envelope: Envelope,
        payloads: Payloads,
        now: Callable[[], datetime],
        page_size: int,
        own: Mapping[str, str],
    ) -> None:
        self.calls: list[Made] = []
        self.habits = Habits()
        self.asked = Asked()
        self.faults: list[Fault] = []
        self.stream = CALLS
        self._provider, self._style, self._wording, self._envelope = provider, style, wording, envelope
        self._size, self._payloads = page_size, payloads
        self._by_instant = style.last is not None and style.last in all_of(provider.cursor)
        self._descending = provider.listing.order is Order.NEWEST_FIRST
        self._tokens: dict[str, Leading] = {}
        self._lock = threading.RLock()
        base = urlsplit(provider.base_url)
        self._prefix = base.path
        self._foreign = re.compile(rf"https?://{re.escape(base.netloc)}(?=[/?\"]|$)")
        self._door = Door("127.0.0.1", 0, answer=self._answer, micros=lambda: (now() - _EPOCH) // timedelta(microseconds=1))
        self._origin = f"http://127.0.0.1:{self._door.port}"
        self._list = self._route(provider.listing.path, own)
        self._detail = self._route(provider.detail.path, own) if provider.detail is not None else None
        self._parts = [(part, self._route(part.path, own)) for part in provider.parts]
        self._agents = self._route(provider.agents.path, own) if provider.agents is not None else None
        if provider.agents is not None:
            rows = [provider.agents.agent(case.get("record")) for case in payloads.agents]
            self.stream = next((row.agent_id for row in rows if row is not None), CALLS)

    @property
    def url(self) -> str:
        """The address that stands for the provider's base address."""
        return self._origin + self._prefix

    def __enter__(self) -> Self:
        self._door.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._door.close()

    # ── What is answered ──────────────────────────────────────────────────────────────────────────────────────────────

    def _route(self, template: str, own: Mapping[str, str]) -> re.Pattern[str]:
        names = {
            **{name: re.escape(value) for name, value in own.items()},
            "stream": r"(?P<stream>[^/]+)",
            "call": r"(?P<call>[^/]+)",
        }
        parts = re.split(r"{(\w+)}", template.partition("?")[0])
        return re.compile("".join(names.get(part, ".+") if place % 2 else re.escape(part) for place, part in enumerate(parts)))

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[Reply, Damage]:
        with self._lock:
            try:
                return self._answered(method, target, body), Damage()
            except Raised as raised:
                self.faults.append(raised.fault)
                return _reply(500, {"message": "a function of the form raised an error"}), Damage()

    def _answered(self, method: str, target: str, body: bytes) -> Reply:
        parts = urlsplit(target)
        if parts.path == TOKEN_PATH:
            return _reply(200, {"access_token": "made-up", "token_type": "bearer", "expires_in": 3600})
        path, query = unquote(parts.path.removeprefix(self._prefix)), dict(parse_qsl(parts.query, keep_blank_values=True))
        sent = json.loads(body) if body else None
        if self.asked.requests > TOO_MANY:
            return _reply(500, {"message": "too many requests for so few calls"})
        if self._list.fullmatch(path) and (method == "POST") == (self._style.body is not None):
            number = len(self.asked.pages)
            self.asked.pages.append(f"{method} {target} {body.decode() if body else ''}".strip())
            self.habits.before_page(number)
            return self.habits.refuse(number) or self._page(request_leaves(query, sent))
        if self._agents is not None and self._agents.fullmatch(path):
            self.asked.agents += 1
            return self._listed_agents()
        for part, route in self._parts:
            if (found := route.fullmatch(path)) is not None and (method == "POST") == (part.body is not None):
                self.asked.parts += 1
                return self._of_part(part, self._asked_for(found.groupdict().get("call"), sent))
        if self._detail is not None and (found := self._detail.fullmatch(path)) is not None:
            self.asked.details += 1
            return self._one(found.groupdict().get("call"), sent)
        self.asked.strays.append(f"{method} {target}")
        return _reply(404, {"message": "the server of the kit has no such address"})

    def _asked_for(self, call_id: str | None, sent: JSON) -> Made | None:
        form = self._provider.detail
        known = {one: made for made in self.calls for one in (form.id_forms(made.call_id) if form is not None else ())}
        asked = [call_id] if call_id is not None else [str(value) for value in request_leaves({}, sent).values()]
        return next((known[one] for one in asked if one in known), None)

    def _one(self, call_id: str | None, sent: JSON) -> Reply:
        form, made = self._provider.detail, self._asked_for(call_id, sent)
        if made is None or form is None:
            return self.absent()
        detail = own_of(self._provider, made.detail)
        return _reply(200, detail if form.record is None else {form.record: detail})

    def _of_part(self, part: Part, made: Made | None) -> Reply:
        answer = None if made is None else answer_of(part, self._payloads, made.detail)
        return self.absent() if answer is None else _reply(*answer)

    def absent(self) -> Reply:
        """Return how the provider says that there is no such call."""
        case = next((one for one in self._payloads.failures if naming_call(self._provider, one)), None)
        return _reply(404, {}) if case is None else _reply(case["status"], case["body"])

    def refusal(self, status: int) -> Reply:
        """Return an error of this status, as the payloads show one if they do."""
        case = next((one for one in self._payloads.failures if one.get("status") == status), None)
        return _reply(status, case["body"] if case is not None else {"message": "made up by the kit"})

    def _listed_agents(self) -> Reply:
        agents = self._provider.agents
        if agents is None:
            return _reply(404, {})
        key = agents.records[0] if agents.records else None
        records = [case["record"] for case in self._payloads.agents if agents.agent(case.get("record")) is not None][:1]
        page = self._envelope.written(Truth(total=1, number=1, size=self._size, offset=0, more=False))
        fields = page["body"] if not isinstance(page, Fault) else {}
        return _reply(200, records if key is None else {**fields, key: records})

    def _page(self, asked: Leaves) -> Reply:
        lead = next((self._tokens[value] for value in map(str, asked.values()) if value in self._tokens), None)
        if lead is not None and self._style.last is None:  # a token stands for its whole query
            asked, size = lead.asked, lead.size
        else:
            size = self._asked_size(asked)
        calls = self._wanted(asked)
        offset = 0 if self.habits.ignores_place else self._offset(asked, calls, size, lead)
        shown = calls[offset : offset + size]
        more = offset + size < len(calls)
        leads = self._style.by_token and self._style.last is None
        after = f"kit-token-{len(self._tokens) + 1}" if leads and more and shown else None
        if shown and (token := after or (self._style.last and str(shown[-1].record.get(self._style.last)))):
            self._tokens[token] = Leading(_place(shown[-1]), asked, size)
        truth = Truth(
            total=len(calls) + self.habits.total_off, number=offset // size + 1, size=size, offset=offset, more=more, after=after
        )
        page = self._envelope.written(truth)
        if isinstance(page, Fault):
            self.faults.append(page)
            return _reply(500, {"message": "the server of the kit cannot write this page"})
        records = [made.record for made in shown]
        keys = self._provider.listing.records
        body = records if not keys else {**page["body"], self._key(): records}
        text = self._foreign.sub(self._origin, json.dumps(body, ensure_ascii=False))
        headers = {name: self._foreign.sub(self._origin, str(value)) for name, value in page["headers"].items()}
        return Reply(status=200, body=text.encode(), headers={"Content-Type": "application/json", **headers})

    def _key(self) -> str:
        keys = self._provider.listing.records
        bodies = [case.get("body") for case in self._payloads.pages]
        return next((key for key in keys if any(isinstance(body, dict) and key in body for body in bodies)), keys[0])

    def _wanted(self, asked: Leaves) -> Sequence[Made]:
        wording = self._wording
        since, until = (
            day_or_instant(asked[place]) if place is not None and place in asked else None
            for place in (wording.since, wording.until)
        )
        found = self.calls
        if not self.habits.ignores_filter:
            if since is not None:
                found = [made for made in found if made.at >= since]
            if until is not None and wording.until is not None:
                grain = _DAY if _DATE.fullmatch(str(asked[wording.until])) else _TICK
                end = until + grain if wording.includes_until else until
                found = [made for made in found if made.at < end]
        return sorted(found, key=_place, reverse=self._descending)

    def _asked_size(self, asked: Leaves) -> int:
        place = self._wording.size
        return max(int(asked[place]), 1) if place is not None and place in asked else self._size

    def _offset(self, asked: Leaves, calls: Sequence[Made], size: int, lead: Leading | None) -> int:
        if not self._style.by_token:
            return self._wording.offset(asked, size=size)
        if lead is None:
            return 0
        if self._by_instant:  # as a filter by the cursor does: all calls of the last one's instant are passed over
            return sum(made.at >= lead.place[0] if self._descending else made.at <= lead.place[0] for made in calls)
        return sum(_place(made) >= lead.place if self._descending else _place(made) <= lead.place for made in calls)


def _place(made: Made) -> tuple[datetime, str]:
    return (made.at, made.call_id)


def _reply(status: int, body: JSON, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status=HTTPStatus(status),
        body=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def throttled(reply: Reply) -> Reply:
    """Return a refusal that asks to wait for two seconds."""
    reply.headers["Retry-After"] = "2"
    return reply
