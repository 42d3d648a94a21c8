"""Answers as the world's servers write them: each is read as it was meant, nothing is lost, and what is odd is counted."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from etl import providers
from etl.runs.terms import RunStatus
from tests.acceptance.cast import CAST, PROVIDERS
from tests.acceptance.conftest import SetStage, Stand
from tests.acceptance.relay import Alter, Relay, Told
from tests.acceptance.stage import START, Stage, quiet_history


def is_list(provider: str, told: Told) -> bool:
    return told.status == 200 and told.path.endswith(CAST[provider].page)


def calls(stage: Stage, provider: str, count: int = 30) -> list[str]:
    """Let calls happen, an hour apart."""
    return [call_id for hour in range(count) for call_id in stage.history.add(provider, at=START - timedelta(hours=hour + 3))]


def records_key(body: Any) -> str | None:
    return None if isinstance(body, list) else next(key for key in ("data", "calls") if key in body)


def altered(told: Told, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change the records of a page."""
    body = json.loads(told.body)
    key = records_key(body)
    body = change(body) if key is None else body | {key: change(body[key])}
    told.body = json.dumps(body).encode()


def call_id_of(record: Any) -> str:
    return next(str(record[key]) for key in ("id", "call_id", "sid") if key in record)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("empty", ["null", "204"])
def test_null_or_no_content_is_an_empty_list(stage: Stage, between: Stand, provider: str, empty: str) -> None:
    """The first sync of an account without a call succeeds and claims nothing; calls that come later are loaded."""

    def alter(told: Told) -> None:
        if is_list(provider, told) and not stage.truth_ids(provider):
            body = json.loads(told.body)
            key = records_key(body)
            told.status, told.body = (
                (204, b"") if empty == "204" else (200, json.dumps(body | {key: None} if key else None).encode())
            )

    between(provider, alter)

    assert [stage.sync(provider).status for _ in range(2)] == [RunStatus.SUCCEEDED] * 2
    assert {row["high_water_mark"] for row in stage.state(provider)} <= {None}
    assert all(
        path in ("data", "calls", "(answer).list", "(answer).status") for path, *_ in stage.drift(provider)
    ) and stage.drift(provider)
    calls(stage, provider, 5)
    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert stage.ids(provider) == stage.truth_ids(provider)


def utf8_as_coding(told: Told) -> None:
    told.headers["Content-Encoding"] = "UTF-8"


def none_as_coding(told: Told) -> None:
    told.headers["Content-Encoding"] = "none"


def gzip_and_a_line_end(told: Told) -> None:
    told.body, told.headers["Content-Encoding"] = gzip.compress(told.body) + b"\r\n", "gzip"


def deflated(told: Told) -> None:
    told.body, told.headers["Content-Encoding"] = zlib.compress(told.body), "deflate"


def deflated_without_a_header(told: Told) -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    told.body, told.headers["Content-Encoding"] = packer.compress(told.body) + packer.flush(), "deflate"


def blanks_and_marks(told: Told) -> None:
    told.body = b"\n\xef\xbb\xbf\xef\xbb\xbf" + told.body


def latin_1(told: Told) -> None:
    told.body = json.dumps(json.loads(told.body), ensure_ascii=False).encode("latin-1", "backslashreplace")
    told.headers["Content-Type"] = "application/json; charset=ISO-8859-1"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("habit", "note"),
    [
        (utf8_as_coding, "(answer).content_encoding"),
        (none_as_coding, "(answer).content_encoding"),
        (gzip_and_a_line_end, "(answer).content_encoding"),
        (deflated, None),
        (deflated_without_a_header, None),
        (blanks_and_marks, "(answer).byte_order_mark"),
        (latin_1, None),
    ],
)
def test_a_servers_habits_lose_nothing(stage: Stage, between: Stand, provider: str, habit: Alter, note: str | None) -> None:
    """Every call arrives as it is, and a habit that always shows is counted."""
    calls(stage, provider)
    between(provider, habit)

    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert note is None or note in {path for path, *_ in stage.drift(provider)}


