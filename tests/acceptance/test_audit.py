"""`etl audit` proves what is held against the provider's counts and against itself; `--repair` mends what disagrees."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.audit.lifecycle import audit_connection, repair_connection
from etl.audit.port import AuditOutcome
from etl.cli.auditing import exit_code
from etl.model import Verdict
from etl.runs.terms import RunStatus, Want
from etl.system import SystemThreads
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.locks import Locks
from etl.wiring import account
from tests.acceptance.cast import CAST, COUNTED, NAMES, PROVIDERS
from tests.acceptance.stage import START, Stage

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHILD = {"tuple": "call_participants", "bimpe": "call_messages"}


def audited(stage: Stage, provider: str, *, repair: bool = False) -> AuditOutcome:
    """Audit the connection at a provider as `etl audit` does."""
    settings = stage.configured()
    chosen = settings.choose((NAMES[provider],))
    ((name, connection),) = chosen.items()
    audit = repair_connection if repair else audit_connection
    with stage.surroundings(AuditedWarehouse) as given:
        return audit(account(name, connection), connect=stage.connect(settings, chosen, given), given=given)


def loaded(stage: Stage, provider: str, *, number: int = 60) -> None:
    """Fill the provider with calls an hour apart, and load them."""
    for hours in range(number):
        stage.history.add(provider, at=START - (30 + hours) * HOUR, number=2)
    outcome = stage.sync(provider)
    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)


def verdict(outcome: AuditOutcome) -> Verdict:
    """Return the verdict of the only stream."""
    assert outcome.error is None
    (one,) = outcome.verdicts
    return one.verdict


def tell(text: str) -> None:
    """Show how many requests were used (with -s)."""
    print(text)  # noqa: T201 - asked for by whoever runs it


def damage(stage: Stage, statement: str, **values: object) -> None:
    """Change the warehouse by hand."""
    with stage.database.begin() as session:
        session.exec_driver_sql(statement, values)


def facts(stage: Stage, provider: str) -> dict[str, dict[str, object]]:
    """Return all calls without the instants and runs of their observation."""
    observed = {
        "first_seen_at",
        "last_changed_at",
        "changed_at",
        "observed_at",
        "detail_observed_at",
        "detail_due_at",
        "last_run_id",
    }
    volatile = {"recording_url", "raw", "detail", "content_hash"} if provider in ("krosai", "salpre") else {"content_hash"}
    return {
        call_id: {name: value for name, value in row.items() if name not in observed | volatile}
        for call_id, row in stage.calls(provider).items()
    }


@pytest.mark.parametrize("provider", COUNTED)
def test_an_intact_warehouse_is_complete_and_nothing_is_written(stage: Stage, provider: str) -> None:
    """The counts agree up to the lookback; calls of the last hours do not disturb."""
    loaded(stage, provider)
    stage.history.add(provider, number=7, at=START - timedelta(minutes=5))
    before = stage.calls(provider)
    stage.sandbox.clear_requests()

    outcome = audited(stage, provider)

    (one,) = outcome.verdicts
    assert (one.verdict, one.provider_count, one.warehouse_count, one.rejected_count) == (Verdict.COMPLETE, 120, 120, 0)
    assert outcome.error is None
    assert (outcome.disagreements, outcome.run_id, exit_code([outcome])) == (0, None, 0)
    assert stage.calls(provider) == before
    tell(f"{provider}: {outcome.requests} requests")
    (row,) = stage.rows("SELECT verdict, provider_count, range_start::text AS start FROM sync.audits")
    assert row == {"verdict": "complete", "provider_count": 120, "start": row["start"]}


def test_salpre_is_never_complete_but_unverifiable(stage: Stage) -> None:
    """A provider without totals proves nothing, and the audit says so; that is no failure."""
    loaded(stage, "salpre")

    outcome = audited(stage, "salpre")

    (one,) = outcome.verdicts
    assert (one.verdict, one.provider_count, one.warehouse_count) == (Verdict.UNVERIFIABLE, None, None)
    assert one.note == "the provider does not say how many calls there are, so nothing can be compared"
    assert exit_code([outcome]) == 0


def test_without_totals_a_repair_reads_the_whole_list_again(stage: Stage) -> None:
    """Nothing tells that rows are missing, so nothing but reading everything can bring them back."""
    loaded(stage, "salpre")
    before = facts(stage, "salpre")
    gone = sorted(before, key=lambda call_id: before[call_id]["occurred_at"])[10:110:49]  # type: ignore[arg-type,return-value]
    damage(stage, "DELETE FROM calls WHERE call_id = ANY(%(ids)s)", ids=gone)

    mended = audited(stage, "salpre", repair=True)

    tell(f"salpre: {mended.requests} requests")
    assert (verdict(mended), mended.error) == (Verdict.UNVERIFIABLE, None)
    assert facts(stage, "salpre") == before
    (run,) = stage.rows("SELECT status, kind, inserted FROM sync.runs WHERE id = %(id)s", {"id": mended.run_id})
    assert run == {"status": "succeeded", "kind": "repair", "inserted": len(gone)}


@pytest.mark.parametrize("provider", COUNTED)
def test_deleted_rows_are_found_named_and_brought_back(stage: Stage, provider: str) -> None:
    """Three rows deleted by hand, far apart: each is named, read again, and the counts agree afterwards."""
    loaded(stage, provider)
    before = facts(stage, provider)
    gone = sorted(before, key=lambda call_id: before[call_id]["occurred_at"])[10:110:49]  # type: ignore[arg-type,return-value]
    for table in ("calls", "call_participants", "call_messages"):
        damage(stage, f"DELETE FROM {table} WHERE call_id = ANY(%(ids)s)", ids=gone)

    found = audited(stage, provider)
    assert verdict(found) is Verdict.MISMATCH
    assert exit_code([found]) == 1
    assert {(one.call_id, one.differs, one.mended) for one in found.named} == {(one, ("missing",), False) for one in gone}
    assert not set(gone) & stage.ids(provider)

    mended = audited(stage, provider, repair=True)
    tell(f"{provider}: {found.requests} requests to find, {mended.requests} to repair")
    assert verdict(mended) is Verdict.REPAIRED
    assert {(one.call_id, one.differs, one.mended) for one in mended.named} == {(one, ("missing",), True) for one in gone}
    for one in gone:
        assert facts(stage, provider)[one] == before[one]
    assert facts(stage, provider) == before
    assert verdict(audited(stage, provider)) is Verdict.COMPLETE
    (run,) = stage.rows("SELECT status, kind, inserted FROM sync.runs WHERE id = %(id)s", {"id": mended.run_id})
    assert run == {"status": "succeeded", "kind": "repair", "inserted": len(gone)}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_altered_column_is_named_and_rewritten_from_the_record(stage: Stage, provider: str) -> None:
    """No request is needed for it, no version is kept of it, and no value is told."""
    loaded(stage, provider, number=5)
    before, versions = stage.calls(provider), stage.rows("SELECT count(*) FROM call_history")
    one, other, *_ = sorted(before)
    damage(stage, "UPDATE calls SET duration_seconds = 999999, status = 'failed' WHERE call_id = %(id)s", id=one)
    day_before = "timezone('UTC', timezone('UTC', cursor_at) - interval '1 day')"  # as distributed tables take it too
    damage(stage, f"UPDATE calls SET cursor_at = {day_before} WHERE call_id = %(id)s", id=other)

    found = audited(stage, provider)
    assert {one.call_id: one.differs for one in found.named if one.differs != ("missing",)} == {
        one: ("status", "duration_seconds"),
        other: ("cursor_at",),
    }
    assert verdict(found) is Verdict.MISMATCH

    mended = audited(stage, provider, repair=True)
    assert verdict(mended) is (Verdict.REPAIRED if CAST[provider].totals else Verdict.UNVERIFIABLE)
    assert mended.mended == mended.disagreements == 2
    after = stage.calls(provider)
    written = {"last_run_id": 0, "changed_at": None}
    assert {name: row | written for name, row in after.items()} == {name: row | written for name, row in before.items()}
    moved = {name for name, row in after.items() if row["changed_at"] != before[name]["changed_at"]}
    assert moved and moved < set(after)  # who copies calls on sees what was mended, and nothing else
    assert stage.rows("SELECT count(*) FROM call_history") == versions


@pytest.mark.parametrize("provider", ["tuple", "krosai", "salpre"])
def test_a_copy_under_another_id_is_found_and_removed(stage: Stage, provider: str) -> None:
    """A row whose record is another call's never was a call of the provider."""
    loaded(stage, provider, number=5)
    before = stage.calls(provider)
    original = min(before)
    columns = ", ".join(name for name in before[original] if name not in ("call_id", "day"))
    damage(
        stage,
        f"INSERT INTO calls (call_id, {columns}) SELECT 'copy-1', {columns} FROM calls WHERE call_id = %(id)s",
        id=original,
    )

    found = audited(stage, provider)
    assert ("copy-1", ("duplicate",)) in {(one.call_id, one.differs) for one in found.named}

    mended = audited(stage, provider, repair=True)
    assert [(one.call_id, one.differs, one.mended) for one in mended.named] == [("copy-1", ("duplicate",), True)]
    assert stage.calls(provider) == before


