"""
Parquet files for whoever reads calls without the database: one per relation, connection and month, each always whole.

`docs/export.md` describes the folder, and `docs/decisions/0043-an-export-is-whole-months.md` says why it is laid out so.
"""
