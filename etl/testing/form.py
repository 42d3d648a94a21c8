"""Looks at the form by itself: what must be filled in, what contradicts itself, what leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches

from etl.model import OPEN_STATUSES, CallRow, EventRow, MessageRow, ParticipantRow, Status
from etl.provider import ClientCredentials, Detail, Order, Provider, all_of
from etl.testing.faults import Fault, tried

CHILDREN = {"participants": ParticipantRow._fields, "messages": MessageRow._fields, "events": EventRow._fields}

_OWN = {"connection", "call_id", "provider", "occurred_at", "status", "provider_status", "attributes"}
_COLUMNS = set(CallRow._fields[: CallRow._fields.index("raw")]) - _OWN | {"parent_call_id"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r"[A-Za-z]\w*", re.ASCII)
_FILLED_IN = "It is filled in by the program: give your field another column, or leave it out."


def faults_in_form(provider: Provider) -> Iterator[Fault]:
    """Yield what is wrong whatever the API answers."""
    yield from _head(provider)
    yield from _listing(provider)
    yield from _detail(provider)
    yield from _columns(provider)
    yield from _statuses(provider)


def _head(provider: Provider) -> Iterator[Fault]:
    if not _NAME.fullmatch(provider.name):
        yield Fault(
            "name", f"{provider.name!r} is no name", "Small letters, digits and underscores: what users write as `provider = …`."
        )
    if not provider.base_url.startswith("https://") or provider.base_url.endswith("/"):
        yield Fault(
            "base_url",
            f"it is {provider.base_url!r}",
            "Begin with https:// and end without a slash; paths are put behind it as they are.",
        )
    if "token" not in provider.required_settings:
        yield Fault(
            "headers",
            "no header and no login sends the setting `token`",
            'The credential is called `token`: Header(name="Authorization", setting="token", template="Bearer {value}"), or '
            'login=Basic(user=("…",)), where it is the password.',
        )
    login = provider.login
    if isinstance(login, ClientCredentials) and not login.address.startswith(("/", "https://")):
        yield Fault("login.address", f"it is {login.address!r}", "Give a path of base_url's host, or an address with https://.")
    for header in provider.headers:
        if "{value}" not in header.template:
            yield Fault(
                f"headers[{header.name}]",
                "its template has no {value}",
                "Say where the setting's value stands: `Bearer {value}`.",
            )
    known = {"token", *provider.settings, *(setting.name for setting in provider.own)}
    for name in sorted(set(provider.sent_settings) - known):
        yield Fault("own", f"the setting `{name}` is sent and not declared", f'Declare it: own=(Setting(name="{name}"),).')
    for name in ("docs", *provider.required_settings):
        if not provider.links.get(name):
            yield Fault(
                f'links["{name}"]', "there is none", "Say where users find it; messages show that when it is missing or refused."
            )
    if provider.lookback <= timedelta(0):
        yield Fault(
            "lookback",
            "it is not above zero",
            "Say how long after its cursor a call may still appear or change: timedelta(hours=2).",
        )


def _listing(provider: Provider) -> Iterator[Fault]:
    listing = provider.listing
    may_stand = {"stream", "call"} | {setting.name for setting in provider.own if not setting.secret}
    forms = {"listing.path": listing.path}
    forms |= {f"{name}.path": form.path for name in ("detail", "agents") if (form := getattr(provider, name)) is not None}
    forms |= {f"detail.parts[{part.key}].path": part.path for part in provider.parts}
    for place, path in forms.items():
        if not path.startswith("/"):
            yield Fault(place, f"{path!r} does not begin with a slash", f"Write {'/' + path!r}; it follows base_url.")
        for part in sorted(set(re.findall(r"{(\w*)}", path)) - may_stand):
            yield Fault(
                place,
                f"nothing is known that could stand for {{{part}}}",
                f'Declare it: own=(Setting(name="{part}", secret=False),).',
            )
    if ("{stream}" in listing.path) != (provider.agents is not None):
        yield Fault(
            "listing.path",
            "{stream} and `agents` belong together",
            "{stream} is an agent's id where each agent has its own list: fill in `agents`; if one list holds all, leave it out.",
        )
    if listing.window is not None and listing.order is not Order.NEWEST_FIRST:
        yield Fault(
            "listing.window",
            "a list in ascending order has none",
            "Leave it out: how long a window may be is found out when such a list is read.",
        )
    if listing.window is not None and listing.window.longest is not None and provider.retention is None:
        yield Fault(
            "retention", "only short windows are answered, and nothing says where they begin", "Say how far back calls go."
        )
    if not listing.styles:
        yield Fault("listing.styles", "there is none", 'Say how a page is asked for: Style(name="page", params=…).')
    if len({style.name for style in listing.styles}) != len(listing.styles):
        yield Fault("listing.styles", "two have the same name", "What works is remembered by its name: give each its own.")
    if not listing.page_sizes or list(listing.page_sizes) != sorted(set(listing.page_sizes), reverse=True):
        yield Fault(
            "listing.page_sizes", f"they are {listing.page_sizes}", "Name the sizes to try, the largest that is allowed first."
        )


def _detail(provider: Provider) -> Iterator[Fault]:
    detail = provider.detail
    if detail is None:
        still_open = [word for word, status in provider.statuses.items() if status in OPEN_STATUSES]
        if still_open:
            yield Fault(
                "detail",
                f"there is none, and calls may be listed before they end (`{still_open[0]}`)",
                "Say how one call is asked for, so that open ones are followed until they end.",
            )
        for key in provider.late_parts:
            yield Fault(
                "late_parts", f"`{key}` is awaited, and there is no detail to ask for", "Fill in `detail`, or await nothing."
            )
        return
    if "{call}" not in detail.path and detail.body is None:
        yield Fault("detail.path", "nothing in it says which call", "Put {call} where the id stands: /calls/{call}.")
    forms = tried("detail.id_forms", detail.id_forms, "a b/c")
    if "a b/c" not in forms:
        yield Fault(
            "detail.id_forms",
            "an id is never asked for as it is listed",
            "Return the id itself first: lambda call_id: (call_id,).",
        )
    yield from _parts(provider, detail)
    known = {key for field in provider.fields for key in all_of(field.key)}
    known |= {key.partition(".")[0] for key in known}
    known |= {inside.key for name in CHILDREN if (inside := getattr(provider, name)) is not None}
    for key in provider.late_parts:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            meant = f"Did you mean `{near[0]}`? " if near else ""
            yield Fault(
                "late_parts", f"`{key}` is awaited, and read into no column", f"{meant}Name a key that a field or children read."
            )


def _parts(provider: Provider, detail: Detail) -> Iterator[Fault]:
    keys = [part.key for part in detail.parts]
    taken = {key.partition(".")[0] for key in (*all_of(provider.call_id), *all_of(provider.cursor))}
    for part in detail.parts:
        where = f"detail.parts[{part.key}]"
        if not _KEY.fullmatch(part.key) or part.key in taken or keys.count(part.key) > 1:
            yield Fault(
                f"{where}.key", "it is no key of its own", "One word that no other part has, and neither call_id nor cursor."
            )
        if "{call}" not in part.path and part.body is None:
            yield Fault(
                f"{where}.path", "nothing in it says which call", "Put {call} where the id stands: /calls/{call}/transcript."
            )


def _columns(provider: Provider) -> Iterator[Fault]:
    columns = {field.column for field in provider.fields}
    if "currency" in columns and "cost" not in columns:
        yield Fault("fields[currency]", "there is no field for the cost", "Leave it out: a currency alone says nothing.")
    for field in provider.fields:
        yield from _column(f"fields[{field.column}]", field.column, _COLUMNS)
    for name, row in CHILDREN.items():
        inside = getattr(provider, name)
        for field in () if inside is None else inside.fields:
            yield from _column(f"{name}.fields[{field.column}]", field.column, set(row[3:]) - {"position", "data"})


def _column(place: str, column: str, known: set[str]) -> Iterator[Fault]:
    if column in _OWN and column not in known:
        hint = {
            "status": "Say under `status` where the provider's word stands, and what it means in `statuses`.",
            "call_id": "Say under `call_id` where it stands.",
            "attributes": "Name the keys in `attributes`.",
        }
        yield Fault(place, "no field may lead there", hint.get(column, _FILLED_IN))
    elif column not in known:
        near = get_close_matches(column, known, n=1)
        meant = f"Did you mean `{near[0]}`?" if near else f"The columns are {', '.join(sorted(known))}."
        yield Fault(place, "there is no such column", meant)


def _statuses(provider: Provider) -> Iterator[Fault]:
    if provider.status is None and provider.statuses:
        yield Fault("status", "it is None, so that `statuses` is never read", "Say under which key the word stands.")
    for word, status in provider.statuses.items():
        if status not in set(Status):
            yield Fault("statuses", f"`{word}` becomes {status!r}", f"Give one of {', '.join(one.name for one in Status)}.")
        elif status is Status.UNKNOWN:
            yield Fault(
                "statuses", f"`{word}` becomes UNKNOWN", "Leave it out: a word that is not listed is unknown, and is noted."
            )


def is_filtered(provider: Provider) -> bool:
    """Whether the list can be filtered by the cursor."""
    return provider.listing.order is Order.ASCENDING or provider.listing.window is not None
