"""`etl forget --at-provider`: deletes erased calls at their providers, after a question of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from threading import Event
from typing import TYPE_CHECKING

from etl.cli.syncing import interruptible
from etl.config import Settings
from etl.effects import Effects
from etl.errors import UsageError
from etl.printable import number_of
from etl.runs.allowances import AllowanceBook
from etl.runs.deleting import Deleted, DeletionList, delete_asked
from etl.system import system_effects
from etl.wiring import Connector, Opened, account, kept_allowances

if TYPE_CHECKING:
    from etl.warehouse.privacy.erasures import Known


def ask(question: str, *, beforehand: str = "--yes", safe: str = "Nothing was started.") -> None:
    """Go on only if the user says yes. Raises UsageError otherwise, and where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked whether this is meant.", safe=safe, hint=f"Say so beforehand: {beforehand}")
    sys.stderr.write(f"{question}\nGo on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("It was not confirmed.", safe=safe)


def delete_at_providers(settings: Settings, opened: Opened, known: Sequence[Known], *, sure: bool) -> list[Deleted]:
    """Delete what is asked for, and was not deleted yet; `sure`: it need not be asked whether that is meant."""
    from etl.warehouse.privacy.erasures import Deletions

    calls = Deletions(opened.database)
    asked = {one.connection: len(found) for one in known if (found := calls.asked(one.connection))}
    if not asked:
        return []
    if not sure:
        named = ", ".join(f"{number_of(number, 'call')} of {name}" for name, number in asked.items())
        ask(
            f"Erased here. Now {named} are to be deleted at their providers too, for good.",
            beforehand="--yes --yes",
            safe="It is erased here; nothing was deleted at a provider. The same command, run again, asks anew.",
        )
    with interruptible() as stop:
        effects = system_effects(stop)
        with kept_allowances(opened, effects=effects) as book:
            return [_delete_of(settings, name, effects=effects, book=book, calls=calls, stop=stop) for name in asked]


def _delete_of(
    settings: Settings, name: str, *, effects: Effects, book: AllowanceBook, calls: DeletionList, stop: Event
) -> Deleted:
    try:
        chosen = settings.choose((name,))
    except UsageError as error:
        return Deleted(connection=name, left=len(calls.asked(name)), error=error.of(name))
    one = account(name, chosen[name])
    ended = delete_asked(one, connect=Connector(settings, chosen, effects=effects, book=book), calls=calls, stop=stop)
    if one.provider.deletion is None:
        ended.error = UsageError(
            f"{one.provider.title} offers no way to delete a call.",
            safe="It is erased here.",
            hint="Erase it there by the provider's own means.",
        ).of(name)
    return ended
