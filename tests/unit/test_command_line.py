"""What holds for every command and every option."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

from etl.cli.app import app


def _parameters() -> dict[str, tuple[Any, Any]]:
    """Return the type of every parameter of every command, and what Typer is told of it, by their names."""
    callback = app.registered_callback
    functions = [callback and callback.callback, *(command.callback for command in app.registered_commands)]
    return {
        f"{function.__name__} {name}": typing.get_args(hint)
        for function in functions
        if function is not None
        for name, hint in typing.get_type_hints(function, include_extras=True).items()
        if typing.get_origin(hint) is typing.Annotated
    }


def test_no_path_is_checked_by_the_library() -> None:
    """What is wrong with a file is said by what reads it: without a parser of ours, Typer asks first whether it can be read."""
    paths = {name: told.parser for name, (kind, told) in _parameters().items() if Path in (kind, *typing.get_args(kind))}

    assert paths == {
        "options config": Path,
        "init path": Path,
        "backup path": Path,
        "restore path": Path,
        "export path": Path,
        "dashboards path": Path,
        "demo keep": Path,
        "forget write_to": Path,
        "forget read_from": Path,
    }
