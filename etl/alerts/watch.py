"""Looks how all connections stand, remembers what is new, and tells it; called by a worker after each of its ticks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from etl.alerts.changes import SHORTEST_SILENCE, Alert, Change, Event, Kind, Standing, after_noticing, changes, is_fresh, noticed
from etl.alerts.port import Book, Facts, Heartbeat, Hook, HookFailed
from etl.alerts.words import messages
from etl.errors import EtlError, WarehouseError
from etl.log import Logger

log = Logger(__name__)

MOST_MESSAGES = 3
"""How many messages one look sends; what is left is told by the next one. A look must not hold a tick up, nor flood anybody."""

LOOKED_AT_AGAIN = timedelta(minutes=10)
"""How often it is written down that an open alert is still looked at."""

FORGOTTEN_AFTER = timedelta(hours=1)
"""
Alerts that no worker looks at for so long, because none has their connection configured any more, are forgotten.

Not at once: while workers are restarted one by one, some have the old configuration and some the new one.
"""


_EVENTS = {Event.OPENED: "alert.opened", Event.CLOSED: "alert.closed", Event.PASSED: "alert.passed"}


class Watch:
    """Watches the connections of one configuration; used by one thread at a time."""

    def __init__(
        self,
        *,
        book: Book,
        connections: Iterable[str],
        due_after: Callable[[str, datetime], datetime],
        alert_after: timedelta,
        hook: Hook | None,
        heartbeat: Heartbeat | None,
        grace: timedelta = timedelta(),
    ) -> None:
        """
        `due_after` returns when a connection's next sync is due after an instant. Without a hook, alerts are logged only.

        For a time of `grace` from the first look on, nobody is told anew that a connection is behind: a worker that was away has
        to be given the time to sync first.
        """
        self._book = book
        self._connections = tuple(connections)
        self._due_after = due_after
        self._alert_after = alert_after
        self._hook = hook
        self._heartbeat = heartbeat
        self._grace = grace
        self._began: datetime | None = None
        self._pauses: dict[str, tuple[datetime, timedelta | None]] = {}  # while a connection is silent
        self._failing: set[str] = set()

    def look(self, now: datetime) -> None:
        """
        Look once, and tell what is to be told. What cannot be told is logged, and tried again the next time.

        Raises WarehouseError.
        """
        self._began = self._began or now
        remembered: dict[str, dict[Kind, Alert]] = defaultdict(dict)
        seen: dict[str, datetime] = {}
        for alert, looked_at in self._book.alerts():  # before the facts: what is decided here is not older than they are
            remembered[alert.connection][alert.kind] = alert
            seen[alert.connection] = max(looked_at, seen.get(alert.connection, looked_at))
        standings = self._standings(now)
        to_tell: list[Change] = []
        for standing in standings:
            known = remembered[standing.connection]
            found = [
                (before, alert)
                for before, alert in noticed(standing, known, now=now, alert_after=self._alert_after)
                if alert.kind is not Kind.BEHIND or now - self._began >= self._grace
            ]
            for before, alert in found:
                self._book.note(alert, instead_of=before, now=now)
            to_tell += changes(standing, after_noticing(known, found), now=now, alert_after=self._alert_after)
        self._tell(to_tell, now=now)
        if all(is_fresh(standing, now=now, alert_after=self._alert_after) for standing in standings):
            self._show_well()
        self._keep(seen, now=now)

    def _standings(self, now: datetime) -> list[Standing]:
        began = self._began or now
        known = {facts.connection: facts for facts in self._book.facts(self._connections, now=now)}
        return [
            self._standing(known[name], began=began)
            if name in known
            else Standing(connection=name, due_at=self._due_after(name, began))
            for name in self._connections
        ]

    def _standing(self, facts: Facts, *, began: datetime) -> Standing:
        standing = Standing(
            connection=facts.connection,
            due_at=self._due_after(facts.connection, facts.read_until or began),
            fresh_until=facts.fresh_until,
            last_error=facts.last_error,
            proof=facts.proof,
            proved_at=facts.proved_at,
            lost_gaps=facts.lost_gaps,
            newest_call=facts.newest_call,
        )
        if facts.newest_call is None or standing.silence <= SHORTEST_SILENCE:
            self._pauses.pop(facts.connection, None)
            return standing
        return replace(standing, longest_pause=self._pause(facts.connection, facts.newest_call))

    def _pause(self, connection: str, newest: datetime) -> timedelta | None:
        """Return the longest pause, found out once for each silence: it reads the index entries of four weeks of calls."""
        if self._pauses.get(connection, (None,))[0] != newest:
            self._pauses[connection] = (newest, self._book.longest_pause(connection, before=newest))
        return self._pauses[connection][1]

    def _tell(self, to_tell: Sequence[Change], *, now: datetime) -> None:
        for _, told in islice(messages(to_tell, now=now), MOST_MESSAGES):
            try:
                self._book.tell(told, lambda left: self._send(left, now=now), now=now)
            except HookFailed as failed:
                self._note_failure("url", failed.cause)
                return
            except WarehouseError:
                raise
            except EtlError as error:
                self._note_failure("url", error.code, error=str(error))
                return

    def _send(self, told: Sequence[Change], *, now: datetime) -> None:
        if self._hook is not None:
            for text, _ in messages(told, now=now):
                self._hook.tell(text)
            self._note_success("url")
        for change in told:
            log.warning(
                _EVENTS[change.event],
                connection=change.before.connection,
                kind=change.before.kind.value,
                since=change.before.since.isoformat(),
            )

    def _show_well(self) -> None:
        if self._heartbeat is None:
            return
        try:
            self._heartbeat.beat()
        except HookFailed as failed:
            self._note_failure("heartbeat_url", failed.cause)
        except EtlError as error:
            self._note_failure("heartbeat_url", error.code, error=str(error))
        else:
            self._note_success("heartbeat_url")

    def _note_failure(self, setting: str, cause: str, **more: str) -> None:
        """Log the first failure of several in a row; a tick comes every few seconds."""
        if setting not in self._failing:
            log.warning(
                "hook.failed", setting=f"notify.{setting}", cause=cause, safe="It is tried again with every tick.", **more
            )
        self._failing.add(setting)

    def _note_success(self, setting: str) -> None:
        if setting in self._failing:
            log.info("hook.works_again", setting=f"notify.{setting}")
        self._failing.discard(setting)

    def _keep(self, seen: dict[str, datetime], *, now: datetime) -> None:
        ours = set(self._connections)
        if any(name in ours and at < now - LOOKED_AT_AGAIN for name, at in seen.items()):
            self._book.looked_at(self._connections, now=now, before=now - LOOKED_AT_AGAIN)
        for name, at in seen.items():
            if name not in ours and at < now - FORGOTTEN_AFTER:
                self._book.forget(name, before=now - FORGOTTEN_AFTER)
