"""The control paths under `/_sandbox/`, for tests in another process; each does what a method of `Sandbox` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

from etl.sandbox.call import JSON, encode
from etl.sandbox.exchange import Reply, json_reply
from etl.sandbox.service import APIS, Service

PREFIX = "/_sandbox/"


def answer(sandbox: Service, method: str, target: str, body: bytes) -> Reply:
    """Answer a control request: 200 and JSON, 400 with what is wrong, 404."""
    split = urlsplit(target)
    steps = [unquote(step) for step in split.path.removeprefix(PREFIX).strip("/").split("/")]
    action = _ACTIONS.get((method, steps[0]))
    if action is None:
        known = ", ".join(f"{one} {PREFIX}{name}" for one, name in _ACTIONS)
        return json_reply(404, {"error": f"no such control path; there are {known}"})
    try:
        asked = json.loads(body) if body else {}
        return Reply(
            status=200,
            body=encode(action(sandbox, steps[1:], asked | dict(parse_qsl(split.query)))),
            headers={"Content-Type": "application/json"},
        )
    except (ValueError, KeyError, TypeError, IndexError) as wrong:
        return json_reply(400, {"error": f"{type(wrong).__name__}: {wrong}"})


def _now(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    return {"now": sandbox.history.now.isoformat()}


def _advance(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    if "to" in asked:
        return {"now": sandbox.history.advance_to(datetime.fromisoformat(asked["to"])).isoformat()}
    return {"now": sandbox.history.advance(timedelta(seconds=float(asked["seconds"]))).isoformat()}


def _info(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    return {
        "urls": {provider: sandbox.url(provider) for provider in APIS},
        "tokens": sandbox.tokens,
        "other_tokens": sandbox.other_tokens,
        "organization_id": sandbox.organization_id,
        "violations": {provider: sandbox.violations(provider) for provider in APIS},
    }


def _truth(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    return sandbox.truth(steps[0], asked.get("agent"))


def _detail(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    return sandbox.history.detail(steps[0], steps[1])


def _agents(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    return sandbox.history.agents()


def _change_agents(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    history = sandbox.history
    with history.lock:
        if "add" in asked:
            return {"id": history.roster.add(history.micros, asked["add"])}
        if "rename" in asked:
            history.roster.rename(history.micros, asked["rename"], asked["name"])
        else:
            history.roster.remove(history.micros, asked["remove"])
    return {}


def _requests(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    return [asdict(entry) for entry in sandbox.requests(asked.get("provider"))]


def _clear_requests(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    sandbox.clear_requests()
    return {}


def _faults(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    if "rate" in asked:
        sandbox.faults.mix(float(asked["rate"]), provider=asked.get("provider", "*"))
    else:
        sandbox.faults.add(asked.pop("kind"), **asked)
    return {}


def _clear_faults(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    sandbox.faults.clear()
    return {}


def _switches(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    for provider, values in asked.items():
        sandbox.switches.set(provider, values)
    return {}


def _instant(asked: Mapping[str, JSON], name: str) -> datetime | None:
    return datetime.fromisoformat(asked[name]) if name in asked else None


def _add(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    at, visible_at = _instant(asked, "at"), _instant(asked, "visible_at")
    given = {"at": at, "visible_at": visible_at, "agent": asked.get("agent"), "account": asked.get("account", "main")}
    if "records" in asked or "texts" in asked:
        records = [*asked.get("records", ()), *(text.encode("utf-8", "surrogatepass") for text in asked.get("texts", ()))]
        return {"ids": sandbox.history.add_records(asked["provider"], records, **given)}
    return {"ids": sandbox.history.add(asked["provider"], number=int(asked.get("count", 1)), **given)}


def _delete(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    sandbox.history.delete(asked["provider"], asked["call_id"])
    return {}


def _restore(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    sandbox.history.restore(asked["provider"], asked["call_id"])
    return {}


def _replace(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    if "changes" in asked:
        sandbox.history.change(asked["provider"], asked["call_id"], asked["changes"])
    else:
        record = asked["text"].encode("utf-8", "surrogatepass") if "text" in asked else asked["record"]
        sandbox.history.replace(asked["provider"], asked["call_id"], record)
    return {}


def _token(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    if "revoke" in asked:
        sandbox.revoke(asked["revoke"])
    else:
        sandbox.reinstate(asked["reinstate"])
    return {}


def _after(sandbox: Service, steps: list[str], asked: JSON) -> JSON:
    action = _ACTIONS["POST", asked["do"]]
    then = asked.get("with", {})
    sandbox.after(
        int(asked["requests"]), lambda: action(sandbox, [], dict(then)), provider=asked["provider"], path=asked.get("path", "")
    )
    return {}


_ACTIONS: Mapping[tuple[str, str], Callable[[Service, list[str], JSON], JSON]] = {
    ("GET", "info"): _info,
    ("GET", "now"): _now,
    ("POST", "advance"): _advance,
    ("GET", "truth"): _truth,
    ("GET", "detail"): _detail,
    ("GET", "agents"): _agents,
    ("POST", "agents"): _change_agents,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _clear_requests,
    ("POST", "faults"): _faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "switches"): _switches,
    ("POST", "add"): _add,
    ("POST", "delete"): _delete,
    ("POST", "restore"): _restore,
    ("POST", "replace"): _replace,
    ("POST", "token"): _token,
    ("POST", "after"): _after,
}
