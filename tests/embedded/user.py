"""Knows how to be a user of the embedded server in a process of its own: tells the server's process id, leaves at a line."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from etl import embedded

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it, and so their children
with embedded.server(data_dir=Path(sys.argv[1])) as running:
    sys.stdout.write(f"{running.pid}\n")
    sys.stdout.flush()
    sys.stdin.readline()
