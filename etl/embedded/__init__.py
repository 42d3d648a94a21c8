"""
The embedded PostgreSQL server, for users who have none. All processes that use a data directory share its server.

`docs/embedded.md` describes it, and `docs/decisions/0002-our-own-launcher.md` says why we have our own launcher.
"""

from etl.embedded.launcher import Server, default_data_dir, server

__all__ = ["Server", "default_data_dir", "server"]
