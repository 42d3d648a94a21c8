"""
The proof that nothing is missing: counts against the provider, and the warehouse against itself (`etl.audit.lifecycle`).

See `docs/audit.md` for what it proves, what it costs, and what it cannot prove.
"""
