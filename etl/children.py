"""Knows how the records inside a call's record become rows: today the participants; knows nothing of the call beyond its id."""

from __future__ import annotations

from etl import parse
from etl.model import JSON, Context, Drift, DriftNote, ParticipantRow
from etl.parse import Unfit
from etl.plan import PARTICIPANT, ChildrenPlan, fill, note_unknown, type_name

_INT32 = 2**31 - 1
_JOINED, _LEFT, _STAYED = PARTICIPANT["joined_at"], PARTICIPANT["left_at"], PARTICIPANT["duration_seconds"]


def participants(
    children: ChildrenPlan, context: Context, call_id: str, merged: JSON, notes: list[DriftNote]
) -> tuple[ParticipantRow, ...]:
    """Return the participants in a record, each id once (the last counts), and note what was odd."""
    listed = merged.get(children.key)
    if listed is None:
        return ()
    if not isinstance(listed, list):
        notes.append(DriftNote(children.key, Drift.WRONG_TYPE, type_name(listed)))
        return ()
    prefix = children.key + "[]."
    found: dict[str, ParticipantRow] = {}
    for position, child in enumerate(listed, 1):
        if not isinstance(child, dict):
            notes.append(DriftNote(children.key + "[]", Drift.WRONG_TYPE, type_name(child)))
            continue
        row: list[JSON] = [context.connection, call_id, None, None, None, None, None]
        try:
            participant_id = parse.identifier(child.get(children.id_key)) or str(position)
        except Unfit as unfit:
            notes.append(DriftNote(prefix + children.id_key, unfit.kind, type_name(child[children.id_key])))
            participant_id = str(position)
        row[2] = participant_id
        fill(children.fields, row, child, None, notes, prefix)
        note_unknown(children.shape, child, notes, prefix)
        if row[_JOINED] is not None and row[_LEFT] is not None:
            stay = row[_LEFT] - row[_JOINED]
            seconds = stay.days * 86_400 + stay.seconds
            if not 0 <= seconds <= _INT32:
                kind = Drift.END_BEFORE_START if seconds < 0 else Drift.OUT_OF_RANGE
                notes.append(DriftNote(prefix + "left_at", kind, "string"))
            if row[_STAYED] is None and abs(seconds) <= _INT32:
                row[_STAYED] = seconds
        found[participant_id] = ParticipantRow._make(row)
    return tuple(found.values())
