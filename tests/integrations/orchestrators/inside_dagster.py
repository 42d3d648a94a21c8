"""
Runs jobs of the Dagster example in this process, and prints as JSON what Dagster has of each.

Started in an environment with Dagster, where nothing of the tests can be imported: `inside_dagster.py EXAMPLE JOB…`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg


def main(example: Path, *jobs: str) -> None:
    """Run the jobs one after the other."""
    definitions = loaded(example).defs
    with dg.DagsterInstance.get() as instance:
        print(json.dumps([run(definitions, job, instance) for job in jobs]))  # noqa: T201 - what the tests read


def loaded(example: Path) -> Any:
    """Import a file as Dagster does."""
    spec = importlib.util.spec_from_file_location("example", example)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(definitions: dg.Definitions, job: str, instance: dg.DagsterInstance) -> dict[str, Any]:
    """Run a job to its end, and return what is shown of it."""
    ended = definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
    failures = [event.step_failure_data.user_failure_data for event in ended.get_step_failure_events()]
    made = [event.materialization for event in ended.get_asset_materialization_events()]
    return {
        "success": ended.success,
        "failures": [one and one.description for one in failures],
        "codes": [plain(one.metadata) for one in failures if one],
        "made": {one.asset_key.to_user_string(): plain(one.metadata) for one in made},
        "checked": {
            one.asset_key.to_user_string(): {"passed": one.passed, **plain(one.metadata)}
            for one in ended.get_asset_check_evaluations()
        },
        "log": [entry.user_message for entry in instance.all_logs(ended.run_id)],
    }


def plain(metadata: Any) -> dict[str, Any]:
    """Return metadata as values of JSON."""
    return {name: value.value for name, value in metadata.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
