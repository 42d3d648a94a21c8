"""Loads the configuration: file, then secrets, then environment. All problems are reported together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from etl.config.problems import describe
from etl.config.settings import ConnectionSettings, HttpSettings, NotifySettings, RetentionSettings, Settings, WarehouseSettings
from etl.config.sources import CONTAINER_SECRETS, gather
from etl.errors import UsageError

__all__ = [
    "ConnectionSettings",
    "HttpSettings",
    "NotifySettings",
    "RetentionSettings",
    "Settings",
    "WarehouseSettings",
    "example",
    "load",
]


def load(path: Path | None, environ: Mapping[str, str], *, container_secrets: Path = CONTAINER_SECRETS) -> Settings:
    """
    Return the settings of the file at `path` (None: `$ETL_CONFIG`, else `./config.toml`, which may be absent), of the secrets
    directory (`$ETL_SECRETS_DIR`, else the containers') and of the environment. A later source overrides an earlier one.

    Raises UsageError that lists every problem with its place, but never a value.
    """
    found = gather(path, environ, container_secrets=container_secrets)
    problems = list(found.problems)
    # A name that begins with _ is an argument of pydantic's constructor, not a key of the configuration.
    problems += [f"{key}: unknown key; known are {', '.join(Settings.model_fields)}" for key in found.tree if key[:1] == "_"]
    try:
        settings = Settings(**{key: value for key, value in found.tree.items() if key[:1] != "_"})
    except ValidationError as exc:
        problems += describe(exc, found.origins)
    if problems:
        told = problems[0] if len(problems) == 1 else "".join(f"\n  {problem}" for problem in problems)
        raise UsageError(
            f"The configuration is not valid: {told}" + ("." if len(problems) == 1 and told[-1].isalnum() else ""),
            safe="\nNothing was started." if len(problems) > 1 else "Nothing was started.",
            hint="etl init example.toml writes every key with its meaning; docs/configuration.md has more.",
        ) from None  # the cause holds the values, secrets included
    return settings


def example() -> str:
    """Return the commented configuration that `etl init` writes."""
    return (Path(__file__).parent / "example.toml").read_text(encoding="utf-8")
