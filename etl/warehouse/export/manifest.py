"""`manifest.json`: what an exported folder holds, and from what it is told which of its files are out of date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import msgspec

from etl.errors import UsageError
from etl.warehouse.export.relations import KNOWN, Part

KIND = "call warehouse export"
FORMAT = 1
"""The newest form of the folder that this program knows; it writes no other."""


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The rows of one connection and month; without rows there is no file.

    `state` is a fingerprint of what they were made of; without one the file is to be made again, or to be removed.
    """

    connection: str
    month: date
    rows: int = 0
    bytes: int = 0
    state: str | None = None

    @property
    def part(self) -> Part:
        """What it holds."""
        return Part(self.connection, self.month)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    The whole folder, of one instant (`taken_at`).

    `warehouse` tells databases apart, `timeline` the lives of one that was set back to an earlier state. `mark` is the newest
    `changed_at` among the calls that were seen so far.
    """

    kind: str
    format: int
    program: str
    warehouse: str
    masked: bool
    timeline: int
    schema: str
    reporting_timezone: str
    taken_at: datetime
    mark: datetime | None
    relations: dict[str, tuple[File, ...]]

    @property
    def basis(self) -> tuple[object, ...]:
        """What all files rest on: where it is another one, all are made again."""
        return self.timeline, self.schema, self.reporting_timezone

    def files(self, relation: str) -> dict[Part, File]:
        """Return the files of a relation by what they hold."""
        return {file.part: file for file in self.relations.get(relation, ())}


@dataclass(frozen=True, slots=True)
class _Head:
    kind: str
    format: int


def read(text: bytes, where: object) -> Manifest:
    """Return the manifest of a folder. Raises UsageError where it is none of ours, or one of a newer program."""
    try:
        head = msgspec.json.decode(text, type=_Head)
    except msgspec.MsgspecError:
        head = None
    if head is None or head.kind != KIND:
        raise UsageError(
            f"{where} is no manifest of an export.", safe="Nothing was written.", hint="Name a folder that is empty, or new."
        )
    try:
        manifest = msgspec.json.decode(text, type=Manifest) if head.format <= FORMAT else None
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{where} is damaged.",
            safe="Nothing was written.",
            hint="Remove the folder, or name another one: the export is then made as a whole.",
        ) from error
    if manifest is None or not set(manifest.relations) <= set(KNOWN):
        raise UsageError(
            f"{where} was written by a newer version of this program.",
            safe="Nothing was written.",
            hint="Install that version, or name another folder.",
        )
    return manifest


def text_of(manifest: Manifest) -> bytes:
    """Return the text of the file."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def refuse_foreign(held: Manifest, where: object, *, warehouse: str, masked: bool) -> None:
    """Raise UsageError where the folder is of another warehouse, or masked and this export is not, or the other way round."""
    if held.warehouse != warehouse:
        raise UsageError(
            f"{where} holds an export of another warehouse.",
            safe="Nothing was written.",
            hint="Name another folder; or remove this one, if the warehouse has moved to another server.",
        )
    if held.masked != masked:
        kinds = ("in full", "masked") if masked else ("masked", "in full")
        raise UsageError(
            f"{where} holds an export {kinds[0]}, and this one is {kinds[1]}.",
            safe="Nothing was written.",
            hint="Give each a folder of its own.",
        )


def unsettled(held: Mapping[Part, File], parts: Mapping[Part, object]) -> tuple[File, ...]:
    """Return the files of a relation, these parts of them to be made again."""
    kept = (file for part, file in held.items() if part not in parts)
    return tuple(sorted([*kept, *(File(connection=part.connection, month=part.month) for part in parts)], key=_by_part))


def _by_part(file: File) -> Part:
    return file.part
