"""What every provider must hold, whoever wrote it: its form is complete, its payloads become the whole rows they should."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import providers
from etl.model import OPEN_STATUSES, AgentRow, CallRow, Context, EventRow, MessageRow, ParticipantRow, Status
from etl.provider import Ask, ClientCredentials, Failure, Order, PageFacts, Provider, all_of
from etl.records.asking import late_parts_missing
from etl.records.content import same_content
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.parse import unified_word

ROOT = Path(__file__).parents[2]
PAYLOADS = Path(__file__).parent / "payloads"
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["error", "Call not found"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["page", "total_count", "limit"]) | st.text(), inner)
    ),
    max_leaves=5,
)
CHILDREN = {"participants": ParticipantRow, "messages": MessageRow, "events": EventRow}
MACHINE = {"raw", "detail", "content_hash"}
ANY_PROVIDER = pytest.mark.parametrize("provider", [providers.get(name) for name in providers.OURS], ids=lambda p: p.name)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests share the machine


def payloads(provider: Provider) -> dict[str, Any]:
    """Read the provider's payload file."""
    return json.loads((PAYLOADS / f"{provider.name}.json").read_text())


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Write a row's values as the payload files do."""
    shown = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}
    if shown.get("cost") is not None:
        shown["cost"] = str(shown["cost"])
    for key in ("attributes", "data"):
        if shown.get(key) is not None:
            shown[key] = json.loads(shown[key])
    return shown


@ANY_PROVIDER
def test_form_is_filled_in(provider: Provider) -> None:
    """Name, title, address, credential, documentation and the place where a token is made are all there."""
    assert provider.name and provider.title
    assert provider.base_url.startswith("https://") and not provider.base_url.endswith("/")
    assert "token" in provider.required_settings
    assert all("{value}" in header.template for header in provider.headers)
    if isinstance(provider.login, ClientCredentials):
        assert provider.login.address.startswith(("/", "https://"))
    own = {setting.name for setting in provider.own}
    assert set(provider.sent_settings) - {"token"} <= provider.settings | own
    assert provider.links["docs"].startswith("https://") and all(provider.links[name] for name in provider.required_settings)
    assert timedelta(0) < provider.lookback


@ANY_PROVIDER
def test_sources_are_named(provider: Provider) -> None:
    """The provider's file says where its facts were read, is under 200 lines, and the provider has its page of documentation."""
    source = (ROOT / "etl" / "providers" / f"{provider.name}.py").read_text()
    assert "[source]" in source and "read 20" in source
    assert len(source.splitlines()) < 200
    page = (ROOT / "docs" / "providers" / f"{provider.name}.md").read_text()
    for heading in ("What is read", "How", "Limits", "verified at run time", "cannot be known", "Settings", "token"):
        assert heading in page


@ANY_PROVIDER
def test_columns_exist(provider: Provider) -> None:
    """Every field leads to a column that there is, and none to one that the program fills itself."""
    own = {"connection", "call_id", "provider", "occurred_at", "status", "provider_status", "attributes"}
    columns = {field.column for field in provider.fields}
    assert columns <= {*CallRow._fields[: CallRow._fields.index("raw")], "parent_call_id"} - own
    assert "cost" in columns or "currency" not in columns
    for name, row in CHILDREN.items():
        inside = getattr(provider, name)
        fields = () if inside is None else inside.fields
        assert {field.column for field in fields} <= set(row._fields[3:]) - {"position", "data"}


