"""Knows which settings and commands the program has, for what names them outside of it."""

from __future__ import annotations

import shlex
from typing import Any

import typer.main

from etl.cli.app import app
from etl.config.settings import ConnectionSettings, Settings
from etl.config.sources import CONFIG, SECRETS_DIR


def is_setting(variable: str) -> bool:
    """Return whether an environment variable is one of the program's."""
    if variable in (CONFIG, SECRETS_DIR):
        return True
    section, *keys = variable.removeprefix("ETL_").lower().split("__")
    if section == "connections":
        return len(keys) == 2 and keys[1] in ConnectionSettings.model_fields
    model: Any = Settings.model_fields[section].annotation if section in Settings.model_fields else None
    return len(keys) == 1 and (model is not None and keys[0] in model.model_fields)


def is_command(line: str) -> bool:
    """Return whether the program has this command with these options."""
    word, *options = shlex.split(line)
    command: Any = typer.main.get_command(app)
    found = command.commands.get(word)
    return found is not None and {*options} <= {option for parameter in found.params for option in parameter.opts}
