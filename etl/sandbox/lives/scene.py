"""What the four kinds of lives have in common: chances, delays, made-up people and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from etl.sandbox.instants import MINUTE, SECOND

PEOPLE = tuple(
    f"{name}.{number}@example.com"
    for number in range(1, 6)
    for name in ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
)

LINES = (
    "Hello, this is the automated assistant. How can I help?",
    "I would like to move my appointment.",
    "Of course. Which day suits you?",
    "Thursday, in the afternoon.",
    "Thursday at three is free. Shall I book it?",
    "Yes, please. \u201cThree o\u2019clock\u201d is fine \u2014 gracias!",
    "Done. Is there anything else?",
    "No, thank you. Goodbye.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    How restless a provider's calls are. Instants are microseconds.

    `lateness`: the latest that a call becomes visible after its cursor. `restless`: the latest, after the cursor, that a
    finished call's list record still changes or that the call vanishes. `late`, `vanishing`, `amended`, `long`: shares of calls.
    """

    account: str
    lateness: int
    restless: int
    late: float
    vanishing: float
    amended: float
    long: float


def delay(chance: Random, scene: Scene) -> int:
    """Draw how late a call becomes visible: mostly at once, sometimes after minutes, rarely up to the bound."""
    if chance.random() >= scene.late:
        return 0
    if chance.random() < 0.8:
        return min(int(chance.expovariate(1 / (4 * MINUTE))), scene.lateness)
    return int(chance.random() * scene.lateness)


def vanishes(chance: Random, scene: Scene, *, cursor: int, visible_at: int, never: int) -> int:
    """Draw when a call vanishes; `never` for most."""
    if chance.random() >= scene.vanishing:
        return never
    latest = cursor + scene.restless
    return visible_at + 1 + int(chance.random() * (latest - visible_at)) if latest > visible_at else never


def afterwards(scene: Scene, *, cursor: int, ended: int, delayed: int) -> int:
    """Return `ended + delayed`, or `ended` where that would be later than the scene allows a list record to change."""
    return ended + delayed if ended + delayed <= cursor + scene.restless else ended


def talk(chance: Random, scene: Scene) -> int:
    """Draw how long a call lasts: minutes, and for a few hours or days."""
    if chance.random() < scene.long:
        return int(chance.uniform(60, 2880)) * MINUTE
    return int(5 + chance.expovariate(1 / 240)) * SECOND + int(chance.random() * 1000) * 1000


def phone(chance: Random) -> str:
    """Draw a number that belongs to nobody."""
    return f"+1415555{int(chance.random() * 10000):04d}"


def uuid(chance: Random) -> str:
    """Draw a random UUID (version 4)."""
    text = f"{chance.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def cuid(chance: Random) -> str:
    """Draw an id such as `cmqtuq8xu010fpc6ekpx596ux`."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    bits = chance.getrandbits(128)
    text = []
    for _ in range(24):
        bits, digit = divmod(bits, 36)
        text.append(digits[digit])
    return "c" + "".join(text)
