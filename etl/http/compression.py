"""Decompresses bodies in small parts, so that a small compressed body cannot fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from etl.http.causes import CUT, GARBLED
from etl.http.retry import Failed

PART_BYTES = 1_048_576

_GZIP = ("gzip", "x-gzip")
_UNKNOWN_TO_US = ("br", "zstd", "compress", "x-compress", "deflate", "dcb", "dcz")
"""Registered codings that we do not read and never offer to accept; any other word (`UTF-8`, `none`) is no coding at all."""
_MAGIC = b"\x1f\x8b"


def decoded(chunks: Iterator[bytes], encoding: str, *, note: Callable[[str], None]) -> Iterator[bytes]:
    """
    Yield the decompressed body in parts of at most `PART_BYTES`, however large it is. Raises Failed.

    `note` is called for departures from HTTP that do not prevent reading: with `unknown` for a word that is no coding, and with
    `trailing` for bytes after a compressed body.
    """
    words = [word.strip().lower() for word in encoding.split(",")]
    if any(word in _UNKNOWN_TO_US for word in words):
        raise Failed(GARBLED)
    if any(word not in ("", "identity", *_GZIP) for word in words):
        note("unknown")
    for _ in [word for word in words if word in _GZIP]:
        chunks = _unpacked(chunks, note)
    yield from chunks


def _unpacked(chunks: Iterator[bytes], note: Callable[[str], None]) -> Iterator[bytes]:
    try:
        yield from _gunzipped(chunks, note)
    except zlib.error:
        raise Failed(GARBLED) from None


def _gunzipped(chunks: Iterator[bytes], note: Callable[[str], None]) -> Iterator[bytes]:
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    kept = b""  # what may be the first byte of another member
    for chunk in chunks:
        rest, kept = kept + chunk, b""
        while rest:
            if member.eof:  # a gzip file may have several members; other bytes after one do not belong to it
                if rest == _MAGIC[:1]:
                    kept = rest
                    break
                if not rest.startswith(_MAGIC):
                    note("trailing")
                    _drain(chunks)
                    return
                member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield member.decompress(rest, PART_BYTES)
            while member.unconsumed_tail:
                yield member.decompress(member.unconsumed_tail, PART_BYTES)
            rest = member.unused_data
    if not member.eof:
        raise Failed(CUT)


def _drain(chunks: Iterator[bytes]) -> None:
    """Read to the end: only then do we know that nothing was cut off, and only then can the connection be used again."""
    for _ in chunks:
        pass
