"""Which faults are wanted, and which of them a request meets; `damage` carries them out."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from etl.sandbox.call import JSON
from etl.sandbox.exchange import Distortion

TRANSIENT: Mapping[str, Mapping[str, JSON]] = {
    "cut": {},  # the connection ends before the response
    "truncate": {},  # the connection ends in the middle of the body
    "hang": {"seconds": 0.2},  # nothing is sent for so long, then the connection is cut
    "slow": {"seconds": 0.05},  # the response is delayed by so much
    "status_500": {},  # each with a page of HTML
    "status_502": {},
    "status_503": {},
    "rate_limited": {"retry_after": 1},  # seconds, fractions, "date", "body" or "none"
    "html_200": {},
    "invalid_json": {},
    "control_characters": {"inject": True},  # raw ones inside strings; `inject`: also where no string holds an escaped one
}
"""Faults that go away when the request is sent again, with the defaults of their options."""

LASTING: Mapping[str, Mapping[str, JSON]] = {
    "outage_empty": {},  # 200 with an empty list and total 0; details answer 404
    "other_account": {},  # the token is accepted, but the calls are another account's
    "page_ignored": {},  # every page is page 1
    "unsorted": {},  # the list is in a random order that stays the same
    "clamp": {"size": 7},  # pages are silently smaller
    "endless_next": {},  # every page says that another follows; past the end they are empty
    "total_capped": {"at": 40},  # totals stop at this number; pages and further pages are counted right
    "total_off": {"by": -1},  # totals are wrong by so many; pages and further pages are counted right
    "total_of_page": {},  # the total is the number of records on the page; pages and further pages are counted right
    "total_missing": {},  # no total, and nothing else that counts calls or pages
    "offset_only": {},  # `offset` pages; `page` does not, and is said to be the one asked for
    "page_repeated": {"page": 3},  # in the place of this page the one before it is served, under the right number
    "foreign_next": {"origin": "http://foreign.example.test"},  # Tuple's `Link` next leads to another origin
    "redirect": {"origin": "http://foreign.example.test"},  # 302 to another origin
    "huge": {"bytes": 300_000_000},  # a response of that size, sent in chunks
    "revoke": {},  # the token is revoked, for ever
}
"""Faults that a retry does not help against."""

EVERY = "*"


@dataclass(slots=True, kw_only=True)
class Fault:
    """
    One wanted fault: for requests to `provider` whose path holds `path`, after the first `after` of them, `times` times.

    `times` None: until cleared. `probability`: of meeting each of those requests.
    """

    kind: str
    provider: str = EVERY
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    path: str = ""
    options: dict[str, JSON] = field(default_factory=dict)


class Faults:
    """The faults that are wanted now; empty at first. Safe to share by threads."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._rates: dict[str, float] = {}

    def add(
        self,
        kind: str,
        *,
        provider: str = EVERY,
        probability: float = 1.0,
        times: int | None = None,
        after: int = 0,
        path: str = "",
        **options: JSON,
    ) -> None:
        """Want a fault. Raise ValueError for an unknown kind or option."""
        defaults = TRANSIENT.get(kind, LASTING.get(kind))
        if defaults is None:
            raise ValueError(f"no fault {kind!r}; there are {', '.join([*TRANSIENT, *LASTING])}")
        for name in options:
            if name not in defaults:
                raise ValueError(f"{kind} has no option {name!r}; it has {', '.join(defaults) or 'none'}")
        with self._lock:
            self._faults.append(
                Fault(
                    kind=kind,
                    provider=provider,
                    probability=probability,
                    times=times,
                    after=after,
                    path=path,
                    options={**defaults, **options},
                )
            )

    def mix(self, rate: float, *, provider: str = EVERY) -> None:
        """Let this share of the requests meet a transient fault of any kind; 0 ends it."""
        with self._lock:
            self._rates[provider] = rate

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()
            self._rates.clear()

    def meeting(self, *, provider: str, path: str, number: int) -> list[Fault]:
        """Return the faults that meet the provider's request with this number: any lasting ones and at most one transient."""
        chance = Random(f"{self._seed}:fault:{provider}:{number}")
        met: list[Fault] = []
        with self._lock:
            for fault in list(self._faults):
                if fault.provider not in (EVERY, provider) or fault.path not in path:
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if chance.random() >= fault.probability or (
                    fault.kind in TRANSIENT and any(one.kind in TRANSIENT for one in met)
                ):
                    continue
                met.append(fault)
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
            rate = self._rates.get(provider, self._rates.get(EVERY, 0.0))
        if chance.random() < rate and not any(fault.kind in TRANSIENT for fault in met):
            met.append(_any(chance, provider))
        return met


def _any(chance: Random, provider: str) -> Fault:
    kind = list(TRANSIENT)[int(chance.random() * len(TRANSIENT))]
    options = dict(TRANSIENT[kind])
    if kind == "rate_limited":
        options["retry_after"] = (1, 0.2, "date", "body")[int(chance.random() * 4)]
    if kind == "control_characters":
        options["inject"] = False  # what is read must remain equal to the truth
    if kind == "hang":
        options["seconds"] = 0.05
    return Fault(kind=kind, provider=provider, options=options)


def distortion(faults: list[Fault]) -> Distortion:
    """Return what these faults do to a list."""
    kinds = {fault.kind: fault.options for fault in faults}
    return Distortion(
        outage_empty="outage_empty" in kinds,
        page_ignored="page_ignored" in kinds,
        unsorted="unsorted" in kinds,
        endless_next="endless_next" in kinds,
        clamp=int(kinds["clamp"]["size"]) if "clamp" in kinds else None,
        total_capped=int(kinds["total_capped"]["at"]) if "total_capped" in kinds else None,
        total_off=int(kinds["total_off"]["by"]) if "total_off" in kinds else 0,
        total_of_page="total_of_page" in kinds,
        total_missing="total_missing" in kinds,
        offset_only="offset_only" in kinds,
        repeated=int(kinds["page_repeated"]["page"]) if "page_repeated" in kinds else None,
        foreign_next=str(kinds["foreign_next"]["origin"]) if "foreign_next" in kinds else None,
    )