@pytest.mark.parametrize("provider", CHILD)
def test_children_that_were_removed_or_belong_to_no_call_are_mended(stage: Stage, provider: str) -> None:
    """A child removed by hand is written again from the record; one of no call is removed."""
    loaded(stage, provider, number=30)
    table = CHILD[provider]
    before = sorted(map(str, stage.rows(f"SELECT * FROM {table}")))
    (victim, *_) = stage.rows(f"SELECT * FROM {table} ORDER BY call_id")
    key = "participant_id" if provider == "tuple" else "message_id"
    damage(stage, f"DELETE FROM {table} WHERE call_id = %(id)s AND {key} = %(key)s", id=victim["call_id"], key=victim[key])
    extra = {"tuple": "", "bimpe": ", position"}[provider]
    damage(
        stage,
        f"INSERT INTO {table} (connection, call_id, {key}{extra}) VALUES (%(name)s, 'nobody', '1'{', 1' if extra else ''})",
        name=NAMES[provider],
    )

    found = audited(stage, provider)
    assert {one.call_id: one.differs for one in found.named} == {
        victim["call_id"]: (table,),
        "nobody": (f"{table} of no call",),
    }

    mended = audited(stage, provider, repair=True)
    assert verdict(mended) is Verdict.REPAIRED
    assert sorted(map(str, stage.rows(f"SELECT * FROM {table}"))) == before


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_damaged_record_is_read_again(stage: Stage, provider: str) -> None:
    """Where the list record itself is unusable, the provider is asked for the stretch it stood in."""
    loaded(stage, provider, number=20)
    before = facts(stage, provider)
    victim = sorted(before)[7]
    damage(stage, "UPDATE calls SET raw = '[]' WHERE call_id = %(id)s", id=victim)

    mended = audited(stage, provider, repair=True)

    tell(f"{provider}: {mended.requests} requests")
    assert [(one.call_id, one.differs, one.mended) for one in mended.named] == [(victim, ("raw",), True)]
    assert verdict(mended) is (Verdict.REPAIRED if CAST[provider].totals else Verdict.UNVERIFIABLE)
    assert facts(stage, provider) == before