@ANY_PROVIDER
def test_listing_can_be_asked(provider: Provider) -> None:
    """Paths begin with `/` and hold what they need, page sizes fall, styles have names of their own and give text."""
    listing = provider.listing
    assert listing.path.startswith("/")
    assert ("{stream}" in listing.path) == (provider.agents is not None)
    may_stand = {"stream", "call"} | {setting.name for setting in provider.own if not setting.secret}
    paths = [listing.path, *(one.path for one in (provider.detail, provider.agents) if one is not None)]
    assert {name for path in paths for name in re.findall(r"{(\w+)}", path)} <= may_stand
    assert list(listing.page_sizes) == sorted(set(listing.page_sizes), reverse=True)
    assert len({style.name for style in listing.styles}) == len(listing.styles) > 0
    assert listing.window is None or listing.order is Order.NEWEST_FIRST
    assert listing.window is None or listing.window.longest is None or provider.retention is not None
    filtered = listing.order is Order.ASCENDING or listing.window is not None
    ask = Ask(number=2, size=10, since=SEEN, until=SEEN) if filtered else Ask(number=2, size=10)
    for style in listing.styles:
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in style.params(ask).items())
    if provider.detail is not None:
        assert "{call}" in provider.detail.path
        assert provider.detail.id_forms("a b/c") == ("a b/c",)


@ANY_PROVIDER
def test_asks(provider: Provider) -> None:
    """Each style asks for a page by exactly the documented parameters."""
    styles = {style.name: style for style in provider.listing.styles}
    cases = payloads(provider)["asks"]
    assert {case["style"] for case in cases} == set(styles)
    for case in cases:
        times = {key: datetime.fromisoformat(case[key]) for key in ("since", "until") if key in case}
        ask = Ask(number=case["number"], size=case["size"], after=case.get("after"), **times)
        assert styles[case["style"]].params(ask) == case["params"]


@ANY_PROVIDER
def test_facts(provider: Provider) -> None:
    """What a page says of itself is read whole, and nothing is made up where it says nothing."""
    for case in payloads(provider)["pages"]:
        assert provider.listing.facts(case["body"], case["headers"]) == PageFacts(**case["facts"]), case["name"]


@ANY_PROVIDER
def test_agents(provider: Provider) -> None:
    """Where agents are listed, each is read whole, and what has no id is none."""
    cases = payloads(provider).get("agents", [])
    assert bool(cases) == (provider.agents is not None)
    if provider.agents is None:
        return
    assert provider.agents.path.startswith("/")
    assert all(isinstance(value, str) for value in provider.agents.params(Ask(number=2, size=provider.agents.page_size)).values())
    for case in cases:
        expected = None
        if case["agent"] is not None:
            *shown, created_at = case["agent"]
            expected = AgentRow(*shown, created_at and datetime.fromisoformat(created_at))
        assert provider.agents.agent(case["record"]) == expected, case["name"]


@ANY_PROVIDER
@UNHURRIED
@given(data=st.data())
def test_nothing_that_is_answered_raises(provider: Provider, data: st.DataObject) -> None:
    """Whatever JSON stands where a page speaks of itself, an agent or an error: it is read or passed over."""
    keys = st.sampled_from(
        ["meta", "total", "page", "limit", "offset", "total_pages", "status", "message", "error", "code", "id"]
    )
    body = data.draw(st.dictionaries(keys, JSON_VALUES) | JSON_VALUES)
    fields = body if isinstance(body, dict) else {"meta": body}
    headers = data.draw(st.dictionaries(st.sampled_from(["link", "x-total-count"]), st.text()))
    assert isinstance(provider.listing.facts(fields, headers), PageFacts)
    for status in (200, 400, 404, 500):
        assert isinstance(provider.failure(status, body), Failure | None)
    if provider.agents is not None:
        assert isinstance(provider.agents.agent(body), AgentRow | None)
    if provider.words is not None:
        stands = data.draw(st.tuples(*(JSON_VALUES for _ in all_of(provider.status or ()))))
        assert all(isinstance(word, str) for word in provider.words(stands))


@ANY_PROVIDER
def test_failures(provider: Provider) -> None:
    """Error bodies of every known shape are understood, and only the provider's own shape names what is absent."""
    for case in payloads(provider)["failures"]:
        expected = None if case["failure"] is None else Failure(**case["failure"])
        assert provider.failure(case["status"], case["body"]) == expected, case["name"]


