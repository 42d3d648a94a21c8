"""The rules of the project that no other tool holds: what may stand in which file."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from etl import config, providers
from etl.sandbox import Sandbox, demo_history
from etl.sandbox import config as sandbox_config

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
LONGEST = 400
OURS = providers.OURS


def _files() -> list[Path]:
    """Return what is, or would be, under version control: all of the checkout but what .gitignore names."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]
    folders = ("etl", "migrations", "tests", "docs", "benchmarks")  # an unpacked archive has no history
    return [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _texts() -> dict[str, str]:
    texts = {}
    for path in _files():
        try:
            texts[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
    return texts


def _lines(pattern: str, texts: dict[str, str]) -> list[str]:
    found = re.compile(pattern)
    return [
        f"{name}:{number}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if found.search(line)
    ]


def _python(folder: str) -> dict[str, str]:
    return {name: text for name, text in _texts().items() if name.startswith(f"{folder}/") and name.endswith(".py")}


def test_no_registry_is_named() -> None:
    """No file names the host of a package registry: a checkout takes packages from where its machine is told to."""
    hosts = r"pypi\.or" + r"g|pythonhosted\.or" + r"g|--(extra-)?index-ur" + r"l[ =]|--find-link" + "s"

    assert _lines(hosts, _texts()) == []


def test_no_path_of_a_machine() -> None:
    """No file names a home directory or the folder in which somebody works."""
    paths = r"(?<![\w.~-])/(root|home/\w+|Users/\w+|work/(main|shared))(?![\w-])"

    assert _lines(paths, _texts()) == []


def test_module_names_say_something() -> None:
    """No module is called by a name under which anything could stand."""
    names = {Path(name).stem for folder in ("etl", "migrations", "tests") for name in _python(folder)}
    names |= {part for folder in ("etl", "tests") for name in _python(folder) for part in Path(name).parts[:-1]}

    assert names & FORBIDDEN_MODULES == set()


def test_files_are_short() -> None:
    """No module has more than 400 lines; 250 are the aim."""
    long = {
        name: lines
        for folder in ("etl", "migrations")
        for name, text in _python(folder).items()
        if (lines := len(text.splitlines())) > LONGEST and "/versions/" not in name
    }

    assert long == {}


def test_provider_files_are_small() -> None:
    """A provider is one file of under 200 lines."""
    assert {
        name: len((ROOT / f"etl/providers/{name}.py").read_text("utf-8").splitlines()) < 200 for name in OURS
    } == dict.fromkeys(OURS, True)


def test_provider_names_stay_in_their_places() -> None:
    """No module but a provider's own, the registry and the sandbox names a provider."""
    # `tuple` is a word of the language, so only the quoted name counts.
    names = r"(?i)bimpe|salpre|krosai|[\"']tuple[\"']"
    elsewhere = {name: text for name, text in _python("etl").items() if not name.startswith(("etl/providers/", "etl/sandbox/"))}

    assert _lines(names, elsewhere) == []


@pytest.mark.parametrize("folder", ["etl", "tests"])
def test_modules_say_what_they_know(folder: str) -> None:
    """Every module that holds anything begins with a docstring."""
    silent = [
        name
        for name, text in _python(folder).items()
        if text.strip() and not re.match(r'(#!.*\n)?r?"""', text) and "/payloads/" not in name
    ]

    assert silent == []


def test_every_test_states_its_behaviour() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{name}: {node.name}"
        for name, text in _python("tests").items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ast.get_docstring(node) is None
    ]

    assert silent == []


def test_readme_commands_exist() -> None:
    """Every `make` target that the README shows is in the Makefile, and every file that it links to is there."""
    readme, makefile = (ROOT / "README.md").read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    shown = set(re.findall(r"(?m)^make (\w+)", readme))
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)

    assert {"demo", "test", "lint", "help"} <= shown
    assert [target for target in sorted(shown) if not re.search(rf"(?m)^{target}:", makefile)] == []
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_changelog_is_kept() -> None:
    """CHANGELOG.md has a section for what is not released yet, and uses the kinds of change that Keep a Changelog knows."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert "\n## [Unreleased]\n" in text
    assert set(re.findall(r"(?m)^### (.+)$", text)) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def _locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;]+)", (ROOT / name).read_text("utf-8")))


def test_locks_agree() -> None:
    """Both lock files have the same versions, every dependency is in them, and every file in them has a hash."""
    runtime, everything = _locked("requirements-runtime.lock"), _locked("requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = {re.split(r"[^\w-]", line)[0] for line in project["project"]["dependencies"]}
    wanted = {re.split(r"[^\w-]", line)[0] for line in project["dependency-groups"]["dev"]}

    assert runtime.items() <= everything.items()
    assert needed <= runtime.keys()
    assert wanted <= everything.keys()
    for name, count in (("requirements-runtime.lock", len(runtime)), ("requirements.lock", len(everything))):
        blocks = re.split(r"(?m)^(?=\S)", (ROOT / name).read_text("utf-8"))
        assert sum("--hash=sha256:" in block for block in blocks) == count


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md has a row for each direct dependency with the version that is locked, and for nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    direct = [*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"]]
    needed, locked = {re.split(r"[^\w-]", line)[0] for line in direct}, _locked("requirements.lock")

    text = (ROOT / "docs/dependencies.md").read_text("utf-8")
    said: dict[str, str] = {}
    for names, _, versions, _ in re.findall(r"(?m)^\| (`.+?) \| (.+?) \| (.+?) \| (.+?) \|$", text):
        plain = re.sub(r"\(.*?\)", "", names)
        said |= zip(re.findall(r"`([\w-]+)`", plain), versions.split(", "), strict=True)

    assert said == {name: locked[name] for name in needed}


def test_images_are_built_on_exact_versions() -> None:
    """A base image is named by a version of three numbers (PostgreSQL: two), or by its digest."""
    files = [ROOT / "Dockerfile", ROOT / "dashboards/serve/Dockerfile", ROOT / "docker-compose.yml"]
    images = [image for file in files for image in re.findall(r"(?m)^(?:FROM|\s+image:) (\S+)", file.read_text("utf-8"))]

    ours = {"call-warehouse", "call-warehouse-dashboards"}
    exact = re.compile(r"python:\d+\.\d+\.\d+-\S+|postgres:\d+\.\d+\S*|\S+@sha256:[0-9a-f]{64}")
    assert [image for image in images if image not in ours and not exact.fullmatch(image)] == []
    assert len(images) > len(ours)


@pytest.mark.parametrize("example", ["dagster", "airflow"])
def test_an_examples_lock_holds_what_we_need(example: str) -> None:
    """An orchestrator runs beside our own versions: `make lock` has both files agree."""
    assert _locked("requirements-runtime.lock").items() <= _locked(f"examples/{example}/requirements.lock").items()


@pytest.mark.parametrize(
    ("text", "code", "found"),
    [
        (f"{'<' * 7} HEAD\nours\n{'=' * 7}\ntheirs\n{'>' * 7} main\n", 2, ["notes.md:1:", "notes.md:3:", "notes.md:5:"]),
        (f"{'|' * 7} 1a2b3c4\n", 2, ["notes.md:1:"]),
        (f"Heading\n{'=' * 8}\n\na {'<' * 7} b\n{'>' * 3} quoted\n", 0, []),
    ],
    ids=["conflict", "common ancestor", "none"],
)
def test_a_merge_left_half_done_is_found(tmp_path: Path, text: str, code: int, found: list[str]) -> None:
    """A part of `make lint` names every line that git leaves where two versions disagree."""
    (tmp_path / "notes.md").write_text(text, encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "notes.md"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    made = subprocess.run(
        ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "markers"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (made.returncode, re.findall(r"(?m)^notes\.md:\d+:", made.stderr)) == (code, found)


def test_a_check_that_cannot_look_finds_nothing_good(tmp_path: Path) -> None:
    """Outside of version control the check for markers fails, rather than pass over files that it does not see."""
    made = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "markers"],
        cwd=tmp_path,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        check=False,
    )

    assert made.returncode == 2


def test_compose_file_fits_the_program() -> None:
    """The compose file's sandbox connections are those that the sandbox says to paste, and its secrets are settings."""
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    environ = dict(re.findall(r"(?m)^ +(ETL_CONNECTIONS__\w+): (.+)$", text))
    nothing = Path(os.devnull)
    connections = config.load(nothing, environ, container_secrets=nothing).connections
    with Sandbox(demo_history()) as sandbox:
        served = tomllib.loads(sandbox_config(sandbox))["connections"]
        port = str(sandbox.port)

    assert {
        name: (one.provider, one.token and one.token.get_secret_value(), one.base_url) for name, one in connections.items()
    } == {name: (one["provider"], one["token"], one["base_url"].replace(port, "8900")) for name, one in served.items()}
    listen = dict(re.findall(r'(ETL_WORKER__LISTEN): "([^"]+)"', text))
    assert config.load(nothing, listen, container_secrets=nothing).worker.listen == ("0.0.0.0", 9464)
    secrets = {f"ETL_{name.upper()}": "postgresql://db/x" for name in re.findall(r"(?m)^  (\w+__\w+):$", text)}
    assert config.load(nothing, environ | secrets, container_secrets=nothing).warehouse.url is not None
