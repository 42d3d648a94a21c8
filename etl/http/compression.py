"""Decompresses bodies in small parts, so that a small compressed body cannot fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import chain

from etl.http.causes import CUT, GARBLED
from etl.http.retry import Failed

PART_BYTES = 1_048_576

_GZIP = ("gzip", "x-gzip")
_DEFLATE = "deflate"
_UNKNOWN_TO_US = ("br", "zstd", "compress", "x-compress", "dcb", "dcz")
"""Registered codings that we do not read and never offer to accept; any other word (`UTF-8`, `none`) is no coding at all."""
_MAGIC = b"\x1f\x8b"
_AS_GZIP, _AS_ZLIB, _BARE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def decoded(chunks: Iterator[bytes], encoding: str, *, note: Callable[[str], None]) -> Iterator[bytes]:
    """
    Yield the decompressed body in parts of at most `PART_BYTES`, however large it is. Raises Failed.

    `note` is called for departures from HTTP that do not prevent reading: with `unknown` for a word that is no coding, and with
    `trailing` for bytes after a compressed body.
    """
    words = [word.strip().lower() for word in encoding.split(",")]
    if any(word in _UNKNOWN_TO_US for word in words):
        raise Failed(GARBLED)
    if any(word not in ("", "identity", _DEFLATE, *_GZIP) for word in words):
        note("unknown")
    applied = [word for word in words if word == _DEFLATE or word in _GZIP]
    for word in reversed(applied):  # the last one named was applied last
        chunks = _unpacked(chunks, word, note)
    yield from chunks


def _begin(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first two bytes, and the same chunks again."""
    read: list[bytes] = []
    for chunk in chunks:
        read.append(chunk)
        if sum(map(len, read)) > 1:
            break
    return b"".join(read)[:2], chain(read, chunks)


def _unpacked(chunks: Iterator[bytes], word: str, note: Callable[[str], None]) -> Iterator[bytes]:
    form = _AS_GZIP
    if word == _DEFLATE:  # by the standard it is zlib's form; some servers send the bare data, and the best clients read it
        begin, chunks = _begin(chunks)
        is_zlib = len(begin) > 1 and begin[0] & 15 == zlib.DEFLATED and int.from_bytes(begin) % 31 == 0
        form = _AS_ZLIB if is_zlib else _BARE
    try:
        yield from _inflated(chunks, form, note)
    except zlib.error:
        raise Failed(GARBLED) from None


def _inflated(chunks: Iterator[bytes], form: int, note: Callable[[str], None]) -> Iterator[bytes]:
    member = zlib.decompressobj(form)
    kept = b""  # what may be the first byte of another member
    for chunk in chunks:
        rest, kept = kept + chunk, b""
        while rest:
            if member.eof:  # a gzip file may have several members; other bytes after one do not belong to it
                if form == _AS_GZIP and rest == _MAGIC[:1]:
                    kept = rest
                    break
                if form != _AS_GZIP or not rest.startswith(_MAGIC):
                    note("trailing")
                    _drain(chunks)
                    return
                member = zlib.decompressobj(form)
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