@pytest.mark.parametrize("place", ["oldest", "fourth"])
@pytest.mark.parametrize("provider", COUNTED)
def test_a_call_deleted_long_ago_at_the_provider_moves_to_the_history(stage: Stage, provider: str, place: str) -> None:
    """Below the lookback a sync does not see it; the audit does, and a repair proves it before it buries the call."""
    loaded(stage, provider)
    by_age = sorted(stage.calls(provider).values(), key=lambda row: (row["cursor_at"], row["call_id"]))
    gone = by_age[0 if place == "oldest" else 3]["call_id"]
    stage.history.delete(provider, gone)
    stage.sync(provider)
    assert gone in stage.ids(provider)

    found = audited(stage, provider)
    assert [(one.call_id, one.differs) for one in found.named] == [(gone, ("not_at_provider",))]

    mended = audited(stage, provider, repair=True)
    assert verdict(mended) is Verdict.REPAIRED
    assert stage.ids(provider) == stage.truth_ids(provider)
    assert stage.rows("SELECT call_id, deleted FROM call_history WHERE deleted") == [{"call_id": gone, "deleted": True}]


@pytest.mark.parametrize("provider", COUNTED)
def test_an_outage_that_answers_nothing_deletes_nothing(stage: Stage, provider: str) -> None:
    """A total of 0 over calls held is a mismatch that says what it may be."""
    loaded(stage, provider)
    before = stage.ids(provider)
    stage.sandbox.faults.add("outage_empty", provider=provider)

    outcome = audited(stage, provider, repair=True)

    assert verdict(outcome) is Verdict.MISMATCH
    (one,) = outcome.verdicts
    assert one.note == "the provider counts no call at all, as it would in an outage; nothing was deleted"
    assert stage.ids(provider) == before


