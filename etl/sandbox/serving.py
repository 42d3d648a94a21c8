"""Serves the sandbox for people: a small history that follows real time, and the configuration to paste."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from etl.sandbox.births import PROVIDERS
from etl.sandbox.history import History
from etl.sandbox.limits import NO_LIMITS, TRUE_LIMITS
from etl.sandbox.server import Sandbox

NAMES = {
    "tuple": "pairing",
    "bimpe": "voice",
    "salpre": "boxes",
    "krosai": "telephony",
    "aircall": "support",
    "twilio": "programmable",
}


def demo_history(seed: int = 1, *, now: datetime | None = None) -> History:
    """
    Return the ten days up to `now` (default: real now).

    These are about 3,000 Tuple calls, 2 agents x 100, 300 Salpre, 120 KrosAI, 200 each of Aircall and Twilio. Within the true
    rate limits a first sync reads them in a few seconds. Agents do not come and go.
    """
    return History(
        seed,
        start=now or datetime.now(UTC),
        past=timedelta(days=10),
        calls_per_day={"tuple": 300, "bimpe": 20, "salpre": 30, "krosai": 12, "aircall": 20, "twilio": 20},
        agent_changes=(0, 0, 0),
    )


def real_time() -> datetime:
    """Return real now; as `follow` of a sandbox it lets the history evolve by itself."""
    return datetime.now(UTC)


def config(sandbox: Sandbox) -> str:
    """Return the connections of a `config.toml` for this sandbox, ready to paste."""
    parts = []
    for provider in PROVIDERS:
        lines = [
            f"[connections.{NAMES[provider]}]",
            f'provider = "{provider}"',
            f'token = "{sandbox.tokens[provider]}"',
            f'base_url = "{sandbox.url(provider)}"',
        ]
        lines += [f'{key} = "{value}"' for key, value in sandbox.own.get(provider, {}).items()]
        if provider == "krosai":
            lines.append(f'organization_id = "{sandbox.organization_id}"')
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def serve(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    seed: int = 1,
    history: History | None = None,
    limited: bool = True,
    real_clock: bool = True,
    say: Callable[[str], object] | None = None,
    until: threading.Event | None = None,
) -> None:
    """
    Serve until `until` is set, or for ever; `say` gets the text for the user (default: standard output).

    With `real_clock` the history follows real time, so that calls keep appearing; without it only
    `POST /_sandbox/advance` moves it. Without `limited` there is no rate limit. KeyboardInterrupt passes through.
    """
    tell = say or _print
    sandbox = Sandbox(
        history or demo_history(seed),
        port=port,
        host=host,
        limits=TRUE_LIMITS if limited else NO_LIMITS,
        follow=real_time if real_clock else None,
    )
    with sandbox:
        tell(f"The sandbox serves {len(PROVIDERS)} providers at {sandbox.origin} (seed {sandbox.history.seed}).")
        tell("Paste this into config.toml:\n\n" + config(sandbox))
        tell(f"Control: {sandbox.origin}/_sandbox/info")
        (until or threading.Event()).wait()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
