"""
Derives the rows of a call's children (participants, messages, events) from the records inside the call's record.

Every id occurs once: if two records share an id, the last counts. Rows are in the order in which their ids first appear.
"""

from __future__ import annotations

from etl import json_text
from etl.model import JSON, Context, Drift, DriftNote, EventRow, ParticipantRow
from etl.records.compiled import ChildrenPlan, Row, fill, note_unknown
from etl.records.parse import LARGEST, Unfit, identifier
from etl.records.reach import type_name

_JOINED, _LEFT, _STAYED = (ParticipantRow._fields.index(name) for name in ("joined_at", "left_at", "duration_seconds"))
_POSITION, _DATA = EventRow._fields.index("position"), EventRow._fields.index("data")  # a message has its position there too


def children(plan: ChildrenPlan[Row], context: Context, call_id: str, merged: JSON, notes: list[DriftNote]) -> tuple[Row, ...]:
    """
    Return the rows of one kind of child in a record, and add what was odd to `notes`.

    Messages and events are numbered from 1, and an event is also stored whole. How long a participant stayed is computed if the
    provider does not say.
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
