"""Measures the program against the database's own speed and against its rivals: `python -m benchmarks` (see README.md here)."""