def test_letters_of_the_declared_charset_arrive(stage: Stage, between: Stand) -> None:
    """`Müller` in ISO-8859-1 is Müller in the warehouse."""
    (call_id,) = stage.history.add("krosai", at=START - timedelta(hours=5))

    def alter(told: Told) -> None:
        if is_list("krosai", told):
            altered(told, lambda records: [record | {"hangup_cause": "Müller"} for record in records])
            latin_1(told)

    between("krosai", alter)
    stage.settings["krosai"]["details"] = False

    assert stage.sync("krosai").status is RunStatus.SUCCEEDED
    assert stage.calls("krosai")[call_id]["end_reason"] == "Müller"
    assert ("(answer).charset", "out_of_range", "iso8859-1", 1) in stage.drift("krosai")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_deep_json_is_held_and_what_postgres_refuses_is_one_reject(stage: Stage, between: Stand, provider: str) -> None:
    """2,500 levels are held, 50,000 are a reject of that record alone, and both again cost nothing."""
    limit = sys.getrecursionlimit()
    ids = calls(stage, provider, 3)
    depths = dict(zip(ids, (2_500, 50_000, 0), strict=True))

    def alter(told: Told) -> None:
        if is_list(provider, told):
            altered(told, lambda records: [record | {"deep": f"@{call_id_of(record)}"} for record in records])
            for call_id, depth in depths.items():
                told.body = told.body.replace(f'"@{call_id}"'.encode(), b"[" * depth + b"1" + b"]" * depth)

    between(provider, alter)
    stage.settings[provider]["details"] = False
    first, second = stage.sync(provider), stage.sync(provider)

    assert (first.error, second.error) == (None, None)
    assert (first.status, second.status, sys.getrecursionlimit()) == (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED, limit)
    held = stage.rows("SELECT call_id FROM calls WHERE raw::text LIKE '%%[[[[[[[[%%' OR raw ->> 'deep' = '1'")
    assert {row["call_id"] for row in held} == {ids[0], ids[2]}
    assert [(row["call_id"], row["reason"]) for row in stage.rejects(provider)] == [(ids[1], "database_refused")]
    assert (second.counters.inserted, second.counters.updated) == (0, 0)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_bad_escape_does_not_cost_the_page(stage: Stage, between: Stand, provider: str) -> None:
    """The record that holds it is loaded with the backslash as text; the others as they are; it is counted."""
    calls(stage, provider, 5)
    key = {"salpre": b'"call_id"', "twilio": b'"sid"'}.get(provider, b'"id"')

    def alter(told: Told) -> None:
        if is_list(provider, told):
            told.body = told.body.replace(key, b'"note": "C:\\x\\u12", ' + key, 1)

    between(provider, alter)

    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert [note[:2] for note in stage.drift(provider) if note[1] == "cleaned_text"] == [("$", "cleaned_text")]


@pytest.mark.parametrize("status", [403, 401])
def test_one_forbidden_agent_does_not_end_the_others(set_stage: SetStage, status: int) -> None:
    """403 for one agent's list fails the run after every other agent was read; 401 is about the credential, and ends it."""
    stage = set_stage(quiet_history(agents=3))
    forbidden, *others = [agent["id"] for agent in stage.history.agents()]
    for agent in (forbidden, *others):
        stage.history.add("bimpe", at=START - timedelta(hours=5), agent=agent)

    def alter(told: Told) -> None:
        if f"/agents/{forbidden}/calls" in told.path:
            told.status, told.body = status, b'{"message": "No", "error": "No", "code": "forbidden"}'

    with Relay(stage.sandbox.url("bimpe"), alter) as relay:
        stage.settings["bimpe"] = {"base_url": relay.url}
        outcome = stage.sync("bimpe")

    assert (outcome.status, outcome.error and outcome.error.code) == (RunStatus.FAILED, "authentication")
    read = {call.id for agent in others for call in stage.history.living("bimpe", agent)}
    if status == 403:
        assert stage.ids("bimpe") == read
    else:
        assert f"/agents/{forbidden}/calls" in relay.asked[-1].path


