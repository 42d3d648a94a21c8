"""
Knows the rivals: each in an environment of its own, made on first use from pinned versions, loading the same calls with the
settings that its own documentation calls fastest (README.md beside this folder says which, and where that stands).
"""

from benchmarks.peers.environment import NAMES, Peer

__all__ = ["NAMES", "Peer"]
