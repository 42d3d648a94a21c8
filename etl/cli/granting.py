"""`etl grant`: gives a database role what a reader may see, and says what it can do beyond through other roles."""

from __future__ import annotations

from etl.cli.output import say, show_json, warn
from etl.errors import UsageError
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of

NAMED = 5
"""The number of relations that are named for each other role; `--json` lists all."""


def grant_rights(invocation: Invocation, role: str, *, masked: bool, editor: bool, revoke: bool, as_json: bool) -> None:
    """Give the role exactly what is asked, or take all away; say so, and what it has through other roles."""
    from etl.warehouse.privacy.granting import Rights, grant
    from etl.warehouse.privacy.granting import revoke as take_away

    if revoke and (masked or editor):
        raise UsageError(
            "--revoke takes everything away; it goes with neither --masked nor --editor.", safe="Nothing was changed."
        )
    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        if revoke:
            inherited = take_away(opened.database, role)
        else:
            inherited = grant(opened.database, role, Rights(masked=masked, editor=editor))
    if as_json:
        others = [{"through": one.through, "relations": list(one.relations)} for one in inherited]
        show_json({"role": role, "masked": masked, "editor": editor, "revoked": revoke, "inherited": others})
        return
    if revoke:
        say(f"{role} has no right on the warehouse any more.")
    else:
        say(f"{role} may read the {'schema masked' if masked else 'schema public'}, what later versions add included.")
        if editor:
            say("It may write people, numbers and the names of agents (agents.display_name).")
    for one in inherited:
        names = ", ".join(one.relations[:NAMED]) + (f" and {len(one.relations) - NAMED} more" if one.relations[NAMED:] else "")
        warn(f"Through {one.through} it has rights on {names}; they are {one.through}'s, and were left as they are.")
