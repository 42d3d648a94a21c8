"""The Kubernetes manifests are what Kubernetes takes, by its own published schemas; no cluster is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integrations.environments import ROOT, Environment, with_pip

MANIFESTS = ROOT / "deploy" / "kubernetes"
LOCK = Path(__file__).parent / "kubernetes" / "validate.lock"


@pytest.fixture(scope="session")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give an environment with the schemas of several versions."""
    made = with_pip(tmp_path_factory.mktemp("kubernetes") / "environment", Path(sys.executable), "newest")
    made.pip("install", "--quiet", "--require-hashes", "--no-deps", "-r", str(LOCK))
    return made


def validated(validator: Environment, path: Path, version: str) -> tuple[bool, str]:
    """Validate a manifest strictly: a field that the version does not know is an error."""
    program = validator.folder / "bin" / "kubernetes-validate"
    ended = subprocess.run([program, "--strict", "-k", version, path], capture_output=True, text=True, check=False)
    return ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("version", ["1.31", "1.35"])
@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(validator: Environment, path: Path, version: str) -> None:
    """Of each manifest, in an old version and a new one."""
    passed, said = validated(validator, path, version)
    assert passed, said


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("readinessProbe:", "readyProbe:"), ("periodSeconds: 5", "periodSeconds: often"), ("replicas:", "copies:")],
)
def test_what_is_wrong_is_found(validator: Environment, tmp_path: Path, right: str, wrong: str) -> None:
    """A misspelt field and a value of another type, however deep."""
    text = (MANIFESTS / "worker.yaml").read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "worker.yaml"
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    assert not validated(validator, path, "1.35")[0]
