"""The list of erasures as a file: so a warehouse that was restored from an older backup learns who is forgotten since."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from etl.errors import UsageError
from etl.records.persons import Kind
from etl.records.shield import proof_of
from etl.warehouse.database import Database
from etl.warehouse.privacy.erasures import ErasedCall, Erasure, listed

FORM = "call-warehouse erasures 1"


class ErasureList(NamedTuple):
    """Persons by their keyed hashes, and calls."""

    people: tuple[Erasure, ...]
    calls: tuple[ErasedCall, ...]


def write_list(database: Database, path: Path, *, key: bytes) -> tuple[int, int]:
    """Write the list that only its owner can read; return how many persons and calls are in it. Raises UsageError."""
    proof, people, calls = listed(database)
    document = {
        "form": FORM,
        "proof": (proof or proof_of(key)).hex(),
        "persons": [{"hash": one.hash.hex(), "kind": one.kind, "erased_at": one.erased_at.isoformat()} for one in people],
        "calls": [one._asdict() | {"erased_at": one.erased_at.isoformat()} for one in calls],
    }
    try:
        beside = path.with_name(f"{path.name}.part")
        with open(beside, "w", encoding="utf-8", opener=_private) as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", safe="Nothing was changed.", hint="Name another file."
        ) from None
    return len(people), len(calls)


def read_list(path: Path, *, key: bytes) -> ErasureList:
    """Read a list that was made with this key. Raises UsageError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = _list_in(document)
        proof = bytes.fromhex(document["proof"])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", safe="Nothing was started.") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is no list of erasures.", safe="Nothing was started.", hint="Give the file that etl forget --list wrote."
        ) from None
    if proof != proof_of(key):
        raise UsageError(
            f"{path} was made with another key than warehouse.erasure_key: it would keep out nobody.",
            safe="Nothing was started.",
            hint="Set warehouse.erasure_key to the key of the warehouse that the list is from.",
        )
    return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _list_in(document: Any) -> ErasureList:
    if document["form"] != FORM:
        raise ValueError(document)
    return ErasureList(
        people=tuple(Erasure(bytes.fromhex(one["hash"]), Kind(one["kind"]).value, _instant(one)) for one in document["persons"]),
        calls=tuple(ErasedCall(str(one["connection"]), str(one["call_id"]), _instant(one)) for one in document["calls"]),
    )


def _instant(one: Any) -> datetime:
    at = datetime.fromisoformat(one["erased_at"])
    if at.tzinfo is None:
        raise ValueError(one)
    return at
