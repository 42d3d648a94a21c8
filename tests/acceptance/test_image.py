"""The image: what `.dockerignore` admits is enough for the Dockerfile's own steps, and the wheel is that of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = ("Dockerfile", "dashboards/serve/Dockerfile")


def rules(text: str) -> list[tuple[re.Pattern[str], bool]]:
    """Return the patterns of a `.dockerignore` in their order, each with whether it admits what others leave out."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(_pattern(line.removeprefix("!").strip("/")), line.startswith("!")) for line in lines]


def _pattern(glob: str) -> re.Pattern[str]:
    """Return what matches a path as Go's filepath.Match does, with Docker's `**` for any number of folders."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts))


def admitted(path: PurePosixPath, among: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether Docker takes a file: the last pattern decides that matches it or a folder in which it is."""
    names = [str(path), *map(str, path.parents)][:-1]
    decisions = [admits for pattern, admits in among if any(pattern.fullmatch(name) for name in names)]
    return decisions[-1] if decisions else True


def files() -> Iterator[PurePosixPath]:
    """Yield the files of the checkout, also those that no version control knows, but for hidden folders."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (PurePosixPath(Path(folder, name).relative_to(ROOT).as_posix()) for name in names)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Give a copy of what Docker is given to build from."""
    among = rules((ROOT / ".dockerignore").read_text("utf-8"))
    for path in files():
        if admitted(path, among):
            (tmp_path / "context" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tmp_path / "context" / path)
    return tmp_path / "context"


def copies(dockerfile: str) -> Iterator[tuple[list[str], str]]:
    """Yield the sources and the target of each COPY of a Dockerfile that takes from what Docker is given."""
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", (ROOT / dockerfile).read_text("utf-8")):
        *sources, target = [word for word in line.split() if not word.startswith("--")]
        yield sources, target


def built(folder: Path, into: Path) -> dict[str, bytes]:
    """Build the wheel as the Dockerfile does, and return its files."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    (path,) = into.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("a.py", False),
        ("etl/a.py", True),
        ("etl/rooms/a.py", True),
        ("etl/rooms/__pycache__/a.pyc", False),
        ("etlx/a.py", False),
        ("dashboards/serve/inside/a.py", True),
        ("dashboards/serve/__main__.py", False),
        ("config.toml", False),
    ],
)
def test_the_rules_are_read_as_docker_reads_them(path: str, taken: bool) -> None:
    """A pattern counts for all that lies below, the last one decides, and `*` ends at a folder."""
    text = "# this is no pattern\n*\n!etl\n!dashboards/serve/inside/\n**/__pycache__\n"

    assert admitted(PurePosixPath(path), rules(text)) is taken


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_the_dockerfiles_copy_is_admitted(context: Path, dockerfile: str) -> None:
    """Each source of each COPY is there."""
    sources = [source for found, _ in copies(dockerfile) for source in found]

    assert sources != []
    assert [source for source in sources if not (context / source).exists()] == []


def test_pages_name_only_programs_that_are_in_the_image() -> None:
    """The environment in the image has our program and its Python; pip, which has made it, is taken out of it again."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "docker-compose.yml"]
    named = {name for page in pages for name in re.findall(r"/opt/etl/bin/(\w+)", page.read_text("utf-8"))}

    assert named <= {"etl", "python"}
    assert "/opt/etl/bin/pip uninstall --yes pip" in (ROOT / "Dockerfile").read_text("utf-8")


def test_the_images_wheel_is_that_of_the_checkout(context: Path, tmp_path: Path) -> None:
    """File by file: with the schema, the templates, the types and the dashboards, and without what secrets may be in."""
    source = tmp_path / "source"
    source.mkdir()
    for sources, target in copies("Dockerfile"):
        for one in sources:
            given, place = context / one, source / target
            if given.is_dir():
                shutil.copytree(given, place, dirs_exist_ok=True)  # Docker copies what is in a folder
            else:
                shutil.copy2(given, place)

    image, checkout = built(source, tmp_path / "image"), built(ROOT, tmp_path / "checkout")

    assert image.keys() == checkout.keys()
    assert [name for name in image if image[name] != checkout[name]] == []
    migrations = {f"etl/migrations/versions/{path.name}" for path in (ROOT / "migrations" / "versions").glob("*.py")}
    bundle = {f"etl/dashboards/superset/{path.name}" for path in (ROOT / "dashboards" / "superset").glob("*.toml")}
    others = {path.relative_to(ROOT).as_posix() for path in (ROOT / "etl").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {"etl/py.typed", *migrations, *bundle, *others} <= image.keys()
    assert [path.name for path in context.iterdir() if path.name in {"config.toml", "secrets", ".env", ".git"}] == []
