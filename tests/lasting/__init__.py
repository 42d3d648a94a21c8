"""Proofs that take long: run by hand, `python -m tests.lasting.NAME`; docs/performance.md and reliability.md have the numbers."""
