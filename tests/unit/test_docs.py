"""Holds the documentation to the program: links, commands, options, settings and codes it names exist; all codes are in it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

import etl
from etl.cli.app import app
from etl.config.settings import (
    HttpSettings,
    NotifySettings,
    RetentionSettings,
    WarehouseSettings,
    WorkerSettings,
    connection_keys,
    owners,
)
from etl.errors import EtlError
from etl.reading.walks import Note

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SECTIONS: dict[str, set[str]] = {
    "warehouse": set(WarehouseSettings.model_fields),
    "http": set(HttpSettings.model_fields),
    "worker": set(WorkerSettings.model_fields),
    "retention": set(RetentionSettings.model_fields),
    "notify": set(NotifySettings.model_fields),
    "connections": set(connection_keys()),
}
NOT_SETTINGS = {"ETL_CONFIG", "ETL_SECRETS_DIR", "ETL_TEST_SERVER", "ETL_TEST_POSTGRES", "ETL_TEST_PICTURES"}
SHOWN_AS_WRONG = {("connections", "tokn")}
"""The misspelt key that pages show to tell what happens then."""

OTHERS_OPTIONS = re.compile(r"--(port|host|seed|start|past-days|no-limits|\w+-per-day)$")
"""The options of `python -m etl.sandbox`, which docs/sandbox.md names by themselves."""


def _text(page: Path) -> str:
    return page.read_text("utf-8")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(text: str, *languages: str) -> list[str]:
    """Return what stands in fenced blocks of these languages."""
    found: list[tuple[str, str]] = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def _spans(text: str) -> list[str]:
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _prose(text))]


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made by the usual renderers of Markdown."""
    headings: list[str] = re.findall(r"^#+ (.+)$", _prose(_text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _table(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading, without its own heading."""
    section = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def _codes(text: str, heading: str) -> list[str]:
    return [row[0].strip("| `") for row in _table(text, heading)]


# ── Links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_relative_links_resolve() -> None:
    """Every relative link of every page leads to a file that is there, and to a heading of it where it names one."""
    broken = []
    for page in PAGES:
        for link in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", _prose(_text(page))):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{_name(page)}: {link}")

    assert broken == []


def test_every_page_is_in_the_index() -> None:
    """docs/README.md links to every page below docs/."""
    linked = set(re.findall(r"\]\(([^)#\s]+\.md)", _text(ROOT / "docs" / "README.md")))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}

    assert pages - linked == {"README.md"}


def test_files_that_are_named_exist() -> None:
    """A path of the project that a page names in code is there; the one provider of the example that nobody has is not."""
    named = {
        (_name(page), span)
        for page in PAGES
        for span in _spans(_text(page))
        if re.fullmatch(r"(etl|docs|tests|migrations|examples)/[\w./-]*", span) and "acme" not in span
    }

    assert [f"{page}: {path}" for page, path in sorted(named) if not (ROOT / path).exists()] == []


def test_passages_of_files_are_in_them() -> None:
    """A block of Python whose first line names a file shows a passage of it as it stands, but for the indentation."""
    blocks = [block.partition("\n") for page in PAGES for block in _blocks(_text(page), "python")]
    passages = [(first[2:], passage) for first, _, passage in blocks if re.fullmatch(r"# [\w./-]+/[\w.-]+\.py", first)]
    texts = {name: (ROOT / name).read_text("utf-8") for name, _ in passages}
    strange = [
        name for name, passage in passages if not any(textwrap.indent(passage, " " * depth) in texts[name] for depth in (0, 4, 8))
    ]

    assert {name for name, _ in passages} == {"examples/dagster/calls.py", "examples/airflow/calls.py"}
    assert strange == []


# ── The command line ────────────────────────────────────────────────────────────────────────────────────────────────

CLI: Any = typer.main.get_command(app)
"""The group of commands that Typer makes; of a type that differs between its versions."""


def _options(command: Any) -> set[str]:
    return {"--help", "-h", *(option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts))}


def _words(line: str) -> list[str]:
    """Split a line of shell up to where the command ends; a line that is not shell has no words."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    ends = [index for index, word in enumerate(words) if word in {"|", "||", "&&", "&", ";", ">"} or word.startswith((">", "…"))]
    return words[: min(ends, default=len(words))]


def _invocations(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the arguments of every `etl …` on a page, and whether it is marked as not yet there."""
    for span, mark in re.findall(r"`etl\s([^`]+)`(\s\(not yet\))?", _prose(text)):
        yield _words(span), bool(mark)
    for block in _blocks(text, "", "sh", "console", "ini"):
        for line in block.splitlines():
            found = re.search(r"(?:^|[\s=/;&])etl ((?:-|[a-z]).*)$", line)
            if found and not re.search(r"\b(useradd|ROLE|TO|OWNER) etl\b", line):
                yield _words(found[1]), False


def _wrong(words: list[str], *, marked: bool) -> str | None:
    """Say what of an invocation the program does not know."""
    known, command = _options(CLI), None
    takes_value = {option for parameter in CLI.params if not parameter.is_flag for option in parameter.opts}
    rest = iter(words)
    for word in rest:
        if command is None and not word.startswith("-"):
            command = CLI.commands.get(word)
            if (command is None) != marked:
                return f"{word} is marked as not yet there" if marked else f"there is no command {word}"
            if command is None:
                return None
            known = _options(command)
        elif word.startswith("-"):
            if word.partition("=")[0] not in known:
                return f"there is no option {word}"
            if command is None and word in takes_value:
                next(rest, None)
    return None


def test_commands_and_options_exist() -> None:
    """Every `etl …` that a page shows or mentions is a command with these options; what is to come says `(not yet)`."""
    seen = [(page, words, marked) for page in PAGES for words, marked in _invocations(_text(page))]
    wrong = [
        f"{_name(page)}: etl {' '.join(words)}: {problem}"
        for page, words, marked in seen
        if (problem := _wrong(words, marked=marked)) is not None
    ]

    assert len(seen) > 40, "the pages are no longer read as they should be"
    assert wrong == []


def test_commands_that_are_not_there_are_found_out() -> None:
    """The check above notices an unknown command, an unknown option, and a mark that is out of date."""
    assert _wrong(["synk"], marked=False) == "there is no command synk"
    assert _wrong(["sync", "--fully"], marked=False) == "there is no option --fully"
    assert _wrong(["--config", "sync", "status", "--limit"], marked=False) == "there is no option --limit"
    assert _wrong(["sync"], marked=True) == "sync is marked as not yet there"
    assert _wrong(["--config", "FILE", "sync", "voice", "--full"], marked=False) is None


def test_options_by_themselves_exist() -> None:
    """An option that a page mentions alone (`--json`) is one of some command."""
    known = set().union(_options(CLI), *(_options(command) for command in CLI.commands.values()))
    strange = {
        f"{_name(page)}: {span}"
        for page in PAGES
        for span in _spans(_text(page))
        if (option := re.match(r"--[\w-]+", span)) and option[0] not in known and not OTHERS_OPTIONS.match(option[0])
    }

    assert strange == set()


def test_every_command_is_documented() -> None:
    """Every command is named on some page."""
    named = {words[0] for page in PAGES for words, _ in _invocations(_text(page)) if words}

    assert set(CLI.commands) - named == set()


def test_the_readme_names_every_command() -> None:
    """Its list is whole: whoever reads no other page knows what there is."""
    named = {words[0] for words, _ in _invocations(_text(ROOT / "README.md")) if words}

    assert set(CLI.commands) - named == set()


# ── The configuration ───────────────────────────────────────────────────────────────────────────────────────────────


def _keys(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield section and key of everything in a TOML block; keys outside of any section are a connection's."""
    for section, value in tree.items():
        if section == "connections":
            for settings in value.values():
                yield from (("connections", key) for key in settings)
        elif isinstance(value, dict):
            yield from ((section, key) for key in value)
        else:
            yield "connections", section


def _named_keys(text: str) -> Iterator[tuple[str, str]]:
    for block in _blocks(text, "toml"):
        if "[project." not in block:  # a distribution's own pyproject.toml
            yield from _keys(tomllib.loads(block.replace("…", "")))
    for span in _spans(text):
        if found := re.fullmatch(r"(warehouse|http|worker|retention|notify)(?:\.|__)([a-z_]+)", span):
            yield found[1], found[2]
        elif found := re.fullmatch(r"connections(?:\.|__)[a-zA-Z0-9]+(?:\.|__)([a-z_]+)", span):
            yield "connections", found[1]
    for variable in set(re.findall(r"\bETL_[A-Z_]+\b", text)) - NOT_SETTINGS - {"ETL_"}:
        section, _, rest = variable.removeprefix("ETL_").lower().partition("__")
        yield section, rest.rpartition("__")[2]


def test_settings_that_are_named_exist() -> None:
    """Every key of the configuration that a page names, in TOML, as a dotted key, a file or a variable, is one."""
    seen = {(_name(page), section, key) for page in PAGES for section, key in _named_keys(_text(page))}
    known = SECTIONS | {"connections": SECTIONS["connections"] | set(owners())}
    unknown = {(page, section, key) for page, section, key in seen if key not in known.get(section, set())}

    assert len(seen) > 20, "the pages are no longer read as they should be"
    assert {entry for entry in unknown if entry[1:] not in SHOWN_AS_WRONG} == set()


def test_every_setting_is_documented() -> None:
    """docs/configuration.md has each section's keys, all of them and no other."""
    text = _text(ROOT / "docs" / "configuration.md")

    assert {
        "warehouse": set(_codes(text, "## [warehouse]")),
        "http": set(_codes(text, "## [http]")),
        "worker": set(_codes(text, "## [worker]")),
        "retention": set(_codes(text, "## [retention]")),
        "notify": set(_codes(text, "## [notify]")),
        "connections": set(_codes(text, "## [connections.NAME]")),
    } == SECTIONS


# ── Codes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _errors(kind: type[EtlError] = EtlError) -> Iterator[type[EtlError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.startswith("etl."):
            yield from _errors(below)


def test_error_codes_are_documented() -> None:
    """docs/operating.md has every error code of the program once, with its exit code, and no other."""
    for module in pkgutil.walk_packages(etl.__path__, "etl."):
        if not module.name.endswith("__main__") and not module.name.startswith("etl.migrations"):
            importlib.import_module(module.name)
    rows = _table(_text(ROOT / "docs" / "operating.md"), "## Error codes")
    documented = sorted((row[0].strip("| `"), int(row[1])) for row in rows)

    assert documented == sorted({(kind.code, kind.exit_code) for kind in _errors()})
    assert {len(row) for row in rows} == {5}


def _finding_codes() -> set[str]:
    """Return the codes of the findings that the program writes down as such, and those of the walks' notes."""
    codes = {note.value for note in Note}
    for path in (ROOT / "etl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                given = next((word.value for word in node.keywords if word.arg == "code"), None)
                if isinstance(given, ast.Constant):
                    codes.add(str(given.value))
    return codes


def test_findings_are_documented() -> None:
    """docs/operating.md has every code of a finding once, and no other."""
    assert sorted(_codes(_text(ROOT / "docs" / "operating.md"), "## Findings")) == sorted(_finding_codes())