def test_an_outage_of_a_list_without_totals_deletes_nothing(stage: Stage) -> None:
    """A repair reads the whole list; that it is empty proves nothing, and is told."""
    loaded(stage, "salpre")
    before = stage.ids("salpre")
    stage.sandbox.faults.add("outage_empty", provider="salpre")

    outcome = audited(stage, "salpre", repair=True)

    assert verdict(outcome) is Verdict.UNVERIFIABLE
    assert [finding.code for finding in outcome.findings] == ["anchor_not_met"]
    assert stage.ids("salpre") == before


def test_rejected_records_count_as_known(stage: Stage) -> None:
    """Records that could not become calls are held as rejects, so the counts agree."""
    loaded(stage, "krosai")
    stage.history.add_records(
        "krosai", [{"id": "no-time", "created_at": None}, {"created_at": "2026-02-27T20:00:00Z"}], at=START - 40 * HOUR
    )
    assert verdict(audited(stage, "krosai")) is Verdict.MISMATCH

    mended = audited(stage, "krosai", repair=True)

    (one,) = mended.verdicts
    assert (one.verdict, one.provider_count, one.warehouse_count, one.rejected_count) == (Verdict.REPAIRED, 122, 120, 2)
    assert verdict(audited(stage, "krosai")) is Verdict.COMPLETE


@pytest.mark.parametrize("provider", COUNTED)
@pytest.mark.parametrize("cursor", ["soon", None])
def test_a_record_that_is_bad_in_two_ways_counts_once(stage: Stage, provider: str, cursor: str | None) -> None:
    """Its text changes while it cannot become a call: two rejects of one id are one call of the provider."""
    key = CAST[provider].cursor
    stage.settings = {provider: {"lookback": "7d"}}
    loaded(stage, provider)
    (call_id,) = stage.history.add(provider, at=START - 40 * HOUR)
    record = next(record for record in stage.sandbox.truth(provider) if str(record["id"]) == call_id)
    for duration in (1, 2):
        stage.history.replace(provider, call_id, record | {key: cursor, "duration": duration, "duration_seconds": duration})
        stage.sync(provider)
    assert len(stage.rejects(provider)) == 2
    stage.settings = {}

    outcome = audited(stage, provider)

    (one,) = outcome.verdicts
    assert (one.provider_count, one.warehouse_count, one.rejected_count) == (121, 120, 1)
    assert one.verdict is Verdict.COMPLETE


def test_daily_totals_are_kept_and_their_time_zone_is_found(stage: Stage) -> None:
    """The sandbox counts days in UTC; nothing but the counts says so."""
    for hours in range(0, 24 * 12, 5):
        stage.history.add("krosai", number=1 + hours % 3, at=START - 30 * HOUR - hours * HOUR)
    stage.sync("krosai")

    outcome = audited(stage, "krosai")

    assert verdict(outcome) is Verdict.COMPLETE
    (kept,) = stage.rows("SELECT sum(calls)::int AS calls FROM provider_daily_totals")
    assert kept["calls"] == len(stage.ids("krosai"))
    (connection,) = stage.rows("SELECT capabilities FROM sync.connections")
    assert connection["capabilities"]["day_offset"] == 0


