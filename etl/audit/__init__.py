"""
The audit: proves that nothing is missing, by counts against the provider and by checking the warehouse against itself.

It begins in `etl.audit.lifecycle`. `docs/audit.md` describes what it proves, what it costs, and what it cannot prove.
"""
