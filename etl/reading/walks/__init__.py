"""Walks read a stream page by page and say what each page proves: two ways of doing so, and a full scan as the last resort."""

from etl.reading.walks.ascending import ascending
from etl.reading.walks.newest_first import newest_first
from etl.reading.walks.scan import scan
from etl.reading.walks.step import Note, Pages, Step

__all__ = ["Note", "Pages", "Step", "ascending", "newest_first", "scan"]
