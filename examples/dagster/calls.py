"""
The call warehouse in Dagster: an asset for each connection, and a check of each that proves its calls.

    pip install . dagster dagster-webserver         # `.` is the checkout of the call warehouse
    ETL_CONFIG=/etc/call-warehouse/config.toml dagster dev -f calls.py
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import dagster as dg

from etl.library import AuditOutcome, Outcome, Settings, audit, load_settings, sync

One = TypeVar("One", bound=Outcome)


def definitions(settings: Settings) -> dg.Definitions:
    """Return the assets and checks of all connections, with a sync every 15 minutes and a proof every night."""
    connections = {dg.AssetKey(["calls", name]): name for name in settings.connections}
    about = {"group_name": "calls", "kinds": {"postgres"}, "skippable": True}

    # One step for all, and in it one call: connections with one token share its allowance, and all of them the sessions.
    @dg.multi_asset(specs=[dg.AssetSpec(key, **about) for key in connections], can_subset=True)
    def sync_calls(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        names = sorted(connections[key] for key in context.selected_asset_keys)
        for one in done(context, sync(settings, names)):
            yield dg.MaterializeResult(asset_key=["calls", one.connection], metadata=metadata(one))

    @dg.multi_asset_check(specs=[dg.AssetCheckSpec("complete", asset=key) for key in connections], can_subset=True)
    def prove_calls(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        names = sorted(connections[check.asset_key] for check in context.selected_asset_check_keys)
        for one in done(context, audit(settings, names), fine=(None,)):  # what was not looked at is not proven
            yield dg.AssetCheckResult(
                asset_key=["calls", one.connection], check_name="complete", passed=not one.stands, metadata=proof(one)
            )

    synced = dg.define_asset_job("sync", dg.AssetSelection.assets(sync_calls).without_checks())
    proven = dg.define_asset_job("prove", dg.AssetSelection.checks(prove_calls))
    return dg.Definitions(
        assets=[sync_calls],
        asset_checks=[prove_calls],
        schedules=[
            dg.ScheduleDefinition(job=synced, cron_schedule="*/15 * * * *"),
            dg.ScheduleDefinition(job=proven, cron_schedule="37 2 * * *"),
        ],
    )


def done(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    outcomes: Iterable[One],
    *,
    fine: Sequence[int | None] = (None, 0),  # no error, or: done as far as the day's requests go
) -> Iterator[One]:
    """Give the outcomes of what was done, leave out what another run is doing, and fail if anything failed, when all is told."""
    failed = []
    for one in outcomes:
        code = one.error.exit_code if one.error else None
        if code in fine:
            yield one
        elif code == 3:
            context.log.warning(str(one.error))
        else:
            failed.append(one)
    if failed:
        raise dg.Failure("\n".join(str(one.error) for one in failed), {one.connection: one.error.code for one in failed})


def metadata(one: Outcome) -> dict[str, object]:
    """Return what Dagster shows, and draws over time, of a sync."""
    counters = one.counters
    return {
        "run": one.run_id,
        "status": one.status.value,
        "inserted": counters.inserted,
        "updated": counters.updated,
        "deleted": counters.deleted,
        "rejected": counters.rejected,
        "requests": counters.requests,
        "findings": [finding.text for finding in one.findings],
    }


def proof(one: AuditOutcome) -> dict[str, object]:
    """Return what Dagster shows of an audit."""
    return {
        "disagreements": one.disagreements,
        "checked": one.checked,
        "verdicts": {verdict.stream: verdict.verdict.value for verdict in one.verdicts},
    }


defs = definitions(load_settings())
