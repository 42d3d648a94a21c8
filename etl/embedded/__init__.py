"""
Knows the embedded server: a PostgreSQL of our own for whoever has none, shared by all processes that use its directory.

`docs/embedded.md` tells what is where, and `docs/decisions/0002-our-own-launcher.md` why it is ours.
"""

from etl.embedded.launcher import Server, default_data_dir, server

__all__ = ["Server", "default_data_dir", "server"]