@pytest.mark.parametrize("forbidden", ["agent", "call"])
def test_forbidden_details_do_not_end_the_others(set_stage: SetStage, forbidden: str) -> None:
    """403 for the details of one agent fails the run at its end; 403 for one call among others is that call's alone."""
    stage = set_stage(quiet_history(agents=2))
    agents = [agent["id"] for agent in stage.history.agents()]
    ids = {
        agent: [stage.history.add("bimpe", at=START - timedelta(hours=n), agent=agent)[0] for n in range(3, 9)]
        for agent in agents
    }
    barred = ids[agents[0]] if forbidden == "agent" else ids[agents[0]][2:3]

    def alter(told: Told) -> None:
        if told.path.rsplit("/", 1)[1] in barred:
            told.status, told.body = 403, b'{"message": "No", "error": "No", "code": "forbidden"}'

    with Relay(stage.sandbox.url("bimpe"), alter) as relay:
        stage.settings["bimpe"] = {"base_url": relay.url}
        outcome = stage.sync("bimpe")

    detailed = {call_id for call_id, row in stage.calls("bimpe").items() if row["detail"] is not None}
    assert (stage.ids("bimpe"), detailed) == ({*ids[agents[0]], *ids[agents[1]]}, {*ids[agents[0]], *ids[agents[1]]} - {*barred})
    assert outcome.status is (RunStatus.FAILED if forbidden == "agent" else RunStatus.SUCCEEDED)


@pytest.mark.parametrize("provider", ["tuple", "salpre"])
def test_a_next_link_of_another_scheme_stops_nothing(stage: Stage, between: Stand, provider: str) -> None:
    """The walk never follows it; that it is there is counted."""
    calls(stage, provider)
    between(provider, lambda told: told.headers.update({"Link": '<app://calls?page=2>; rel="next"'}))

    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert "(answer).link" in {path for path, *_ in stage.drift(provider)}


def through_gateway(provider: str, link: str) -> Alter:
    """Return what leads every link to the next page there: in the header, and in the body where the provider has it in one."""

    def alter(told: Told) -> None:
        if is_list(provider, told):
            told.headers["Link"] = f'<{link}{told.path}?page=2>; rel="next"'
            body = json.loads(told.body)
            if isinstance(body, dict) and (body.get("meta") or {}).get("next_page_link"):
                body["meta"]["next_page_link"] = f"{link}/calls?page=2"
                told.body = json.dumps(body).encode()

    return alter


@pytest.mark.parametrize("provider", ["tuple", "aircall"])
def test_behind_a_gateway_links_may_lead_to_the_providers_own_address(stage: Stage, between: Stand, provider: str) -> None:
    """They are not followed: every page comes through the gateway, and nothing is noted, since the provider always sends them."""
    calls(stage, provider)
    relay = between(provider, through_gateway(provider, providers.get(provider).base_url))
    stage.settings[provider]["per_page"] = 10

    assert stage.sync(provider).status is RunStatus.SUCCEEDED
    assert (stage.ids(provider), stage.drift(provider)) == (stage.truth_ids(provider), [])
    assert len([told for told in relay.asked if is_list(provider, told)]) == len(stage.pages(provider)) >= 3


@pytest.mark.parametrize("provider", ["tuple", "aircall"])
def test_behind_a_gateway_a_link_to_a_third_place_fails(stage: Stage, between: Stand, provider: str) -> None:
    """It is neither the gateway nor the provider; nothing of the page is stored."""
    calls(stage, provider)
    between(provider, through_gateway(provider, "https://elsewhere.example.com"))
    stage.settings[provider]["per_page"] = 10

    outcome = stage.sync(provider)

    assert (outcome.status, outcome.error and outcome.error.code, stage.ids(provider)) == (
        RunStatus.FAILED,
        "foreign_link",
        set(),
    )


