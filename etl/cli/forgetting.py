"""`etl forget`: asks whether it is meant, has everything gone through, and shows the receipt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.cli.deleting import ask, delete_at_providers
from etl.cli.output import error_document, say, show_errors, show_json
from etl.cli.progress import watching
from etl.cli.syncing import exit_code, interruptible
from etl.cli.table import show_table
from etl.config import Settings
from etl.erasing import forget_known
from etl.errors import EtlError, UsageError
from etl.printable import number_of
from etl.records.persons import Person, by_email, by_phone
from etl.records.shield import Shield
from etl.runs.deleting import Deleted
from etl.runs.forgetting import Forgotten
from etl.runs.terms import RunStatus, Trigger
from etl.system import system_effects
from etl.wiring import Invocation, Opened, erasure_key_of, open_warehouse, require_warehouse, settings_of, surroundings

if TYPE_CHECKING:
    from etl.warehouse.privacy.erasures import Known
    from etl.warehouse.privacy.lists import ErasureList

Call = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be forgotten: one of these, or who stands in a list; or that the list is to be written."""

    phone: str | None = None
    email: str | None = None
    call: Call | None = None
    write_to: Path | None = None
    read_from: Path | None = None
    at_provider: bool = False

    @property
    def asked(self) -> str:
        """What was asked for, as receipts say it."""
        kinds = {"phone": self.phone, "email": self.email, "call": self.call, "list": self.read_from}
        return next(kind for kind, value in kinds.items() if value is not None)


def forget(invocation: Invocation, order: Order, *, yes: int, as_json: bool) -> int:
    """
    Do what was ordered, and return the exit code. Raises UsageError before anything is touched.

    `yes` is how often it was said beforehand that it is meant: once for what is held here, twice for the providers too.
    """
    _require_one(order)
    settings = settings_of(invocation)
    key = erasure_key_of(settings)
    if key is None:
        raise UsageError(
            "warehouse.erasure_key is not set.",
            safe="Nothing was started.",
            hint="Make one (openssl rand -hex 32), keep it as long as the warehouse, and set it as warehouse.erasure_key or "
            "ETL_WAREHOUSE__ERASURE_KEY: what is forgotten is kept out with it.",
        )
    if order.write_to is not None:
        return _write_list(settings, order.write_to, as_json=as_json)
    person = _person(order)
    with open_warehouse(settings, writes=True) as opened:
        require_warehouse(opened)
        from etl.warehouse.privacy.erasures import known_connections

        known = known_connections(opened.database)
        found = _list_of(order, person, key, opened, known)
        if not yes:
            ask(_question(person, order, found))
        return _carry_out(settings, opened, order, found, known, key=key, sure=yes > 1, as_json=as_json)


def _require_one(order: Order) -> None:
    given = [one for one in (order.phone, order.email, order.call, order.write_to, order.read_from) if one is not None]
    if len(given) != 1:
        raise UsageError(
            "Say what is to be forgotten, and only one thing at once.",
            safe="Nothing was started.",
            hint="Give --phone N, --email A or --call CONNECTION ID; or --list FILE to write the list of all erasures, "
            "--from FILE to take one on.",
        )


def _person(order: Order) -> Person | None:
    """Return who is to be forgotten, as records are compared with it. Raises UsageError, without what was given."""
    found = by_phone(order.phone) if order.phone is not None else by_email(order.email) if order.email is not None else None
    if found is None and order.phone is not None:
        raise UsageError(
            "--phone is no number that names somebody: it takes 7 to 15 digits, with the country's code.",
            safe="Nothing was started.",
            hint='Write it like --phone "+1 415 555 0100"; an address of another kind as it is, with its colon.',
        )
    if found is None and order.email is not None:
        raise UsageError("--email is no e-mail address.", safe="Nothing was started.", hint="Write it like somebody@example.com.")
    return found


def _list_of(order: Order, person: Person | None, key: bytes, opened: Opened, known: Sequence[Known]) -> ErasureList:
    """Return what is to be registered. Raises UsageError for a connection that was never synced, and for a list that is none."""
    from etl.warehouse.privacy.erasures import ErasedCall, now_of, persons_to_erasures
    from etl.warehouse.privacy.lists import ErasureList, read_list

    now = now_of(opened.database)
    if order.read_from is not None:
        return read_list(order.read_from, key=key)
    if person is not None:
        return ErasureList(people=tuple(persons_to_erasures(key, [person], at=now)), calls=())
    name, call_id = order.call or ("", "")
    if name not in {one.connection for one in known}:
        raise UsageError(
            f"There is no connection {name!r} in the warehouse.",
            safe="Nothing was started.",
            hint=f"There are: {', '.join(one.connection for one in known) or 'none'}.",
        )
    return ErasureList(people=(), calls=(ErasedCall(name, call_id, now),))


def _question(person: Person | None, order: Order, found: ErasureList) -> str:
    if person is not None:
        return (
            f"Whoever is known as {person.name} is erased from every connection: of the calls in which they appear, only ids, "
            "times, status and measures stay. This cannot be taken back."
        )
    if order.call is not None:
        return "Of this call only id, times, status and measures stay. This cannot be taken back."
    persons, calls = number_of(len(found.people), "person", "persons"), number_of(len(found.calls), "call")
    return f"The list holds {persons} and {calls}: all are erased here too. This cannot be taken back."


