"""
Knows how the records inside a call's record become rows: participants, messages, events; knows nothing of the call but its id.

Each id once: of two records with one id the last counts. The order is that in which the ids first appear.
"""

from __future__ import annotations

from etl import json_text
from etl.model import JSON, Context, Drift, DriftNote, EventRow, ParticipantRow
from etl.records.compiled import ChildrenPlan, Row, fill, note_unknown, type_name
from etl.records.parse import LARGEST, Unfit, identifier

_JOINED, _LEFT, _STAYED = (ParticipantRow._fields.index(name) for name in ("joined_at", "left_at", "duration_seconds"))
_POSITION, _DATA = EventRow._fields.index("position"), EventRow._fields.index("data")  # a message has its position there too


def children(plan: ChildrenPlan[Row], context: Context, call_id: str, merged: JSON, notes: list[DriftNote]) -> tuple[Row, ...]:
    """
    Return the rows of one kind of child in a record, and note what was odd.

    A message and an event have their position, from 1; an event is also kept whole. How long a participant stayed is computed
    where the provider does not say.
    """
    listed = merged.get(plan.key)
    if listed is None:
        return ()
    if not isinstance(listed, list):
        notes.append(DriftNote(plan.key, Drift.WRONG_TYPE, type_name(listed)))
        return ()
    id_key, fields, shape, prefix, kind = plan.id_key, plan.fields, plan.shape, plan.prefix, plan.row
    template: list[JSON] = [context.connection, call_id, *plan.blank]
    found: dict[str, Row] = {}
    for position, child in enumerate(listed, 1):
        if not isinstance(child, dict):
            notes.append(DriftNote(plan.key + "[]", Drift.WRONG_TYPE, type_name(child)))
            continue
        try:
            child_id = identifier(child.get(id_key)) or str(position)
        except Unfit as unfit:
            notes.append(DriftNote(prefix + id_key, unfit.kind, type_name(child[id_key])))
            child_id = str(position)
        row = template.copy()
        row[2] = child_id
        fill(fields, row, child, None, notes, prefix)
        note_unknown(shape, child, notes, prefix)
        if kind is ParticipantRow:
            joined, left = row[_JOINED], row[_LEFT]
            if joined is not None and left is not None:
                stay = left - joined
                seconds = stay.days * 86_400 + stay.seconds
                if not 0 <= seconds <= LARGEST:
                    oddity = Drift.END_BEFORE_START if seconds < 0 else Drift.OUT_OF_RANGE
                    notes.append(DriftNote(prefix + "left_at", oddity, "string"))
                if row[_STAYED] is None and abs(seconds) <= LARGEST:
                    row[_STAYED] = seconds
        else:
            row[_POSITION] = position
            if kind is EventRow:
                row[_DATA] = json_text.encoded(child).decode()
        found[child_id] = tuple.__new__(kind, row)  # as `_make` does, without the call and the count
    return tuple(found.values())