@ANY_PROVIDER
@pytest.mark.parametrize(
    "body", [None, [], "text", 7, True, {}, {"error": {}}, {"message": 5}, {"code": [], "error": None}], ids=repr
)
def test_strange_error_bodies(provider: Provider, body: Any) -> None:
    """An error body of any shape is a failure that names nothing; never a second error."""
    failure = provider.failure(404, body)
    assert failure is not None
    assert failure.naming is None


@ANY_PROVIDER
def test_status_words(provider: Provider) -> None:
    """Every word of the contract page is known, and each becomes the status that the design gives it."""
    words = payloads(provider)["words"]
    assert {unified_word(word): str(status) for word, status in provider.statuses.items()} == words
    assert all(Status(status) is not Status.UNKNOWN for status in words.values())


@ANY_PROVIDER
def test_payloads_become_whole_rows(provider: Provider) -> None:
    """A list record, with its detail where there is one, becomes exactly the row, the children and the notes expected."""
    for case in payloads(provider)["calls"]:
        context = Context(connection="made_up", stream=case["stream"], currency="USD", run_id=7)
        record = identify(provider, json.dumps(case["record"]).encode(), cleaned=False)
        detail, asked_at = None, None
        if "detail" in case:
            detail, asked_at = identify(provider, json.dumps(case["detail"]).encode(), cleaned=False), SEEN + timedelta(minutes=1)
        derived = derive(provider, context, record, observed_at=SEEN, detail=detail, detail_observed_at=asked_at)

        row = derived.call._asdict()
        machine = {
            "connection": "made_up",
            "provider": provider.name,
            "stream": case["stream"],
            "first_seen_at": SEEN.isoformat(),
            "last_changed_at": SEEN.isoformat(),
            "observed_at": SEEN.isoformat(),
            "detail_observed_at": asked_at.isoformat() if asked_at else None,
            "last_run_id": 7,
        }
        expected = dict.fromkeys(CallRow._fields) | case["row"] | machine
        assert plain({key: value for key, value in row.items() if key not in MACHINE}) == {
            key: value for key, value in expected.items() if key not in MACHINE
        }, case["name"]
        assert json.loads(row["raw"]) == case["record"]
        assert (None if row["detail"] is None else json.loads(row["detail"])) == case.get("detail")
        assert row["content_hash"] == record.digest
        keys = {"connection": "made_up", "call_id": row["call_id"]}
        for name, kind in CHILDREN.items():
            children = [dict.fromkeys(kind._fields) | child | keys for child in case.get(name, [])]
            assert [plain(child._asdict()) for child in getattr(derived, name)] == children, (case["name"], name)
        assert [list(note) for note in derived.drift] == case["drift"], case["name"]


@ANY_PROVIDER
def test_payloads_stay_the_same_call(provider: Provider) -> None:
    """A record equals itself with its keys in another order, and differs as soon as any value but a volatile one does."""
    for case in payloads(provider)["calls"]:
        record = case["record"]
        assert same_content(provider, record, dict(reversed(record.items())))
        for key, value in record.items():
            changed = record | {key: "https://example.com/other"}
            volatile = value is not None and key in provider.volatile
            assert same_content(provider, record, changed) == volatile, key


@ANY_PROVIDER
def test_open_calls_can_be_followed(provider: Provider) -> None:
    """A provider that lists calls in flight has a detail to follow them by."""
    assert provider.detail is not None or not any(status in OPEN_STATUSES for status in provider.statuses.values())


@ANY_PROVIDER
def test_late_parts_can_arrive(provider: Provider) -> None:
    """What is awaited is the detail's, and becomes a column or children; it is not awaited of a call that nobody answered."""
    known = {key for field in provider.fields for key in all_of(field.key)}
    known |= {inside.key for inside in (provider.messages, provider.events) if inside is not None}
    assert set(provider.late_parts) <= known
    assert provider.detail is not None or not provider.late_parts
    assert late_parts_missing(provider, "completed", {}) == bool(provider.late_parts)
    assert not late_parts_missing(provider, "no_answer", {})
