"""The watcher for whoever does not want to be told of progress."""

from __future__ import annotations


class Silence:
    """A watcher that shows nothing."""

    def stream_started(self, connection: str, stream: str) -> None:
        """Do nothing."""

    def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
        """Do nothing."""

    def stream_finished(self, connection: str, stream: str) -> None:
        """Do nothing."""
