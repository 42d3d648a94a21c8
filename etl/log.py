"""
What happens is told as events: by the command line on stderr, by the library to Python's own logging, as its host has set it up.

Either way secrets, e-mail addresses and phone numbers are masked.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from etl.printable import printable, printable_lines

MASK = "***"

_EMAIL = re.compile(r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?:\+|%2[Bb])[1-9](?:[ .()-]{0,2}[0-9]){6,14}")
_SECRET_NAME = re.compile(r"token|secret|password|passwd|authorization|api_?key|cookie", re.IGNORECASE)


def configure(*, level: str = "info", secrets: Iterable[str] = (), stream: TextIO | None = None, colors: bool = True) -> None:
    """
    Send events of `level` and above, and warnings of other libraries, to `stream` (None: stderr).

    On a terminal they are aligned text, coloured unless `colors` is false (`NO_COLOR`); elsewhere one JSON document per line.
    Each of `secrets` is masked wherever it occurs. May be called again, for instance once the settings are loaded.
    """
    out = stream if stream is not None else sys.stderr
    terminal = out.isatty()
    number = logging.getLevelNamesMapping()[level.upper()]
    rendering: list[Processor] = (
        [shown, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [structlog.processors.JSONRenderer()]  # which escapes whatever is not plain
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    masking = Redaction(secrets)
    _in_use.append(masking)
    ending: list[Processor] = [structlog.processors.format_exc_info, masking, *rendering]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    handler.addFilter(_in_one_line)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Leave the traceback out of what the queue's library tells: it logs one whenever the database goes away."""
    if record.name.startswith("procrastinate"):
        record.exc_info = record.exc_text = None
        record.msg, record.args = " ".join(record.getMessage().split()), None
    return True


class Logger:
    """
    Tells the events of a module.

    Once `configure` was called they take its way. Before that, which is how a host uses the library, a logger of Python's own
    logging with the module's name has them: message and level as usual, the parts apart as `event` and `fields` of the record.
    structlog's own configuration is then the host's and not used, since its default would print.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **fields: object) -> None:
        """Tell something that went as it should."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell something that somebody may have to look at."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell something that ends what was going on."""
        self._tell(logging.ERROR, event, fields)

    def fault(self, event: str, **fields: object) -> None:
        """Tell a fault of our own that is being handled, with where it is."""
        self._tell(logging.ERROR, event, {**fields, "exc_info": True})

    def _tell(self, level: int, event: str, fields: dict[str, object]) -> None:
        if _in_use:
            structlog.get_logger(self._name).log(level, event, **fields)
            return
        host = logging.getLogger(self._name)
        if not host.isEnabledFor(level) or not host.hasHandlers():  # Python would print what nobody handles
            return
        told: EventDict = dict(fields)
        for masking in (_PERSONAL, *_masked):
            told = masking(host, "", told)
        words = " ".join((event, *(f"{name}={value}" for name, value in told.items())))
        host.log(level, "%s", printable(words), extra={"event": event, "fields": told})


@contextmanager
def masked(secrets: Iterable[str]) -> Iterator[None]:
    """Mask these secrets too in whatever is told to Python's own logging during the block, by whichever thread."""
    masking = Redaction(secrets)
    _masked.append(masking)
    try:
        yield
    finally:
        _masked.remove(masking)


def shown(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Escape what a terminal would obey instead of showing it; only a traceback has several lines."""
    return {key: _shown(value, printable_lines if key == "exception" else printable) for key, value in event_dict.items()}


def _shown(value: object, fit: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _shown(below, fit) for key, below in value.items()}
    if isinstance(value, list):
        return [_shown(element, fit) for element in value]
    return fit(value) if isinstance(value, str) else value


def redacted(text: str) -> str:
    """
    Return a text of unknown origin without the secrets that the log masks.

    As long as no configuration was read none is known: then nothing of the text is shown.
    """
    return _in_use[-1].text(text) if _in_use else MASK


class Redaction:
    """Masks secrets, e-mail addresses and phone numbers in every value of an event, however deep it stands."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Mask these `secrets` too. The longest comes first, since one may be part of another."""
        known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
        """Return the event with everything masked."""
        return {self.text(str(key)): self._named(str(key), value) for key, value in event_dict.items()}

    def _named(self, name: str, value: object) -> Any:
        if _SECRET_NAME.search(name) and isinstance(value, str | bytes):
            return MASK
        return self._value(value)

    def _value(self, value: object) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._named(str(key), below) for key, below in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(element) for element in value]
        return self.text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))

    def text(self, text: str) -> str:
        """Return a text with everything masked."""
        if self._secrets:
            text = self._secrets.sub(MASK, text)
        return _PHONE.sub(MASK, _EMAIL.sub(MASK, text))


_in_use: deque[Redaction] = deque(maxlen=1)
"""What the last `configure` masks; empty as long as the process is a host's."""

_masked: list[Redaction] = []
_PERSONAL = Redaction()
