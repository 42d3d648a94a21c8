"""An error is told in three sentences, and names its connection once, whoever raised it."""

from __future__ import annotations

import pytest

from etl.cli.output import error_document, show_errors
from etl.errors import AlreadyRunning, ConnectionFailed, EtlError, WarehouseError

NAMES = ("a", "list", "connection", "pairing")


def failure() -> EtlError:
    """An error whose sentence holds letters and words that are names of connections too."""
    return ConnectionFailed("the list of a connection did not end.", safe="Nothing was stored.", hint="Ask the provider.")


def test_an_error_without_a_connection_is_its_sentences() -> None:
    """What concerns no connection names none."""
    error = failure()

    assert (error.connection, error.headline) == (None, "the list of a connection did not end.")
    assert str(error) == "the list of a connection did not end. Nothing was stored. Ask the provider."


@pytest.mark.parametrize("name", NAMES)
def test_every_form_names_the_connection_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The text, the document and the terminal agree, even if the sentence holds the name as a word or as a letter."""
    error = failure().of(name)
    show_errors([error])

    said = f"Connection {name}: the list of a connection did not end."
    assert str(error) == f"{said} Nothing was stored. Ask the provider."
    assert error_document(error) == {
        "code": "failed",
        "happened": said,
        "safe": "Nothing was stored.",
        "hint": "Ask the provider.",
    }
    assert capsys.readouterr().err.splitlines() == [said, "Nothing was stored.", "Ask the provider."]


def test_a_name_is_set_once() -> None:
    """Who passes an error on does not rename it, nor name it twice."""
    error = failure()

    assert error.of("voice") is error
    assert error.of("voice").of("devices").headline == "Connection voice: the list of a connection did not end."


def test_what_the_database_failed_at_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """It stopped every connection in the same way; other errors are told for each of them."""
    down = [WarehouseError("No server answers.", hint="Start it.").of(name) for name in NAMES]
    busy = [AlreadyRunning("another run is working on it.").of(name) for name in ("voice", "devices")]
    show_errors([*down[:2], *busy, *down[2:]])

    assert capsys.readouterr().err.splitlines() == [
        "No server answers.",
        "Start it.",
        "Connection voice: another run is working on it.",
        "Connection devices: another run is working on it.",
    ]
    assert str(down[0]) == "Connection a: No server answers. Start it."
