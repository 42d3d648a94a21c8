"""Proofs that take long: run by hand, `python -m tests.lasting.NAME`; what they measured is in docs/performance.md."""
