"""Sentences on terminals of several widths, and without one."""

from __future__ import annotations

import pytest

from etl.cli.output import say, show_error, warn
from etl.errors import EtlError

SENTENCE = "telephony: 2 records could not become calls; they are kept with the reason, see: etl rejects telephony"
FOLDED = ["telephony: 2 records could not become calls; they are kept", "  with the reason, see: etl rejects telephony"]
ADDRESS = "https://api.example.com/" + "a" * 60


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Let both outputs be a terminal so wide."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)


def test_a_sentence_goes_on_below_at_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Indented, so that the next sentence can be told from it; on standard error and in errors too."""
    on_a_terminal(monkeypatch, 60)
    say(SENTENCE)
    warn(SENTENCE)
    show_error(EtlError(SENTENCE))

    said = capsys.readouterr()
    assert (said.out.splitlines(), said.err.splitlines()[:4]) == (FOLDED, FOLDED * 2)


def test_a_word_that_is_wider_stays_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be copied."""
    on_a_terminal(monkeypatch, 60)
    say(f"see {ADDRESS} there")

    assert capsys.readouterr().out.splitlines() == ["see", f"  {ADDRESS}", "  there"]


def test_without_a_terminal_a_sentence_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read it."""
    say(SENTENCE)
    warn(SENTENCE)

    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{SENTENCE}\n", f"{SENTENCE}\n")
