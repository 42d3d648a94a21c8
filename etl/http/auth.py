"""The credentials of one connection: how they are sent, and how they are kept out of messages and logs."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Protocol

from etl.addresses import is_credential
from etl.errors import UsageError
from etl.provider import Basic, Provider

SAID_LENGTH = 200
"""The maximum number of characters shown of a provider's own words."""

_READ_LENGTH = 4000
_GRAM = 6
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_PRIVATE = (
    (re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+"), "[e-mail]"),
    (re.compile(r"\b(?:bearer|basic|digest)\s+[^\s\"',;]+", re.IGNORECASE), "[secret]"),
    (re.compile(r"\b[a-z]{2,8}[-_](?:[a-z]+[-_])*(?=[\w-]*\d)[\w-]{8,}", re.IGNORECASE), "[id]"),
    (re.compile(r"(?=[\w+/=.-]*\d)[\w+/=-]{20,}"), "[id]"),
    (re.compile(r"\+?\(?\d(?:[\s().\-/]{0,2}\d){6,}"), "[number]"),
)


class Secret(Protocol):
    """A value that hides itself, as pydantic's `SecretStr` does."""

    def get_secret_value(self) -> str:
        """Return the value itself."""
        ...


class Credentials:
    """
    The credential headers of one connection.

    Raises UsageError where a required one is missing, or holds a character that no header can carry.
    """

    def __init__(self, provider: Provider, values: Mapping[str, str | Secret], *, connection: str) -> None:
        self._headers: dict[str, str] = {}
        self.basic = ""  # the header's value, where there is a login of two settings
        self.form: Mapping[str, str] = {}  # what is posted to fetch a token
        self._secrets: list[str] = []
        self._settings: list[str] = []
        self._provider, self._values, self._connection = provider, values, connection
        for header in provider.headers:
            if (value := self._value(header.setting, required=header.required)) is not None:
                self._headers[header.name] = header.template.format(value=value)
        if (login := provider.login) is not None:
            users = (self._value(setting, required=setting == login.user[-1]) for setting in login.user)
            user, password = next(one for one in users if one is not None), self._value(login.password, required=True)
            pair = b64encode(f"{user}:{password}".encode()).decode()
            self.basic = f"Basic {pair}"
            self._secrets.append(pair.lower())
            if isinstance(login, Basic):
                self._headers["Authorization"] = self.basic
            else:
                named = {one.name: self._value(one.name, required=one.required) or "" for one in provider.own if not one.secret}
                self.form = {key: value.format_map(named) for key, value in login.form.items()}
        self._given = len(self._secrets)
        sent = provider.sent_settings
        self.where = _where(provider, "token" if "token" in sent else sent[0]) if sent else ""

    def _value(self, name: str, *, required: bool) -> str | None:
        """Return a setting's value, and remember that it is sent. Raises UsageError where it is missing or cannot be sent."""
        given = self._values.get(name)
        value = ((given if given is None or isinstance(given, str) else given.get_secret_value()) or "").strip()
        setting = f"connections.{self._connection}.{name}"
        if not value:
            if required:
                raise UsageError(f"{setting} is missing.", hint=_where(self._provider, name))
            return None
        login = self._provider.login
        if not is_credential(value) or (login is not None and name in login.user and ":" in value):
            raise UsageError(
                f"{setting} holds a character that cannot be sent (a space, a line break, or one outside ASCII).",
                hint="Copy it again. " + _where(self._provider, name),
            )
        if name not in {one.name for one in self._provider.own if not one.secret}:
            self._secrets.append(value.lower())
        self._settings.append(setting)
        return value

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._settings)})"

    @property
    def settings(self) -> str:
        """The names of the settings whose values are sent, for use in a message."""
        return " and ".join(self._settings)

    def headers(self) -> Mapping[str, str]:
        """Return the headers with the credentials, as they are sent."""
        return self._headers

    def hide(self, secret: str) -> None:
        """Keep a further secret out of messages: a token that was fetched, in the place of the one before."""
        self._secrets = [*self._secrets[: self._given], secret.lower()]

    def clean(self, text: str) -> str:
        """Return a provider's own words in one line of at most `SAID_LENGTH` characters, free of secrets and personal data."""
        text = _CONTROL.sub(" ", text[:_READ_LENGTH]).strip()
        text = self.without(text)
        for pattern, instead in _PRIVATE:
            text = pattern.sub(instead, text)
        return text if len(text) <= SAID_LENGTH else text[: SAID_LENGTH - 1] + "…"

    def without(self, text: str) -> str:
        """Return the text with `[secret]` in place of each word that contains a secret or a longer part of one."""
        return " ".join("[secret]" if self._betrays(word) else word for word in text.split(" "))

    def _betrays(self, word: str) -> bool:
        word = word.lower()
        for secret in self._secrets:
            grams = {secret[start : start + _GRAM] for start in range(max(1, len(secret) - _GRAM + 1))}
            if any(gram in word for gram in grams):
                return True
        return False


def _where(provider: Provider, setting: str) -> str:
    link = provider.links.get(setting)
    return f"You find it at {link}." if link else f"You get it from {provider.title}."
