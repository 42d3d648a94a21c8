"""Where settings come from: a TOML file, a directory of secrets, the environment."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from etl.config.settings import HttpSettings, NotifySettings, RetentionSettings, WarehouseSettings, connection_keys
from etl.errors import UsageError
from etl.model import JSON

PREFIX = "ETL_"
CONFIG, SECRETS_DIR, TESTS = "ETL_CONFIG", "ETL_SECRETS_DIR", "ETL_TEST_"
DEFAULT_FILE = Path("config.toml")
CONTAINER_SECRETS = Path("/run/secrets")
"""The directory where containers find their secrets by convention."""

_TWICE = "This key or section stands in the file already: keep one of the two."
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z][A-Za-z0-9_]*)\s*=\s*(?=[^=\s])")
_SECTION = re.compile(r"(warehouse|http|worker|retention|notify|connections)__(.+)")


class Setting(NamedTuple):
    """One value (always text) from outside the file: its keys, and the name of its source for messages."""

    keys: tuple[str, ...]
    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that was found: the merged tree, the source of each value that is not from the file, and the problems."""

    tree: dict[str, JSON]
    origins: Mapping[tuple[str, ...], str]
    problems: tuple[str, ...]


def gather(path: Path | None, environ: Mapping[str, str], *, container_secrets: Path = CONTAINER_SECRETS) -> Found:
    """
    Read the file, then the secrets, then the environment. A later source overrides an earlier one.

    `path` is the file that was asked for; None: `$ETL_CONFIG`, else `./config.toml`, which may be absent.
    Raises UsageError for a file that cannot be read.
    """
    if path is None and environ.get(CONFIG):
        path = Path(environ[CONFIG]).expanduser()
    tree = _document(path or DEFAULT_FILE) if path or DEFAULT_FILE.exists() else {}
    problems: list[str] = []
    settings = [*_secrets(environ, container_secrets, problems), *_environment(environ, problems)]
    for setting in settings:
        _put(tree, setting)
    return Found(tree=tree, origins={setting.keys: setting.origin for setting in settings}, problems=tuple(problems))


# ── The file ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _document(path: Path) -> dict[str, JSON]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(
            f"The configuration file {path} does not exist.",
            safe="Nothing was started.",
            hint=f"Run: etl init {shlex.quote(str(path))}, or name another one: etl --config FILE …",
        ) from None
    except OSError as exc:
        raise UsageError(
            f"The configuration file {path} cannot be read: {exc.strerror}.",
            safe="Nothing was started.",
            hint="Let the account that runs etl read it, or name another one with --config.",
        ) from exc
    except UnicodeDecodeError:
        raise UsageError(
            f"The configuration file {path} is not UTF-8 text.", safe="Nothing was started.", hint="Save it as UTF-8."
        ) from None
    except RecursionError:
        raise UsageError(
            f"The configuration file {path} nests lists or tables far deeper than any setting.",
            safe="Nothing was started.",
            hint="Is it the right file? `etl init` writes one to compare with.",
        ) from None
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(
            f"The configuration file {path} is not valid TOML: {exc}.",
            safe="Nothing was started.",
            hint=_TWICE if str(exc).startswith(("Cannot", "Duplicate")) else 'Text stands in quotes: token = "…"',
        ) from None  # the cause may hold the whole document, tokens included
    except ValueError:  # a number with thousands of digits
        raise UsageError(
            f"The configuration file {path} holds a number that is too large to read.",
            safe="Nothing was started.",
            hint='Text stands in quotes: token = "…"',
        ) from None


# ── Secrets and environment ─────────────────────────────────────────────────────────────────────────────────────────


