"""
Answers a request to one of the APIs: accounts, tokens, limits, faults, the log of requests.

The answers' content is made by each API's own file from `history`; `server` takes the requests.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from urllib.parse import parse_qsl, urlsplit

from etl.sandbox import aircall, bimpe, krosai, salpre, twilio
from etl.sandbox import tuple as pairing
from etl.sandbox.call import JSON
from etl.sandbox.damage import Damage, replacement, spoil
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, json_reply
from etl.sandbox.faults import Fault, Faults, distortion
from etl.sandbox.history import History
from etl.sandbox.journal import Entry, Journal
from etl.sandbox.limits import Limiter, Limits
from etl.sandbox.lives.krosai import ORGANIZATIONS
from etl.sandbox.lives.twilio import ACCOUNT_SIDS
from etl.sandbox.switches import Switches

APIS: Mapping[str, Api] = {api.name: api for api in (pairing.API, bimpe.API, salpre.API, krosai.API, aircall.API, twilio.API)}
TOKENS: Mapping[str, str] = {
    "tuple": "sk-tuple-sandbox-of-the-main-team",
    "bimpe": "sk_sandbox_of_the_main_team",
    "salpre": "salpre-sandbox-of-the-main-account",
    "krosai": "kros_test_sandbox_of_the_main_user",
    "aircall": "aircall-sandbox-of-the-main-company",
    "twilio": "twilio-sandbox-of-the-main-account",
}


class Service(ABC):
    """The APIs of one history, the log of what they were asked, and what tests may do to them; thread-safe."""

    def __init__(
        self,
        history: History,
        *,
        limits: Limits,
        limit_clock: Callable[[], float],
        switches: Switches | None,
        follow: Callable[[], datetime] | None,
        on_request: Callable[[Entry], object] | None,
    ) -> None:
        self.history = history
        self.switches = switches or Switches()
        self.faults = Faults(history.seed)
        self.on_request = on_request
        self.tokens = dict(TOKENS)
        self.other_tokens = {provider: token.replace("main", "other") for provider, token in TOKENS.items()}
        self.organization_id = ORGANIZATIONS["main"]
        # What a connection needs beside the token.
        self.own: Mapping[str, Mapping[str, str]] = {
            "aircall": {"api_id": aircall.API_IDS["main"]},
            "twilio": {"account_sid": ACCOUNT_SIDS["main"]},
        }
        self._follow = follow
        self._limiter = Limiter(limits, limit_clock)
        self._revoked: set[str] = set()
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._journal = Journal()

    @property
    @abstractmethod
    def origin(self) -> str:
        """Scheme, host and port under which the APIs are served."""

    def url(self, provider: str) -> str:
        """Return a provider's base URL, the documented prefix included."""
        api = APIS[provider]
        return self.origin + api.prefix + api.base

    # What tests ask and do; the history has the rest

    def truth(self, provider: str, agent: str | None = None) -> list[JSON]:
        """Return the list records that live now, oldest first, in the dialect that is served."""
        records = self.history.truth(provider, agent)
        if provider != "krosai":
            return records
        return [krosai.shown_in_list(self.history, record, self.switches) for record in records]

    def requests(self, provider: str | None = None) -> list[Entry]:
        """Return the log of requests, oldest first."""
        return self._journal.entries(provider)

    def clear_requests(self) -> None:
        """Forget the log."""
        self._journal.clear()

    def violations(self, provider: str) -> int:
        """Return how many requests broke the provider's rate limit."""
        return self._limiter.violations(provider)

    def revoke(self, provider: str) -> None:
        """Make the main account's token invalid."""
        with self._lock:
            self._revoked.add(self.tokens[provider])

    def reinstate(self, provider: str) -> None:
        """Make the main account's token valid again."""
        with self._lock:
            self._revoked.discard(self.tokens[provider])

    def after(self, requests: int, action: Callable[[], object], *, provider: str, path: str = "") -> None:
        """Do something once this many more requests whose path holds `path` were answered, before the last response is sent."""
        self._journal.appoint(requests, action, provider=provider, path=path)

    # One request

    def answer(self, *, method: str, target: str, headers: Mapping[str, str]) -> tuple[Reply, Damage]:
        """Answer one request to a provider's API."""
        if self._follow is not None:
            self.history.catch_up(self._follow())
        split = urlsplit(target)
        name = split.path.split("/", 2)[1] if split.path.startswith("/") else ""
        api = APIS.get(name)
        if api is None:
            self._note(Request(method=method, path=split.path, query={}, headers=headers, origin="", prefix=""), name, 404)
            return json_reply(404, {"error": "no such provider; the paths begin with /" + ", /".join(APIS)}), Damage()
        request = Request(
            method=method,
            path=split.path[len(api.prefix) :],
            query=dict(parse_qsl(split.query, keep_blank_values=True)),
            headers=headers,
            origin=self.origin,
            prefix=api.prefix,
        )
        with self._lock:
            number = self._numbers[name] = self._numbers.get(name, 0) + 1
        faults = self.faults.meeting(provider=name, path=request.path, number=number)
        kinds = {fault.kind: fault for fault in faults}
        if "revoke" in kinds:
            self.revoke(name)
        account = self._account(api, headers)
        reply, limited = self._reply(api, request, faults, account, number)
        damage = Damage()
        for fault in faults:
            damage = spoil(reply, fault)
            if damage != Damage():
                break
        status = 0 if damage.cut == -1 else reply.status
        entry = self._note(request, name, status, api=api, authorised=account is not None, limited=limited, faults=sorted(kinds))
        for action in self._journal.due(name, request.path):
            action()
        if self.on_request is not None:
            self.on_request(entry)
        return reply, damage

    def _reply(self, api: Api, request: Request, faults: list[Fault], account: str | None, number: int) -> tuple[Reply, bool]:
        for fault in faults:
            instead = replacement(fault, self.history.micros)
            if instead is not None:
                return instead, False
        if account is None:
            why = Refusal.KEY_INVALID if api.credential(request.headers) else Refusal.KEY_MISSING
            return api.refuse(request, why, 0.0, self.switches), False
        standing = self._limiter.ask(api.name, account)
        if standing.wait > 0:
            reply = api.refuse(request, Refusal.TOO_MANY, standing.wait, self.switches)
        else:
            foreign = any(fault.kind == "other_account" for fault in faults)
            situation = Situation(
                history=self.history,
                account="other" if foreign else account,
                switches=self.switches,
                distortion=distortion(faults),
                chance=Random(f"{self.history.seed}:reply:{api.name}:{number}"),
            )
            with self.history.lock:
                reply = api.answer(request, situation)
        reset = math.ceil(self.history.micros / 1_000_000 + standing.reset)
        reply.headers.update(api.rate_headers(standing.limit, standing.remaining, reset))
        return reply, standing.wait > 0

    def _account(self, api: Api, headers: Mapping[str, str]) -> str | None:
        given = api.credential(headers)
        with self._lock:
            if given is None or given in self._revoked:
                return None
        if given == self.tokens[api.name]:
            return "main"
        return "other" if given == self.other_tokens[api.name] else None

    def _note(
        self,
        request: Request,
        provider: str,
        status: int,
        *,
        api: Api | None = None,
        authorised: bool = False,
        limited: bool = False,
        faults: list[str] | None = None,
    ) -> Entry:
        known = [one.credential(request.headers) for one in ([api] if api else APIS.values())]
        return self._journal.note(
            Entry(
                provider=provider,
                method=request.method,
                path=request.path,
                query=dict(request.query),
                status=status,
                credential=any(known),
                authorised=authorised,
                limited=limited,
                faults=faults or [],
                at=self.history.now.isoformat(),
            )
        )
