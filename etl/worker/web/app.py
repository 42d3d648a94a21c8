"""The routes: status page, metrics, health; and the headers that keep a browser from doing anything but showing the page."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from etl.errors import EtlError
from etl.log import Logger
from etl.worker.web import health, metrics, page
from etl.worker.web.site import Site

log = Logger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer. No script runs, nothing is loaded from elsewhere, and no other page may frame this one."""

FAULT = "This page has a fault, which the worker's log describes. The worker itself goes on."


def build(site: Site) -> Starlette:
    """Return the application. Its handlers ask the database, so each runs in a thread."""

    def served(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                response = handler(request)
            except EtlError as error:
                response = PlainTextResponse(f"{error}\n", status_code=503)
            except Exception:
                log.warning("page.fault", path=request.url.path, exc_info=True)
                response = PlainTextResponse(f"{FAULT}\n", status_code=500)
            response.headers.update(HEADERS)
            return response

        return answer

    def told(found: health.Health) -> Response:
        return PlainTextResponse(f"{found.sentence}\n", status_code=200 if found.well else 503)

    def measured(request: Request) -> Response:
        body, content_type = metrics.exposition(site, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    def shown(_: Request) -> Response:
        found = page.render(site)
        return Response(found.html, status_code=found.status, media_type="text/html")

    return Starlette(
        routes=[
            Route("/", served(shown)),
            Route("/metrics", served(measured)),
            Route("/healthz", served(lambda _: told(health.alive(site)))),
            Route("/readyz", served(lambda _: told(health.ready(site)))),
            Route("/style.css", served(lambda _: _file("style.css", "text/css"))),
            Route("/icon.svg", served(lambda _: _file("icon.svg", "image/svg+xml"))),
        ],
        exception_handlers={404: lambda _, __: _elsewhere(404), 405: lambda _, __: _elsewhere(405)},
    )


def _file(name: str, media_type: str) -> Response:
    return Response(files("etl.worker.web").joinpath("templates", name).read_bytes(), media_type=media_type)


def _elsewhere(status: int) -> Response:
    return PlainTextResponse(
        "Here are: / (the status page), /metrics, /healthz and /readyz.\n", status_code=status, headers=HEADERS
    )