def _secrets(environ: Mapping[str, str], container_secrets: Path, problems: list[str]) -> Iterator[Setting]:
    """Yield the values in the secrets directory. Files whose names do not begin with one of our sections are ignored."""
    given = environ.get(SECRETS_DIR)
    folder = Path(given).expanduser() if given else container_secrets
    if not folder.is_dir():
        if given:
            problems.append(f"{SECRETS_DIR}: there is no such directory")
        return
    try:
        files = sorted(folder.iterdir())
    except OSError as exc:
        problems.append(f"{SECRETS_DIR}: the directory cannot be read: {exc.strerror}")
        return
    for file in files:
        keys = _keys(file.name.lower())
        if keys is None:
            continue
        try:
            value = _unwrapped(file.read_text(encoding="utf-8-sig").strip())
            named = _ASSIGNMENT.match(value)
            if named and named[1].lower() in (keys[-1], file.name.lower(), f"{PREFIX}{file.name}".lower()):
                value = _unwrapped(value[named.end() :])
            elif named:
                problems.append(f"secret file {file.name}: begins with {named[1]}=; such a file holds the value alone")
                continue
            yield Setting(keys, value, f"secret file {file.name}")
        except OSError as exc:
            problems.append(f"secret file {file.name}: cannot be read: {exc.strerror}")
        except UnicodeDecodeError:
            problems.append(f"secret file {file.name}: is not UTF-8 text")


def _environment(environ: Mapping[str, str], problems: list[str]) -> Iterator[Setting]:
    """
    Yield the values of the environment variables; an empty one counts as not set.

    An unknown variable with our prefix is a problem only if it resembles one of ours or has their form (`__`). Others have
    another origin: a Kubernetes Service called `etl` sets `ETL_PORT`, `ETL_SERVICE_HOST` and similar ones.
    """
    for name, value in sorted(environ.items()):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in (CONFIG, SECRETS_DIR) or upper.startswith(TESTS):
            continue
        keys = _keys(name[len(PREFIX) :].lower())
        if keys is not None:
            if value:
                yield Setting(keys, _unwrapped(value), f"environment variable {name}")
        elif "__" in name or _meant(upper):
            problems.append(f"{name}: unknown environment variable{_near(upper)}")


def _keys(name: str) -> tuple[str, ...] | None:
    """Return the keys in a name like `connections__pairing__token`. A connection's name may contain `__`, a key may not."""
    found = _SECTION.fullmatch(name)
    if found is None:
        return None
    section, rest = found.groups()
    if section != "connections":
        return (section, rest)
    connection, mark, key = rest.rpartition("__")
    return (section, connection, key) if mark and connection and key else None


def _unwrapped(value: str) -> str:
    """Return a value without enclosing quotes. A shell or TOML would remove them, but Docker, for example, does not."""
    quote, inner = value[:1], value[1:-1]
    quoted = len(value) > 1 and quote in "\"'" and value[-1] == quote and quote not in inner
    return inner.strip() if quoted else value


def _near(name: str) -> str:
    meant = _meant(name)
    return f"; did you mean {meant}?" if meant else " (the form is ETL_SECTION__KEY or ETL_CONNECTIONS__NAME__KEY)"


def _meant(name: str) -> str | None:
    """Return the variable of ours that was probably meant by an unknown one with a wrong letter or a missing `_`."""
    for key in sorted(connection_keys(), key=len, reverse=True):
        if found := re.fullmatch(rf"{PREFIX}CONNECTIONS?_(\w+?)_+{key}", name, re.IGNORECASE):
            return f"{PREFIX}CONNECTIONS__{found[1].strip('_')}__{key}".upper()
    sections: dict[str, type[BaseModel]] = {
        "WAREHOUSE": WarehouseSettings,
        "HTTP": HttpSettings,
        "RETENTION": RetentionSettings,
        "NOTIFY": NotifySettings,
    }
    keys = {f"{PREFIX}{name}__{key}".upper() for name, section in sections.items() for key in section.model_fields}
    known = {CONFIG, SECRETS_DIR, "ETL_CONNECTIONS__NAME__TOKEN", *keys}
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6 if "__" in name else 0.85)
    return close[0] if close else None


def _put(tree: dict[str, JSON], setting: Setting) -> None:
    """Set one value in the tree. If the file has a value where a table should be, the model reports it."""
    place = tree
    for key in setting.keys[:-1]:
        below = place.setdefault(key, {})
        if not isinstance(below, dict):
            return
        place = below
    place[setting.keys[-1]] = setting.value
