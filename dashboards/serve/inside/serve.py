"""Serves Superset, in its own environment, at the address that is its argument, until its standard input ends."""

import os
import signal
import sys
import threading

from gunicorn.app.base import BaseApplication

address = sys.argv[1]


class Server(BaseApplication):
    """One process with threads: enough for the one person who looks."""

    def load_config(self):
        """Set what differs from gunicorn's own settings."""
        settings = {"bind": address, "workers": 1, "worker_class": "gthread", "threads": 8, "timeout": 300}
        for name, value in {**settings, "graceful_timeout": 1, "accesslog": None, "loglevel": "warning"}.items():
            self.cfg.set(name, value)

    def load(self):
        """Return Superset."""
        from superset.app import create_app

        return create_app()


def end_with_the_other_side() -> None:
    """Wait until whoever started this has gone, however it went, and end."""
    while os.read(0, 1):  # not by Python's own file, whose lock would be held at its end
        pass
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=end_with_the_other_side, daemon=True).start()
sys.argv = sys.argv[:1]
Server().run()