def test_a_start_date_is_compared_by_position(stage: Stage) -> None:
    """What the provider has before the start date is neither missing nor counted."""
    stage.settings = {name: {"start_date": "2026-02-26T00:00:00Z"} for name in PROVIDERS}
    for provider in COUNTED:
        loaded(stage, provider, number=100)
        wanted = sum(row["cursor_at"].isoformat() >= "2026-02-26" for row in stage.calls(provider).values())

        outcome = audited(stage, provider)

        (one,) = outcome.verdicts
        assert (one.verdict, one.provider_count, one.warehouse_count) == (Verdict.COMPLETE, wanted, wanted)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_older_than_the_start_date_is_not_copied(stage: Stage, provider: str) -> None:
    """Of ten calls a day apart the last three are, though a page shows all ten; counts agree, also after more was asked for."""
    ids = [stage.history.add(provider, at=START - days * DAY)[0] for days in range(2, 12)]
    start = START - 4 * DAY - HOUR
    stage.settings = {provider: {"start_date": start.isoformat()}}
    stage.sync(provider)
    assert stage.ids(provider) == set(ids[:3])
    first = audited(stage, provider)

    stage.sync(provider, want=Want(since=START - 6 * DAY - HOUR))
    second = audited(stage, provider)

    assert stage.ids(provider) == set(ids[:5])
    counted = (3, 3) if CAST[provider].totals else (None, None)
    for one in (first.verdicts[0], second.verdicts[0]):
        assert (one.provider_count, one.warehouse_count) == counted
        assert one.verdict is (Verdict.COMPLETE if CAST[provider].totals else Verdict.UNVERIFIABLE)


def test_one_missing_call_among_twenty_thousand_costs_few_requests(stage: Stage) -> None:
    """Windows are halved where the calls held lie; the last one is read."""
    for index in range(200):
        stage.history.add("tuple", number=100, at=START - 30 * HOUR - index * HOUR)
    stage.sync("tuple")
    victim = sorted(stage.ids("tuple"))[1234]
    damage(stage, "DELETE FROM calls WHERE call_id = %(id)s", id=victim)

    outcome = audited(stage, "tuple")

    tell(f"{outcome.requests} requests")
    assert (victim, ("missing",)) in {(one.call_id, one.differs) for one in outcome.named}
    assert outcome.requests <= 15


@pytest.mark.parametrize("provider", ["bimpe", "krosai"])
def test_one_missing_call_in_a_long_list_costs_few_requests(stage: Stage, provider: str) -> None:
    """The place of an instant is found near where it is expected, so that halving a list costs little more than a window."""
    stage.settings = {provider: {"per_page": 10, "details": False}}
    for index in range(600):
        stage.history.add(provider, number=1 + index % 3, at=START - 30 * HOUR - index * HOUR)
    stage.sync(provider)
    gone = [stage.history.living(provider)[index].id for index in (0, 350, 900)]
    damage(stage, "DELETE FROM calls WHERE call_id = ANY(%(ids)s)", ids=gone)

    outcome = audited(stage, provider)

    tell(f"{outcome.requests} requests")
    assert {one.call_id for one in outcome.named if one.differs == ("missing",)} == set(gone)
    assert outcome.requests <= 80


def test_an_audit_does_not_run_beside_a_sync(stage: Stage) -> None:
    """Both share one allowance and one warehouse: whoever comes second is told so, with exit code 3."""
    loaded(stage, "tuple", number=2)
    with Locks(stage.database, SystemThreads()) as other:
        assert other.try_acquire(NAMES["tuple"])
        outcome = audited(stage, "tuple")
        other.release(NAMES["tuple"])

    assert outcome.error is not None
    assert (outcome.error.code, exit_code([outcome]), outcome.verdicts) == ("already_running", 3, [])


def test_a_connection_that_was_never_synced_is_not_audited(stage: Stage) -> None:
    """There is nothing to prove, and the error says what to do first."""
    outcome = audited(stage, "tuple", repair=True)

    assert outcome.error is not None
    assert outcome.error.hint == "Run: etl sync pairing"
    assert stage.rows("SELECT * FROM sync.runs") == []
