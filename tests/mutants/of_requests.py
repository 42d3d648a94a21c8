"""Faults in how a provider is asked, and in how its records become rows."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ALLOWANCE = "etl/http/allowance.py"

MUTANTS = (
    Mutant(
        name="the limiter is off by one",
        file=ALLOWANCE,
        old="places = limit.requests - self._in_flight",
        new="places = limit.requests + 1 - self._in_flight",
        tests=("tests/unit/http/test_limits.py::test_a_burst_goes_out_at_once_and_then_places_come_free",),
    ),
    Mutant(
        name="a Retry-After that is a date is ignored",
        file="etl/http/retry.py",
        old="if wait is None and (date := http_date(given)) is not None:",
        new='if wait is None and (date := http_date("")) is not None:',
        tests=("tests/unit/http/test_retry.py::test_every_form_of_retry_after_is_understood",),
    ),
    Mutant(
        name="the budget is that of the local day",
        file=ALLOWANCE,
        old="return 0 <= (day - now.astimezone(UTC).date()).days <= 1",
        new="return 0 <= (day - now.astimezone().date()).days <= 1",
        tests=("tests/unit/http/test_budget_day.py",),
    ),
    Mutant(
        name="what a killed process may have sent is forgotten",
        file=ALLOWANCE,
        old="if found.is_orphan and standing.at is not None:",
        new="if found.is_orphan and standing.at is None:",
        tests=("tests/unit/http/test_accounts.py::test_after_a_kill_the_short_limits_are_used_up",),
    ),
    Mutant(
        name="a body that ends early is taken for whole",
        file="etl/http/exchange.py",
        old="if announced is not None and received != announced:",
        new="if announced is not None and received > announced:",
        tests=(
            "tests/unit/http/test_client.py::test_what_may_pass_is_asked_again",
            "tests/unit/http/test_wire.py::test_a_cut_answer_is_asked_for_again",
        ),
    ),
    Mutant(
        name="a credential goes wherever a redirect or a link leads",
        file="etl/http/exchange.py",
        old="if origin(str(request.url)) == self._origin:",
        new="if request.url.host:",
        tests=("tests/unit/http/test_auth.py::test_credentials_go_to_their_own_origin_and_nowhere_else",),
    ),
    Mutant(
        name="a null in a later record wipes what the other one said",
        file="etl/records/derive.py",
        old='if earlier.get(key) is None or not (value is None or (key in late and value in ("", [])))',
        new='if earlier.get(key) is None or not (key in late and value in ("", []))',
        tests=("tests/unit/records/test_observed.py",),
    ),
    Mutant(
        name="the detail of another call is taken",
        file="etl/records/identify.py",
        old="return form is not None and record.call_id in form.id_forms(call_id) and isinstance(record.value, dict)",
        new="return form is not None and isinstance(record.value, dict)",
        tests=("tests/unit/reading/test_source.py::test_a_detail_of_another_call_is_no_answer",),
    ),
)
