"""Serves the pages at `worker.listen`, in a thread of its own, beside the worker and whatever happens to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn

from etl.effects import Threads
from etl.log import Logger
from etl.worker.web.app import build
from etl.worker.web.site import Site

log = Logger(__name__)

WAITING = 64
"""The maximum number of connections that wait to be taken."""

LAST_ANSWERS = 3
"""Seconds that answers may take when the worker ends."""


@contextmanager
def served(site: Site, listen: tuple[str, int] | None, *, threads: Threads) -> Iterator[str | None]:
    """
    Serve the pages during the block, and give their address; None where there are none.

    `listen` is host and port (0: any free one), or None for no pages. An address that cannot be used is a warning: a worker that
    nobody can look at works on.
    """
    listening = None if listen is None else _bound(*listen)
    if listening is None:
        yield None
        return
    with listening, threads.pool("web", 1) as thread:
        config = uvicorn.Config(
            build(site),
            log_config=None,  # what is told is this program's business
            access_log=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=LAST_ANSWERS,
        )
        server = uvicorn.Server(config)
        running = thread.submit(server.run, sockets=[listening])
        host, port = listening.getsockname()[:2]
        address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        log.info("web.listening", address=address)
        try:
            yield address
        finally:
            server.should_exit = True
            running.exception()


def _bound(host: str, port: int) -> socket.socket | None:
    """Return a socket that listens there; None, after saying why, where none can."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with ExitStack() as stack:
            listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(WAITING)
            stack.pop_all()
            return listening
    except OSError as error:
        log.warning(
            "web.not_listening",
            address=f"{host}:{port}",
            error=f"The address cannot be used: {(error.strerror or str(error)).lower()}. The worker goes on without metrics and "
            "pages; set worker.listen to another address, or to off.",
        )
        return None
