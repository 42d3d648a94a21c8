"""Compares what the form understands of errors with what they are; an agent's record likewise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from etl.model import JSON, AgentRow
from etl.provider import Failure, Provider
from etl.testing.faults import Fault, tried
from etl.testing.payloads import Payloads, name_of

STRANGE: tuple[JSON, ...] = (None, [], "text", 7, True, {}, {"error": {}}, {"message": 5}, {"code": [], "error": None})


def faults_in_failures(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield where an error body is understood as something else, and bodies that are none of the provider's."""
    for place, case in enumerate(payloads.failures):
        name, status = name_of("failures", place, case), case.get("status", 0)
        given = tried("failure", provider.failure, status, case.get("body"))
        if "failure" in case:
            wanted = None if case["failure"] is None else Failure(**case["failure"])
            if given != wanted:
                yield Fault("failure", f"of {name} it makes {_shown(given)}", f"The payload says {_shown(wanted)}.")
        elif given is None:
            yield Fault(
                "failure",
                f"it takes {name}, status {status}, for no error",
                "Return a Failure wherever the status is 400 or above.",
            )
    for body in STRANGE:
        given = tried("failure", provider.failure, 404, body)
        if given is None or given.naming is not None:
            yield Fault(
                "failure",
                f"a 404 with the body {body!r} makes {_shown(given)}",
                "Name a call only where the provider's own error says that there is none: a proxy's 404 would delete calls.",
            )
    for status in (401, 429, 500):
        given = tried("failure", provider.failure, status, {"message": "made up"})
        if given is not None and given.status not in (None, status):
            yield Fault(
                "failure", f"it takes a {status} for a {given.status}", "Give another `status` only where a body proves it."
            )


def _shown(failure: Failure | None) -> str:
    if failure is None:
        return "no error (None)"
    said = {key: value for key, value in asdict(failure).items() if value is not None}
    return f"Failure({', '.join(f'{key}={value!r}' for key, value in said.items())})"


def faults_in_agents(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield where an agent's record is read as something else."""
    if provider.agents is None:
        return
    for place, case in enumerate(payloads.agents):
        given = tried("agents.agent", provider.agents.agent, case.get("record"))
        if "agent" not in case:
            continue
        wanted = None
        if case["agent"] is not None:
            agent_id, agent_name, status, created_at = case["agent"]
            wanted = AgentRow(agent_id, agent_name, status, created_at and datetime.fromisoformat(created_at))
        if given != wanted:
            yield Fault("agents.agent", f"of {name_of('agents', place, case)} it makes {given}", f"The payload says {wanted}.")
    for body in STRANGE:
        tried("agents.agent", provider.agents.agent, body)
