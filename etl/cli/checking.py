"""What `etl check` looks at: configuration, database, schema, and every account with a few requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from etl.cli.output import error_document, say, show_error, show_json, warn, worst_code
from etl.cli.rebuilding import zone_pending
from etl.cli.surveying import Surveyed
from etl.config import ConnectionSettings, NotifySettings, Settings
from etl.effects import Effects
from etl.errors import EtlError
from etl.printable import number_of
from etl.reading.source import Source
from etl.reading.survey import survey
from etl.runs.account import Account
from etl.runs.allowances import AllowanceBook
from etl.runs.streams import not_begun
from etl.runs.terms import Want
from etl.system import system_effects
from etl.wiring import (
    Connector,
    Invocation,
    Opened,
    account,
    kept_allowances,
    limits_of,
    no_book,
    open_warehouse,
    settings_of,
)


class Finding(NamedTuple):
    """The result of one check: what was found, of an account in detail, or the error."""

    subject: str
    text: str
    error: EtlError | None = None
    account: Surveyed | None = None


def check_everything(invocation: Invocation, *, as_json: bool) -> int:
    """Run all checks even if some fail, and return the most serious exit code."""
    settings = settings_of(invocation)
    chosen = settings.choose()
    findings = [Finding("configuration", f"{len(chosen)} connection{'' if len(chosen) == 1 else 's'}")]
    findings += _database_and_credentials(settings, chosen)
    findings.append(Finding("alerts", _told_to(settings.notify)))
    if as_json:
        show_json({"ok": not any(one.error for one in findings), "checks": [_document(one) for one in findings]})
    else:
        for one in findings:
            if one.error is None:
                say(f"ok      {one.subject}: {one.text}")
                for line in one.account.lines() if one.account is not None else ():
                    say(f"        {line}")
            else:
                say(f"failed  {one.subject}")
                show_error(one.error)
    return worst_code(one.error.exit_code for one in findings if one.error)


def _told_to(notify: NotifySettings) -> str:
    """Say who is told, without asking anybody: a message that nobody needs would be one."""
    whom = "go to the webhook of notify.url" if notify.url else "are only logged, since notify.url is not set"
    pulse = "there is a heartbeat" if notify.heartbeat_url else "there is no heartbeat"
    return f"they {whom}; {pulse} (nothing was sent)"


def _database_and_credentials(settings: Settings, chosen: Mapping[str, ConnectionSettings]) -> list[Finding]:
    """Look at the database first: where it holds a warehouse, the requests for the credentials count there."""
    findings: list[Finding] = []
    effects = system_effects()
    try:
        with open_warehouse(settings) as opened:
            opened.database.check_server()
            findings.append(Finding("database", f"{opened.database.address}, {opened.database.privacy()}"))
            findings.append(_attempt("schema", lambda: _schema(opened, settings)))
            if findings[-1].error is None and not opened.is_empty():
                findings += _erasures(opened)
                with kept_allowances(opened, effects=effects) as book:
                    return findings + _credentials(settings, chosen, effects=effects, book=book)
    except EtlError as error:
        findings.append(Finding("database", "", error))
    return findings + _credentials(settings, chosen, effects=effects, book=no_book())


def _schema(opened: Opened, settings: Settings) -> str:
    from etl.warehouse import distributing, jobs, schema

    found, due = schema.due(opened.database)
    opened.database.require_rights(to_change=bool(due))
    if found is None:
        return "the warehouse is empty; the first `etl sync` makes its schema"
    schema.require_newest(opened.database)
    jobs.require(opened.database)
    wanted, kept = settings.warehouse.reporting_timezone, schema.reporting_timezone(opened.database)
    pending = f" ({zone_pending(wanted)})" if wanted != kept else ""
    if settings.warehouse.distributed and distributing.due(opened.database):
        pending += "; warehouse.distributed is true, which is taken on by: etl migrate"
    return f"version {found}, days end at midnight {kept}{pending}"


def _erasures(opened: Opened) -> list[Finding]:
    """Look whether what keeps forgotten persons out is configured; nothing where nobody was ever forgotten."""
    from etl.warehouse.privacy.erasures import check_key, count_erased

    try:
        check_key(opened.database)
    except EtlError as error:
        return [Finding("erasure key", "", error)]
    persons, calls = count_erased(opened.database)
    if not persons and not calls:
        return []
    return [Finding("erasure key", f"{number_of(persons, 'person')} forgotten, {number_of(calls, 'call')} erased")]


def _credentials(
    settings: Settings, chosen: Mapping[str, ConnectionSettings], *, effects: Effects, book: AllowanceBook
) -> list[Finding]:
    connect = Connector(settings, chosen, effects=effects, book=book)

    def ask(one: Account) -> Finding:
        now, connection = effects.clock.now(), chosen[one.connection]
        future = not_begun(one, Want(), now=now)
        with connect.reserved(one), connect(one) as api:
            since = None if future else one.start_date
            found = survey(Source(one.provider, api, one.own), since=since, until=now, only=one.agents)
            spent = connect.spent(one)
        if found.apart is not None:
            warn(
                f"connection {one.connection}: {found.apart}. "
                "One of the two is wrong: set this machine's clock, or tell the provider."
            )
        accepted = f"{one.provider.title} accepts the credential" + (f"; {future}" if future else "")
        limits = limits_of(connection, one.provider)
        surveyed = Surveyed(account=one, survey=found, limits=limits, daily=connection.daily_requests, spent=spent)
        return Finding(f"connection {one.connection}", accepted, account=surveyed)

    findings = []
    for name, connection in chosen.items():
        try:
            findings.append(ask(account(name, connection)))
        except EtlError as error:
            findings.append(Finding(f"connection {name}", "", error.of(name)))
    return findings


def _attempt(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, look())
    except EtlError as error:
        return Finding(subject, "", error)


def _document(one: Finding) -> dict[str, object]:
    error = one.error
    document: dict[str, object] = {"subject": one.subject, "ok": error is None, "text": one.text}
    if one.account is not None:
        document["account"] = one.account.document()
    if error is not None:
        document["error"] = error_document(error)
    return document
