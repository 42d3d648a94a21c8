"""One configured connection, its settings resolved against its provider's facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from etl.provider import Provider

FEW = 10
"""This many calls may be missing or gone at once whatever share of the held ones they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One configured connection, its settings resolved against its provider's facts."""

    connection: str
    provider: Provider
    lookback: timedelta
    start_date: datetime | None = None
    retention: timedelta | None = None
    per_page: int | None = None
    max_delete_share: float = 0.2
    agents: tuple[str, ...] | None = None
    organization_id: str | None = None
    currency: str = "USD"
    details: bool = True
    max_open_age: timedelta = timedelta(days=7)
    erase_calls_after: timedelta | None = None
    erase_words_after: timedelta | None = None
    own: Mapping[str, str] = field(default_factory=dict)  # the provider's own settings that are no secrets, for its paths

    def believes_deleted(self, number: int, *, of: int) -> bool:
        """Whether it is plausible that `number` of `of` held calls were deleted; more than that looks like an outage."""
        return number <= max(FEW, self.max_delete_share * of)
