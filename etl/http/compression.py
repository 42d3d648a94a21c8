"""Decompresses bodies in small parts, so that a small compressed body cannot fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from etl.http.causes import CUT, GARBLED
from etl.http.retry import Failed

PART_BYTES = 1_048_576


def decoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the decompressed body in parts of at most `PART_BYTES`, whatever it grows to. Raises Failed."""
    if encoding.strip().lower() in ("", "identity"):
        yield from chunks
        return
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise Failed(GARBLED)
    try:
        yield from _gunzipped(chunks)
    except zlib.error:
        raise Failed(GARBLED) from None


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:  # a gzip file may have several members
                member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield member.decompress(rest, PART_BYTES)
            while member.unconsumed_tail:
                yield member.decompress(member.unconsumed_tail, PART_BYTES)
            rest = member.unused_data
    if not member.eof:
        raise Failed(CUT)
