"""Knows the two ways to read a stream, and the last resort: pages in, records and what they prove out. Stores nothing."""

from etl.reading.walks.ascending import ascending
from etl.reading.walks.newest_first import newest_first
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Note, Pages, Step

__all__ = ["Note", "Pages", "Step", "ascending", "newest_first", "scan"]
