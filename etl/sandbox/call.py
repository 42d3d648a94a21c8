"""One call's life at a provider: what the list and the detail say of it, and when that changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

JSON = Any
"""A decoded JSON value."""

Stage = tuple[int, Mapping[str, JSON]]
"""At this instant these fields take these values."""

NEVER = 1 << 62


def decode(text: bytes) -> JSON:
    """Decode leniently: raw control characters are accepted, since added records may hold them."""
    return json.loads(text.decode("utf-8", "surrogatepass"), strict=False)


def decode_drawn(text: bytes) -> JSON:
    """Decode text that the sandbox wrote itself, fast."""
    return msgspec.json.decode(text)


def encode(value: JSON) -> bytes:
    """Encode as an API would, including what the fast encoder refuses (lone surrogates, huge integers)."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return json.dumps(value, separators=(",", ":")).encode("ascii")


class Call:
    """
    One call: where it stands (`cursor`), when it is shown (`visible_at`) and removed (`deleted_at`), and its `stages`.

    `stages` are in order of time. Fields named in `detail_only` are not listed. A life that is over is kept as two texts.
    """

    __slots__ = (
        "account",
        "agent",
        "by_hand",
        "cursor",
        "deleted_at",
        "detail_only",
        "facets",
        "id",
        "order",
        "provider",
        "shown",
        "_detailed",
        "_listed",
        "_stages",
        "_state",
        "visible_at",
    )

    def __init__(
        self,
        *,
        provider: str,
        account: str,
        id: str,  # noqa: A002 - the provider's own word
        cursor: int,
        visible_at: int,
        order: int,
        stages: list[Stage],
        agent: str = "",
        deleted_at: int = NEVER,
        detail_only: frozenset[str] = frozenset(),
        facets: frozenset[str] = frozenset(),
    ) -> None:
        self.provider = provider
        self.account = account
        self.agent = agent
        self.id = id
        self.cursor = cursor
        self.visible_at = visible_at
        self.deleted_at = deleted_at
        self.order = order
        self.detail_only = detail_only
        self.facets = facets
        self.shown = False
        self.by_hand = False
        self._stages = stages
        self._state: dict[str, JSON] | None = {}
        self._listed: bytes | None = None
        self._detailed: bytes | None = None

    @classmethod
    def written(
        cls,
        text: bytes,
        *,
        provider: str,
        account: str,
        id: str,  # noqa: A002 - the provider's own word
        cursor: int,
        visible_at: int,
        order: int,
        agent: str = "",
    ) -> Call:
        """Create a call whose list record is this text and never changes."""
        call = cls(
            provider=provider, account=account, id=id, cursor=cursor, visible_at=visible_at, order=order, stages=[], agent=agent
        )
        call._state = None
        call._listed = text
        return call

    @property
    def next_change(self) -> int:
        """The instant of the next stage; `NEVER` if no stage is left."""
        return self._stages[0][0] if self._stages else NEVER

    def live_until(self, now: int) -> bool:
        """Apply the stages that are due; return whether there were any."""
        if not self._stages or self._stages[0][0] > now:
            return False
        state = self._state if self._state is not None else decode(self._detailed or self._listed or b"{}")
        due = 0
        for at, changes in self._stages:
            if at > now:
                break
            state.update(changes)
            due += 1
        del self._stages[:due]
        self._state = state
        self._listed = self._detailed = None
        if not self._stages:
            self.listed()
            self.detailed()
            self._state = None
        return True

    def listed(self) -> bytes:
        """Return the list record's JSON."""
        if self._listed is None:
            state = self._state or {}
            self._listed = encode({key: value for key, value in state.items() if key not in self.detail_only})
        return self._listed

    def detailed(self) -> bytes:
        """Return the JSON of all fields, the detail's own included."""
        if self._detailed is None:
            self._detailed = encode(self._state) if self.detail_only and self._state is not None else self.listed()
        return self._detailed

    def rewrite(self, changes: Mapping[str, JSON]) -> None:
        """Set fields now; stages still to come are kept."""
        state = decode(self.detailed())
        state.update(changes)
        self.by_hand = True
        self._state = state
        self._listed = self._detailed = None

    def rewrite_text(self, text: bytes) -> None:
        """Replace the record by this text; no stage is left."""
        self.by_hand = True
        self._stages = []
        self._state = None
        self._listed = self._detailed = text


class _Word(msgspec.Struct):
    status: str | None = None


_word = msgspec.json.Decoder(_Word)


def status(call: Call) -> str | None:
    """Return the provider's word for the state of a call; None if its record has no readable one."""
    try:
        return _word.decode(call.listed()).status
    except (msgspec.MsgspecError, UnicodeError):
        return None
