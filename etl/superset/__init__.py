"""
The Superset bundle: dashboards over the roll-ups of the schema `masked`, for any Superset.

What they show is written in `dashboards/superset/*.toml` (the wheel carries them as `etl/dashboards/superset`); here it becomes
the archive that Superset imports. The forms of its files are those of Superset 6.1's own exports.
"""

from etl.superset.bundle import queries, write_bundle

__all__ = ["queries", "write_bundle"]