@pytest.mark.parametrize("status", [400, 404, 422, 416])
@pytest.mark.parametrize("count", [1, 2, 29, 30, 31, 40])
def test_an_error_behind_the_last_page_is_the_end_of_the_list(stage: Stage, between: Stand, status: int, count: int) -> None:
    """Salpre gives no total, so its end is only met by asking behind it: every call is held, and no gap is left."""
    calls(stage, "salpre", count)

    def alter(told: Told) -> None:
        if is_list("salpre", told):
            data = json.loads(told.body)["data"]
            told.body = json.dumps({"data": data}).encode()
            if not data and told.query.get("page", "1") != "1":
                told.status, told.body = status, b'{"status": "error", "message": "Invalid page."}'

    between("salpre", alter)
    stage.settings["salpre"] |= {"per_page": 10, "details": False}
    outcome = stage.sync("salpre")

    assert (outcome.status, outcome.findings, outcome.error) == (RunStatus.SUCCEEDED, [], None)
    assert stage.ids("salpre") == stage.truth_ids("salpre")
    assert stage.state("salpre")[0]["high_water_mark"] is not None


@pytest.mark.parametrize("status", [400, 404])
def test_a_list_that_refuses_to_go_so_deep_is_no_complete_one(stage: Stage, between: Stand, status: int) -> None:
    """Of 60 calls the first 30 can be had: what lies below is not claimed, whatever the error says."""
    calls(stage, "salpre", 60)

    def alter(told: Told) -> None:
        number, size = int(told.query.get("page", "1")), int(told.query.get("per_page", "10"))
        if is_list("salpre", told):
            told.body = json.dumps({"data": json.loads(told.body)["data"]}).encode()
        if is_list("salpre", told) and number * size > 30:
            told.status, told.body = status, b'{"status": "error", "message": "Result window is too large."}'

    between("salpre", alter)
    stage.settings["salpre"] |= {"per_page": 10, "details": False}
    outcome = stage.sync("salpre")

    assert len(stage.ids("salpre")) == 30
    assert outcome.status is RunStatus.FAILED or [one.code for one in outcome.findings] == ["page_ignored"]
    assert stage.state("salpre")[0]["high_water_mark"] is None


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_page_over_the_cap_is_asked_for_in_smaller_pages(stage: Stage, between: Stand, provider: str) -> None:
    """Pages that hold more than 10 records are over the cap; all calls arrive, and the size that works is remembered."""
    calls(stage, provider, 40)

    def alter(told: Told) -> None:
        if is_list(provider, told):
            body = json.loads(told.body)
            key = records_key(body)
            if len(body if key is None else body[key]) > 10:
                told.body += b" " * 2**20

    between(provider, alter)
    stage.max_response_mb = 1
    stage.settings[provider]["details"] = False

    assert [stage.sync(provider).error for _ in range(2)] == [None, None]
    assert stage.ids(provider) == stage.truth_ids(provider)


def test_costs_keep_every_digit(stage: Stage, between: Stand) -> None:
    """A cost of more digits than a float holds arrives as it was written, as a change of its last digit does."""
    (call_id,) = stage.history.add("krosai", at=START - timedelta(hours=5))
    costs = iter(["1234.56789012345678901234", "1234.56789012345678901235"])
    cost = next(costs)

    def alter(told: Told) -> None:
        if is_list("krosai", told):
            altered(told, lambda records: [record | {"cost": "@", "cost_cents": None} for record in records])
            told.body = told.body.replace(b'"@"', cost.encode())

    between("krosai", alter)
    stage.settings["krosai"]["details"] = False
    stage.sync("krosai")
    before = str(stage.calls("krosai")[call_id]["cost"])
    cost = next(costs)
    stage.sync("krosai")

    assert (before, str(stage.calls("krosai")[call_id]["cost"])) == ("12.3456789012345678901234", "12.3456789012345678901235")


def test_an_id_that_is_written_as_a_float_is_the_same_id(stage: Stage, between: Stand) -> None:
    """12345.0 is the number 12345: no reject, and no second call."""
    stage.history.add("krosai", at=START - timedelta(hours=5))
    form = "12345"

    def alter(told: Told) -> None:
        if is_list("krosai", told):
            altered(told, lambda records: [record | {"id": "@"} for record in records])
            told.body = told.body.replace(b'"@"', form.encode())

    between("krosai", alter)
    stage.settings["krosai"]["details"] = False
    stage.sync("krosai")
    form = "12345.0"
    stage.sync("krosai")

    assert (stage.ids("krosai"), stage.rejects("krosai")) == ({"12345"}, [])
