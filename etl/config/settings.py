"""Every key of the configuration, with its type and default."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, unquote_plus

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from etl import addresses
from etl.config import values
from etl.errors import UsageError
from etl.provider import Limit

Count = Annotated[int, BeforeValidator(values.number), Field(ge=1)]
Duration = Annotated[timedelta, BeforeValidator(values.duration)]
Folder = Annotated[Path, AfterValidator(values.folder)]
Seconds = Annotated[float, BeforeValidator(values.number), Field(allow_inf_nan=False, gt=0, le=86_400)]
Share = Annotated[float, BeforeValidator(values.number), Field(allow_inf_nan=False, ge=0, le=1)]
Schedule = Annotated[str, AfterValidator(values.schedule)]
Text = Annotated[str, Field(min_length=1)]

_PASSWORDS = (
    re.compile(r"://[^:/@]*:([^@]*)@"),
    re.compile(r"://[^:/@]*:(.*)@"),  # a password that contains an unescaped @
    re.compile(r"[?&](?:ssl)?password=([^&]*)"),
)
"""
Where an address may contain a password. These are patterns, because an address that cannot be parsed must be masked too.
"""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WarehouseSettings(_Section):
    """
    Where the calls go. Without `url` the embedded server is used; `data_dir`, `bin_dir` and `run_as` are for it only.

    `erasure_key` is what `etl forget` keeps erased persons out with.
    """

    url: SecretStr | None = None
    erasure_key: SecretStr | None = None
    reporting_timezone: Annotated[str, AfterValidator(values.zone)] = "UTC"
    distributed: bool = False
    data_dir: Folder | None = None
    bin_dir: Folder | None = None
    run_as: Text | None = None

    @field_validator("url")
    @classmethod
    def _is_a_database(cls, url: SecretStr | None) -> SecretStr | None:
        return url and SecretStr(values.database_url(url.get_secret_value()))

    @field_validator("erasure_key")
    @classmethod
    def _is_hard_to_guess(cls, key: SecretStr | None) -> SecretStr | None:
        return key and SecretStr(values.erasure_key(key.get_secret_value()))


class HttpSettings(_Section):
    """How patient requests are; `timeout`, `backoff` and `max_backoff` are seconds."""

    timeout: Seconds = 30.0
    max_attempts: Annotated[Count, Field(le=1000)] = 8
    backoff: Seconds = 0.5
    max_backoff: Seconds = 60.0
    max_response_mb: Annotated[Count, Field(le=4096)] = 64


class WorkerSettings(_Section):
    """
    How `etl worker` works: so many jobs at once; `stop_after` is how long it may take to end when it is told to.

    `listen` is where it serves metrics and its status page (host, port); None: nowhere.
    """

    concurrency: Annotated[Count, Field(le=64)] = 8
    listen: Annotated[tuple[str, int] | None, BeforeValidator(values.listen)] = ("127.0.0.1", 9464)
    stop_after: Duration = timedelta(seconds=45)


class RetentionSettings(_Section):
    """How long the program keeps its own records: runs (with what is as old as they), ended jobs, and audits."""

    runs: Duration = timedelta(days=400)
    jobs: Duration = timedelta(days=7)
    audits: Duration = timedelta(days=400)


class NotifySettings(_Section):
    """Who is told when a connection has been behind for `alert_after`, and when that is over; both addresses are secrets."""

    url: SecretStr | None = None
    heartbeat_url: SecretStr | None = None
    alert_after: Duration = timedelta(hours=2)

    @field_validator("url", "heartbeat_url")
    @classmethod
    def _can_be_told(cls, url: SecretStr | None) -> SecretStr | None:
        return url and SecretStr(addresses.hook(url.get_secret_value().strip()))


def _credential(value: SecretStr) -> SecretStr:
    return SecretStr(values.token(value.get_secret_value()))


OWN = "\0own"
"""Where the settings that one provider alone knows are gathered; no key of a file or a variable can be written like this."""


class ConnectionSettings(_Section):
    """
    One account at one provider. None means that the key is left out; then the provider's own facts apply.

    `own` holds what the provider alone knows (`etl.provider.Setting`); in the file it stands beside the other keys.
    """

    provider: str  # first, since other settings depend on it
    token: SecretStr | None = None
    start_date: Annotated[datetime, BeforeValidator(values.instant)] | None = None
    allow_http: bool = False  # before base_url, which depends on it
    base_url: Annotated[str, AfterValidator(values.base_url)] | None = None
    per_page: Annotated[Count, Field(le=1_000_000)] | None = None
    lookback: Duration | None = None
    retention: Duration | None = None
    rate_limit: Annotated[Limit, BeforeValidator(values.rate)] | None = None
    daily_requests: Count | None = None
    schedule: Schedule = "*/15 * * * *"
    audit_schedule: Schedule = "17 3 * * *"
    details: bool = True
    erase_transcripts_after: Duration | None = None
    erase_calls_after: Duration | None = None
    max_open_age: Duration = timedelta(days=7)
    max_delete_share: Share = 0.2
    currency: Annotated[str, AfterValidator(values.currency)] = "USD"
    agents: Annotated[tuple[Text, ...], BeforeValidator(values.agents), Field(min_length=1)] | None = None
    organization_id: Text | None = None
    own: dict[str, Annotated[SecretStr, AfterValidator(_credential)]] = Field(default_factory=dict, alias="\0own", exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _gathers_own(cls, data: Any) -> Any:
        """Gather what the provider alone knows; whatever else is unknown stays where it is, and is refused."""
        from etl import providers

        if not isinstance(data, dict) or not providers.is_known(data.get("provider")):
            return data
        names = {setting.name for setting in providers.get(data["provider"]).own}
        others = {key: value for key, value in data.items() if key not in names}
        return others | {OWN: {key: value for key, value in data.items() if key in names}}

    @field_validator("provider")
    @classmethod
    def _is_known(cls, provider: str) -> str:
        from etl import providers

        if not providers.is_known(provider):
            near = get_close_matches(provider, providers.names(), n=1)
            raise ValueError(f"is no provider; {_did_you_mean(near) or 'there are ' + ', '.join(providers.names())}")
        return provider

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        return token and _credential(token)

    @field_validator("base_url")
    @classmethod
    def _is_private(cls, base_url: str | None, info: ValidationInfo) -> str | None:
        if base_url:
            addresses.check_private(base_url, allow_http=bool(info.data.get("allow_http")))
        return base_url

    @field_validator("agents", "organization_id", "currency")
    @classmethod
    def _is_for_this_provider(cls, value: Any, info: ValidationInfo) -> Any:
        from etl import providers

        name = info.data.get("provider")
        if value is None or name is None or info.field_name in providers.get(name).settings:
            return value
        knowing = [other for other in providers.OURS if info.field_name in providers.get(other).settings]
        if knowing:
            raise ValueError(f"is a setting of {' and '.join(knowing)} only; leave it out here")
        return value

    def given(self, setting: str) -> SecretStr | str | None:
        """Return the value of a setting that requests carry, whether every provider knows it or this one alone."""
        value: SecretStr | str | None = self.own.get(setting) or getattr(self, setting, None)
        return value

    @property
    def secrets(self) -> frozenset[str]:
        """The credentials of this connection."""
        from etl import providers

        names = {setting.name for setting in providers.get(self.provider).own if setting.secret} if self.own else set()
        found = (self.token, *(value for name, value in self.own.items() if name in names))
        return frozenset(value.get_secret_value() for value in found if value is not None)


def connection_keys() -> list[str]:
    """Return the keys of a connection that do not belong to one provider."""
    return [name for name in ConnectionSettings.model_fields if name != "own"]


def owners() -> dict[str, list[str]]:
    """Return the settings that some of our providers alone know, each with the providers that do."""
    from etl import providers

    found: dict[str, list[str]] = {}
    for name in providers.OURS:
        for setting in providers.get(name).own:
            found.setdefault(setting.name, []).append(name)
    return found


class Settings(BaseSettings):
    """
    The whole configuration; secrets are masked in `repr`.

    `etl.config.sources` gathers the values and records where each came from. Reading the environment is left to it, not to
    pydantic.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    warehouse: WarehouseSettings = WarehouseSettings()
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()
    retention: RetentionSettings = RetentionSettings()
    notify: NotifySettings = NotifySettings()
    connections: dict[Annotated[str, AfterValidator(values.name)], ConnectionSettings] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use only the values passed in, so that pydantic reads neither the environment nor files."""
        return (init_settings,)

    @property
    def secrets(self) -> frozenset[str]:
        """All configured secrets, to be masked in logs: tokens, webhooks, database passwords, and the address that holds one."""
        known = {secret for one in self.connections.values() for secret in one.secrets}
        for hook in (self.notify.url, self.notify.heartbeat_url):
            if hook:
                known |= {hook.get_secret_value(), addresses.beyond_host(hook.get_secret_value())}
        if self.warehouse.erasure_key:
            known.add(self.warehouse.erasure_key.get_secret_value())
        if self.warehouse.url:
            url = self.warehouse.url.get_secret_value()
            passwords = {found[1] for form in _PASSWORDS for found in form.finditer(url)} - {""}
            known |= {url, *passwords, *map(unquote_plus, passwords), *map(unquote, passwords)} if passwords else set()
        return frozenset(known - {""})

    def named(self, names: tuple[str, ...] = ()) -> dict[str, ConnectionSettings]:
        """Return the connections of these names (none: all), with or without credentials. Raises UsageError if one is unknown."""
        unknown = [name for name in names if name not in self.connections]
        if unknown:
            near = get_close_matches(unknown[0], self.connections, n=1)
            raise UsageError(
                f"There is no connection {unknown[0]!r}.",
                safe="Nothing was started.",
                hint=_did_you_mean(near).capitalize() or f"Configured are: {', '.join(self.connections) or 'none'}.",
            )
        return {name: self.connections[name] for name in (names or self.connections)}

    def choose(self, names: tuple[str, ...] = ()) -> dict[str, ConnectionSettings]:
        """
        Return the connections of these names (none: all), each with the credentials that its provider requires.

        Raises UsageError that lists all missing credentials.
        """
        if not self.connections:
            raise UsageError(
                "No connection is configured.",
                safe="Nothing was started.",
                hint="In config.toml, take the # away from the lines of a connection and put its token in. Where there is no "
                "such file yet, run: etl init. To see it work without an account: etl demo",
            )
        chosen = self.named(names)
        problems = [problem for name, one in chosen.items() for problem in _missing(name, one)]
        if problems:
            raise UsageError(" ".join(problems), safe="Nothing was started.", hint="Then run: etl check")
        return chosen


def _missing(name: str, connection: ConnectionSettings) -> list[str]:
    from etl import providers

    provider = providers.get(connection.provider)
    problems = []
    for setting in provider.required_settings:
        if connection.given(setting) is None:
            source = provider.links.get(setting)
            where = f" It is made here: {source}." if source else ""
            variable = f"ETL_CONNECTIONS__{name}__{setting}".upper()
            problems.append(f"connections.{name}.{setting} is missing (or {variable}).{where}")
    return problems


def _did_you_mean(near: list[str]) -> str:
    return f"did you mean {near[0]}?" if near else ""
