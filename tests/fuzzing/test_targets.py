"""Whatever bytes come from outside, nothing but the documented errors comes of them. `make fuzz` does the same for longer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzzing.targets import every

PIECES = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b":",
            b",",
            b"null",
            b"-0",
            b"1e999",
            b"9" * 400,
            b'"id":1',
            b'"data":',
            b'"status":"\xc3"',
        ),
        *(
            b"2026-05-01T10:00:00Z",
            b"0001-01-01T00:00:00+23:59",
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"*/15 * * * *",
            b"\x00",
            b"\xff",
        ),
        *(
            b"\\ud800",
            b"\\",
            b"\n",
            b"\x1b[2J",
            b"<https://api.example.com/2>; rel=next",
            b"[connections.a]\n",
            b"token = 1",
            b"\xef\xbb\xbf",
        ),
        *(
            b"1h",
            b"-1",
            b"+14155550100",
            b"a@example.com",
            b"\x1f\x8b\x08",
            b"x\x9c",
            b"0 0 30 2 *",
            b"@daily",
            b"Infinity",
            b"1.5",
        ),
    ]
)
INPUTS = (
    st.binary(max_size=60) | st.lists(PIECES, max_size=12).map(b"".join) | st.tuples(st.binary(max_size=2), PIECES).map(b"".join)
)


@pytest.mark.parametrize(("target"), [pytest.param(target, id=name) for name, target in every()])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=INPUTS)
@example(b"")
@example(b"[" * 3000)
@example(b'{"data":[{"id":1,"id":2}]}')
def test_only_documented_errors(target: Callable[[bytes], None], data: bytes) -> None:
    """Each reader of outside input, with bytes made of what it knows and of what it does not."""
    target(data)
