"""Bodies are decompressed as the best clients do it, in parts, and a cut one is never taken for whole."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.http.compression import PART_BYTES, decoded
from etl.http.retry import Failed


def bare(data: bytes) -> bytes:
    """Compress without a header, as some servers understand `deflate`."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


FORMS = {
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("Deflate", bare),
    "gzip": ("gzip", gzip.compress),
    "both": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
}


@given(data=st.binary(max_size=300), pieces=st.integers(1, 9), form=st.sampled_from(sorted(FORMS)))
def test_a_compressed_body_is_read_however_it_arrives(*, data: bytes, pieces: int, form: str) -> None:
    """Byte by byte or at once; the coding that is named last was applied last."""
    encoding, pack = FORMS[form]
    packed = pack(data)
    notes: list[str] = []

    chunks = (packed[start : start + pieces] for start in range(0, len(packed), pieces))

    assert (b"".join(decoded(chunks, encoding, note=notes.append)), notes) == (data, [])


@pytest.mark.parametrize("form", FORMS)
def test_a_compressed_body_that_is_cut_off_is_no_body(form: str) -> None:
    """However much of it arrived."""
    encoding, pack = FORMS[form]
    packed = pack(b'{"data": [1, 2, 3]}' * 9)

    for length in range(len(packed)):
        with pytest.raises(Failed):
            b"".join(decoded(iter([packed[:length]]), encoding, note=lambda _: None))


@pytest.mark.parametrize("form", FORMS)
def test_bytes_behind_a_compressed_body_are_passed_over(form: str) -> None:
    """And noted, once."""
    encoding, pack = FORMS[form]
    notes: list[str] = []

    assert b"".join(decoded(iter([pack(b"[]"), b"\r\n"]), encoding, note=notes.append)) == b"[]"
    assert notes == ["trailing"]


@pytest.mark.parametrize("form", FORMS)
def test_a_small_body_that_is_large_when_decompressed_comes_in_parts(form: str) -> None:
    """None is larger than a part may be."""
    encoding, pack = FORMS[form]

    parts = list(decoded(iter([pack(bytes(5 * PART_BYTES))]), encoding, note=lambda _: None))

    assert (sum(map(len, parts)), max(map(len, parts)) <= PART_BYTES) == (5 * PART_BYTES, True)
