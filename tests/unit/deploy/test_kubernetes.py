"""
The Kubernetes manifests: what they name is there, in themselves and in the program.

That they are what Kubernetes takes is checked against its own schemas by tests/integrations/test_kubernetes.py.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from etl import config
from etl.config.settings import WorkerSettings
from tests.unit.deploy.named import is_command, is_setting

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(KUBERNETES / f"{name}.yaml")
    return found


def pod(name: str) -> dict[str, Any]:
    """Return what the pods of a manifest are made by."""
    spec = manifest(name)["spec"]
    made: dict[str, Any] = (spec if name == "worker" else spec["jobTemplate"]["spec"])["template"]["spec"]
    return made


WORKLOADS = pytest.mark.parametrize("name", ["worker", "cronjob"])


@WORKLOADS
def test_the_schema_is_brought_up_before_the_worker(name: str) -> None:
    """With the same image, variables, files and rights, by commands that there are."""
    (before,), (worker,) = pod(name)["initContainers"], pod(name)["containers"]
    shared = ("image", "env", "securityContext", "resources", "volumeMounts")
    assert {key: before[key] for key in shared} == {key: worker[key] for key in shared}
    assert [before["args"], worker["args"]] == [["migrate"], ["worker"] if name == "worker" else ["worker", "--once"]]
    assert is_command(" ".join(before["args"]))
    assert is_command(" ".join(worker["args"]))


@WORKLOADS
def test_it_finds_its_configuration_and_its_secrets(name: str) -> None:
    """Every mount is of a volume, every volume is mounted, and the variables lead to the mounts."""
    volumes = {volume["name"]: volume for volume in pod(name)["volumes"]}
    (worker,) = pod(name)["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in worker["volumeMounts"]}
    variables = {one["name"]: one["value"] for one in worker["env"]}
    assert set(mounts) == set(volumes)
    assert variables["ETL_CONFIG"] == f"{mounts['config']}/config.toml"
    assert variables["ETL_SECRETS_DIR"] == mounts["secrets"]
    assert [variable for variable in variables if not is_setting(variable)] == []
    assert volumes["config"]["configMap"]["name"] == manifest("config")["metadata"]["name"]
    assert "config.toml" in manifest("config")["data"]
    assert volumes["secrets"]["secret"] == {"secretName": "call-warehouse", "defaultMode": 0o440}


def test_the_configuration_is_one(tmp_path: Path) -> None:
    """Together with the secrets that docs/deploying.md makes, it is all that a connection needs."""
    (tmp_path / "config.toml").write_text(manifest("config")["data"]["config.toml"], encoding="utf-8")
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    made = re.findall(r"--from-file=(\w+)=", page)
    assert made == ["warehouse__url", "connections__pairing__token", "notify__url"]
    values = ("postgresql://etl@db.example.com/warehouse", "sk-made-up", "https://hooks.example.com/services/1a2b3c")
    for name, value in zip(made, values, strict=True):
        (tmp_path / name).write_text(value, encoding="utf-8")
    settings = config.load(tmp_path / "config.toml", {"ETL_SECRETS_DIR": str(tmp_path)})
    assert list(settings.choose()) == ["pairing"]


def test_the_probes_ask_where_the_worker_listens() -> None:
    """At the paths of the worker, from outside of the pod."""
    (worker,) = pod("worker")["containers"]
    (port,) = worker["ports"]
    variables = {one["name"]: one["value"] for one in worker["env"]}
    assert variables["ETL_WORKER__LISTEN"] == f"0.0.0.0:{port['containerPort']}"
    assert {kind: worker[kind]["httpGet"] for kind in ("livenessProbe", "readinessProbe", "startupProbe")} == {
        "livenessProbe": {"path": "/healthz", "port": port["name"]},
        "readinessProbe": {"path": "/readyz", "port": port["name"]},
        "startupProbe": {"path": "/healthz", "port": port["name"]},
    }


@WORKLOADS
def test_it_runs_as_the_images_account_with_no_rights(name: str) -> None:
    """The account that the Dockerfile makes, a read-only image, no capability, no token of the cluster."""
    found = re.search(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert found is not None
    rights, (worker,) = pod(name)["securityContext"], pod(name)["containers"]
    assert {rights["runAsUser"], rights["runAsGroup"], rights["fsGroup"]} == {int(found[1])}
    assert rights["runAsNonRoot"] is True
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod(name)["automountServiceAccountToken"], pod(name)["enableServiceLinks"]) == (False, False)


@WORKLOADS
def test_it_may_take_its_time_to_stop(name: str) -> None:
    """Longer than the worker gives to the pages in flight."""
    assert timedelta(seconds=pod(name)["terminationGracePeriodSeconds"]) > WorkerSettings().stop_after


def test_pods_are_found_by_what_selects_them() -> None:
    """The Deployment's selector and the spread name the labels that its pods have."""
    spec = manifest("worker")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == labels
