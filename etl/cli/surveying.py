"""How `etl check` tells what it found out about an account, and how long a first sync takes within the provider's limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from etl.printable import age, instant_text, number_of
from etl.provider import Limit, When
from etl.reading.survey import Survey
from etl.runs.account import Account

NO_TOTALS = "not known: no totals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What was found out about an account, with the limits that hold for it and how much of its day's budget is spent."""

    account: Account
    survey: Survey
    limits: tuple[Limit, ...]
    daily: int | None
    spent: int

    @property
    def requests(self) -> int | None:
        """About how many requests a first sync sends: its pages, and the details with their parts that the form asks for."""
        calls, provider = self.survey.calls, self.account.provider
        if calls is None or not self._all_asked:
            return None
        size = self.account.per_page or provider.listing.page_sizes[0]
        detail = provider.detail
        each = 1 + len(detail.parts) if detail is not None and self.account.details and detail.when is not When.OPEN else 0
        return max(1, ceil(calls / size)) + calls * each

    @property
    def takes(self) -> timedelta | None:
        """How long the limits make that many requests last; None where no limit is known."""
        requests = self.requests
        if requests is None or not (self.limits or self.daily):
            return None
        waits = [(requests - 1) // limit.requests * limit.per for limit in self.limits]
        if self.daily:
            waits.append((requests + self.spent - 1) // self.daily * timedelta(days=1))
        return max(waits)

    @property
    def _all_asked(self) -> bool:
        """Whether the calls of every agent that is synced were looked at."""
        if self.account.provider.agents is None:
            return True
        wanted = self.survey.agents if self.account.agents is None else len(self.account.agents)
        return wanted is not None and self.survey.asked >= wanted

    def lines(self) -> Iterator[str]:
        """Yield what was found out, a line each."""
        survey = self.survey
        yield f"whose: {'not known: no record says it' if survey.owner is None else f'organisation {survey.owner}'}"
        yield f"calls: {self._calls()}"
        yield f"paging: {self._paging()}"
        yield f"limits: {self._allowed()}"
        yield f"first sync: {self._first_sync()}"

    def _calls(self) -> str:
        survey = self.survey
        if survey.calls is None:
            many = NO_TOTALS
        elif self.account.provider.agents is not None:
            agents = "agents not known: no totals" if survey.agents is None else number_of(survey.agents, "agent")
            many = f"{survey.calls:,} of {number_of(survey.asked, 'agent')} looked at; {agents}"
        else:
            many = f"{survey.calls:,}"
        if survey.calls == 0:
            return many
        ends = ((word, getattr(survey, word)) for word in ("oldest", "newest"))
        return many + "".join(f"; {word} {'not known' if at is None else instant_text(at) + ' UTC'}" for word, at in ends)

    def _paging(self) -> str:
        if self.survey.pages_work is None:
            return "not known: there is no second page to look at"
        name = self.survey.paging
        return f"works ({name})" if self.survey.pages_work else f"does not work ({name}): every page is the first again"

    def _allowed(self) -> str:
        several = sorted(self.limits, key=lambda limit: limit.per)
        parts = [f"{number_of(limit.requests, 'request')} in {age(limit.per)}" for limit in several]
        if self.daily:
            parts.append(f"{self.spent:,} of today's {self.daily:,} are spent")
        return "; ".join(parts) or "not known: none is documented"

    def _first_sync(self) -> str:
        if self.requests is None:
            return "not known: no totals" if self.survey.calls is None else "not known: not every agent was looked at"
        asks = f"about {number_of(self.requests, 'request')}"
        if self.takes is None:
            return f"{asks}, as fast as they are answered"
        return f"{asks}, {f'at least {age(self.takes)}' if self.takes else 'which the limits allow at once'}"

    def document(self) -> dict[str, object]:
        """Return the same for machines: null is what the provider did not tell."""
        survey = self.survey
        return {
            "organization_id": survey.owner,
            "agents": survey.agents,
            "agents_asked": survey.asked if self.account.provider.agents is not None else None,
            "calls": survey.calls,
            "oldest": survey.oldest,
            "newest": survey.newest,
            "paging": survey.paging,
            "pages_work": survey.pages_work,
            "limits": [{"requests": one.requests, "seconds": one.per.total_seconds()} for one in self.limits],
            "daily_requests": self.daily,
            "spent_today": self.spent,
            "first_sync_requests": self.requests,
            "first_sync_seconds": None if self.takes is None else self.takes.total_seconds(),
        }
