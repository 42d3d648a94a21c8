"""Shapes and forms that a provider's pages contradict themselves about: each is understood, and no field is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.runs.terms import RunStatus, Want
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_undocumented import calls_of_ten_days, capabilities, later, whole


def test_krosai_in_the_dialect_of_its_guide(stage: Stage) -> None:
    """`offset`, `calls` and `cost_cents` in place of `page`, `data` and `cost`: every call and field arrives all the same."""
    stage.settings = {"krosai": {"per_page": 20}}
    stage.sandbox.switches.krosai.dialect = "guide"
    calls_of_ten_days(stage, "krosai")

    assert stage.sync("krosai").status is RunStatus.SUCCEEDED
    whole(stage, "krosai")
    assert capabilities(stage, "krosai")["style"] == "offset"
    stage.sandbox.clear_requests()
    assert later(stage, "krosai").status is RunStatus.SUCCEEDED
    whole(stage, "krosai")
    assert "page" not in stage.pages("krosai")[0].query


def test_krosai_changes_its_dialect(stage: Stage) -> None:
    """What was remembered is not trusted blindly: the other dialect is found out, and a full read brings every field."""
    stage.settings = {"krosai": {"per_page": 20}}
    calls_of_ten_days(stage, "krosai")
    stage.sync("krosai")
    stage.sandbox.switches.krosai.dialect = "guide"

    assert stage.sync("krosai", want=Want(full=True)).status is RunStatus.SUCCEEDED
    whole(stage, "krosai")


@pytest.mark.parametrize("form", ["integer", "as_listed", "both"])
@pytest.mark.parametrize("status", ["own", "always_200"])
def test_salpre_details_under_any_form_of_the_id(stage: Stage, form: str, status: str) -> None:
    """The detail of an open call is had whatever form of its id is asked for, and whatever status an error has."""
    stage.sandbox.switches.set("salpre", {"detail_id": form, "error_status": status})
    stage.settings = {"salpre": {"per_page": 10}}
    (call_id,) = stage.history.add("salpre", at=START - timedelta(hours=5))
    stage.history.change("salpre", call_id, {"status": "in_progress"})
    calls_of_ten_days(stage, "salpre", 30)
    stage.sync("salpre")
    assert stage.calls("salpre")[call_id]["status"] == "in_progress"
    for _ in range(4):
        later(stage, "salpre")
    stage.history.change("salpre", call_id, {"status": "completed"})

    assert later(stage, "salpre").status is RunStatus.SUCCEEDED

    held, detail = stage.calls("salpre")[call_id], stage.history.detail("salpre", call_id)
    columns = ("provider_status", "recording_url", "transcript", "attributes")
    assert [held[column] for column in columns] == [
        detail[key] for key in ("status", "audio_record_url", "transcript", "variables")
    ]
    assert held["status"] == "completed"
