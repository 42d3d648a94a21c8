"""What `etl check` looks at: configuration, database, schema, and every credential with one request each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from etl.cli.output import error_document, say, show_error, show_json, worst_code
from etl.config import ConnectionSettings, Settings
from etl.errors import EtlError
from etl.reading.probe import probe
from etl.reading.source import Source
from etl.system import system_effects
from etl.wiring import Invocation, Opened, account, connector, open_warehouse, settings_of


class Finding(NamedTuple):
    """The result of one check: what was found, or the error."""

    subject: str
    text: str
    error: EtlError | None = None


def check_everything(invocation: Invocation, *, as_json: bool) -> int:
    """Run all checks even if some fail, and return the most serious exit code."""
    settings = settings_of(invocation)
    chosen = settings.choose()
    findings = [Finding("configuration", f"{len(chosen)} connection{'' if len(chosen) == 1 else 's'}")]
    findings += _database(settings)
    findings += [_credential(settings, name, connection) for name, connection in chosen.items()]
    if as_json:
        show_json({"ok": not any(one.error for one in findings), "checks": [_document(one) for one in findings]})
    else:
        for one in findings:
            if one.error is None:
                say(f"ok      {one.subject}: {one.text}")
            else:
                say(f"failed  {one.subject}")
                show_error(one.error)
    return worst_code(one.error.exit_code for one in findings if one.error)


def _database(settings: Settings) -> list[Finding]:
    try:
        with open_warehouse(settings) as opened:
            opened.database.check_server()
            where = f"{opened.database.address}, {opened.database.privacy()}"
            return [Finding("database", where), _attempt("schema", lambda: _schema(opened, settings))]
    except EtlError as error:
        return [Finding("database", "", error)]


def _schema(opened: Opened, settings: Settings) -> str:
    from etl.warehouse import schema

    found = schema.current(opened.database)
    opened.database.require_rights(to_change=found != schema.head())
    if found is None:
        return "the warehouse is empty; the first `etl sync` makes its schema"
    schema.require_newest(opened.database)
    wanted, kept = settings.warehouse.reporting_timezone, schema.reporting_timezone(opened.database)
    ignored = f" (warehouse.reporting_timezone says {wanted}, which only an empty warehouse takes on)" if wanted != kept else ""
    return f"version {schema.head()}, days end at midnight {kept}{ignored}"


def _credential(settings: Settings, name: str, connection: ConnectionSettings) -> Finding:
    def ask() -> str:
        one = account(name, connection)
        effects = system_effects()
        with connector(settings, {name: connection}, effects=effects)(one, None) as api:
            total = probe(Source(one.provider, api), until=effects.clock.now(), span=timedelta(days=1))
        return f"{one.provider.title} accepts the credential" + (f" and counts {total}" if total else "")

    return _attempt(f"connection {name}", ask, connection=name)


def _attempt(subject: str, look: Callable[[], str], *, connection: str | None = None) -> Finding:
    try:
        return Finding(subject, look())
    except EtlError as error:
        return Finding(subject, "", error.of(connection) if connection else error)


def _document(one: Finding) -> dict[str, object]:
    error = one.error
    document: dict[str, object] = {"subject": one.subject, "ok": error is None, "text": one.text}
    if error is not None:
        document["error"] = error_document(error)
    return document