def _carry_out(
    settings: Settings,
    opened: Opened,
    order: Order,
    found: ErasureList,
    known: Sequence[Known],
    *,
    key: bytes,
    sure: bool,
    as_json: bool,
) -> int:
    from etl.warehouse.privacy import erasures

    database = opened.database
    erasures.register(database, key, people=found.people, calls=found.calls)
    receipt = erasures.open_receipt(database, order.asked)
    only: dict[str, set[str]] = {}
    if not found.people:
        for call in found.calls:
            only.setdefault(call.connection, set()).add(call.call_id)
    concerned = [one for one in known if not only or one.connection in only]
    outcomes = _go_through(settings, opened, concerned, only, at_provider=order.at_provider, quiet=as_json)
    others = 0
    if found.people:
        names = Shield(key=key, hashes=frozenset(one.hash for one in found.people)).names_in_text
        others = erasures.forget_dimensions(database, names) + erasures.cut_messages(database, names)
    erasures.analyze(database)
    finished = [outcome.status for outcome in outcomes] == [RunStatus.SUCCEEDED] * len(concerned)
    done = erasures.close_receipt(database, receipt, finished=finished, counts=_counts(outcomes, others))
    deleted = delete_at_providers(settings, opened, concerned, sure=sure) if order.at_provider else []
    if deleted:
        counts = {"deleted": sum(one.done for one in deleted)}
        done = erasures.close_receipt(database, receipt, finished=finished, counts=counts)
    _show(outcomes, deleted, done, as_json=as_json)
    return exit_code([*outcomes, *deleted])


def _go_through(
    settings: Settings,
    opened: Opened,
    known: Sequence[Known],
    only: Mapping[str, Collection[str]],
    *,
    at_provider: bool,
    quiet: bool,
) -> list[Forgotten]:
    """Go through connection after connection, configured or not."""
    from etl.warehouse.privacy.forgetting import PostgresForgetting

    with (
        watching(quiet=quiet) as watcher,
        interruptible() as stop,
        surroundings(
            PostgresForgetting, opened, effects=system_effects(stop), watcher=watcher, stop=stop, trigger=Trigger.CLI
        ) as given,
    ):
        return [
            forget_known(settings, *one, given=given, only=only.get(one.connection, ()), at_provider=at_provider)
            for one in known
            if not stop.is_set()
        ]


def _counts(outcomes: Sequence[Forgotten], others: int) -> dict[str, int]:
    cut = [outcome.cutting for outcome in outcomes]
    return {
        "calls": sum(one.calls for one in cut),
        "versions": sum(one.versions for one in cut),
        "rejects": sum(one.rejects for one in cut),
        "others": others + sum(outcome.others for outcome in outcomes),
    }


def _show(outcomes: Sequence[Forgotten], deleted: Sequence[Deleted], receipt: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        there = [{"connection": one.connection, "deleted": one.done, "left": one.left, **_error(one.error)} for one in deleted]
        document = {"connections": [_document(outcome) for outcome in outcomes], "at_provider": there}
        show_json({"receipt": dict(receipt), **document})
        return
    show_table(
        ("connection", "status", "calls", "versions", "rejects"),
        [(one.connection, one.status.value if one.run_id else "not run", *one.cutting) for one in outcomes],
    )
    say(
        f"Receipt {receipt['receipt']}: {receipt['calls']} calls, {receipt['versions']} versions, {receipt['rejects']} rejects, "
        f"{receipt['others']} other rows."
    )
    for one in deleted:
        say(f"{one.connection}: {number_of(one.done, 'call')} deleted at the provider, {one.left:,} left there.")
    errors = [*(one.error for one in outcomes), *(one.error for one in deleted)]
    show_errors(error for error in errors if error is not None)
    if receipt["finished_at"] is None:
        say("Not everything was gone through: run it again. Until then nothing that is erased is read again, but some is held.")
    else:
        say("The bytes leave the files of the database with VACUUM FULL; what backups and WAL hold: docs/erasure.md.")


def _error(error: EtlError | None) -> dict[str, Any]:
    return {"error": error_document(error) if error else None}


def _document(outcome: Forgotten) -> dict[str, Any]:
    return {
        "connection": outcome.connection,
        "run": outcome.run_id,
        "status": outcome.status.value if outcome.run_id else "not_run",
        **outcome.cutting._asdict(),
        "others": outcome.others,
        **_error(outcome.error),
    }


def _write_list(settings: Settings, path: Path, *, as_json: bool) -> int:
    from etl.warehouse.privacy.lists import write_list

    with open_warehouse(settings, writes=True) as opened:
        require_warehouse(opened)
        persons, calls = write_list(opened.database, path, key=erasure_key_of(settings) or b"")
    if as_json:
        show_json({"file": str(path), "persons": persons, "calls": calls})
    else:
        say(f"Wrote {path}: {number_of(persons, 'person', 'persons')} and {number_of(calls, 'call')}, without a personal datum.")
    return 0
