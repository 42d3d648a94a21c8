"""
`make dashboards`, seen in a browser: every chart is drawn, none shows an error, and the numbers are those that SQL gives.

With `ETL_TEST_PICTURES=docs/images` it leaves the pictures that the documentation shows.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from etl import embedded
from etl.embedded.users import open_lock, take
from etl.superset.definitions import PAGES
from tests.integrations.dashboards import expected
from tests.integrations.dashboards.stage import (
    Shown,
    browser,
    environment_for_the_browser,
    look,
    make_dashboards,
    python_for_superset,
    warehouse,
)
from tests.integrations.environments import ROOT

COLOURS = 256
"""Of a picture in the documentation: enough for what is drawn, and half of the bytes."""


@pytest.fixture(scope="module")
def place(open_folder: Path) -> Path:
    """Give a folder with a warehouse, made once."""
    browser()
    python_for_superset()
    folder = open_folder / "dashboards"
    folder.mkdir(mode=0o755)
    warehouse(folder)
    return folder


@pytest.fixture(scope="module")
def superset(place: Path) -> Iterator[Shown]:
    """Give `make dashboards`, over that warehouse."""
    variables = {"CONFIG": str(place / "config.toml"), "SUPERSET_PYTHON": str(python_for_superset())}
    with make_dashboards(place / "superset", **variables) as shown:
        yield shown


@pytest.fixture(scope="module")
def seen(superset: Shown, place: Path) -> dict[str, list[dict[str, Any]]]:
    """Give what a browser shows of each page."""
    environment = environment_for_the_browser(place / "browser", python_for_superset())
    wanted = os.environ.get("ETL_TEST_PICTURES")
    pictures = place / "pictures" if wanted else None
    if pictures:
        pictures.mkdir()
    found = look(superset, environment, [f"call-warehouse-{page}" for page in PAGES], pictures)
    if wanted and pictures:
        _keep(pictures, ROOT / wanted, superset.folder / "environment" / "bin" / "python")
    assert found["elsewhere"] == []
    return {page: found["pages"][f"call-warehouse-{page}"] for page in PAGES}


@pytest.fixture
def session(superset: Shown, place: Path) -> Iterator[psycopg.Connection]:
    """Give a session of the warehouse's owner, beside Superset."""
    assert superset.process.poll() is None
    with embedded.server(data_dir=place / "warehouse") as server, psycopg.connect(server.conninfo) as opened:
        opened.execute("SET search_path = public")
        yield opened


def test_every_chart_is_drawn_and_none_shows_an_error(seen: dict[str, list[dict[str, Any]]]) -> None:
    """All that the definitions name, in their order."""
    assert {page: [chart["title"] for chart in charts] for page, charts in seen.items()} == expected.titles()
    failed = [(page, one["title"], one["error"]) for page, charts in seen.items() for one in charts if one["error"]]
    assert failed == []
    assert [(page, one["title"]) for page, charts in seen.items() for one in charts if not one["drawn"]] == []


def test_the_numbers_on_the_screen_are_those_of_the_warehouse(
    seen: dict[str, list[dict[str, Any]]], session: psycopg.Connection
) -> None:
    """Each big number; the one that grows with the clock is a number."""
    shown = {f"{page}: {one['title']}": one["number"] for page, charts in seen.items() for one in charts if one["number"]}
    grows = shown.pop("whole: How far behind? (min)")

    assert shown == expected.numbers(session)
    assert grows.replace(",", "").isdecimal()


def test_the_rows_on_the_screen_are_those_of_the_warehouse(
    seen: dict[str, list[dict[str, Any]]], session: psycopg.Connection
) -> None:
    """Each table, the header of each page among them: complete until, and proven."""
    shown = {f"{page}: {one['title']}": sorted(one["rows"]) for page, charts in seen.items() for one in charts if one["rows"]}

    assert shown == expected.tables(session)


def test_nobody_sees_anything_without_signing_in(superset: Shown) -> None:
    """Neither a dashboard nor what its charts are made of."""
    asked = ("dashboard/", "dashboard/call-warehouse-calls", "chart/", "dataset/", "database/")
    codes = {path: httpx.get(f"{superset.url}/api/v1/{path}").status_code for path in asked}
    page = httpx.get(f"{superset.url}/superset/dashboard/call-warehouse-calls/")

    assert {path: code for path, code in codes.items() if code not in (401, 403, 404)} == {}
    assert (page.status_code, "/login/" in page.headers.get("location", "")) == (302, True)


def test_its_secrets_are_for_nobody_else_to_read(superset: Shown) -> None:
    """The password is shown the first time, and kept where only its owner reads it."""
    home = superset.folder / "home"
    modes = {name: (home / name).stat().st_mode & 0o777 for name in ("admin_password", "secret_key")}

    assert modes == {"admin_password": 0o600, "secret_key": 0o600}
    assert (home.stat().st_mode & 0o777, superset.folder.stat().st_mode & 0o777) == (0o700, 0o700)
    assert superset.said.count(superset.password) == 1


def test_it_ends_with_what_it_uses(superset: Shown, open_folder: Path) -> None:
    """By Ctrl-C, by kill, and by kill -9, after which the next command stops the server; no password is shown again."""
    folder = open_folder / "ended"
    folder.mkdir(mode=0o755)
    (folder / "superset").mkdir(mode=0o700)
    (folder / "superset" / "environment").symlink_to(superset.folder / "environment")
    shutil.copytree(superset.folder / "home", folder / "superset" / "home")
    variables = {"CONFIG": str(warehouse(folder)), "SUPERSET_PYTHON": str(python_for_superset())}
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with make_dashboards(folder / "superset", **variables) as shown:
            assert shown.password not in shown.said
            os.killpg(shown.process.pid, end)
            shown.wait()
        if end == signal.SIGKILL:
            with embedded.server(data_dir=folder / "warehouse"):
                pass

        running = open_lock(folder / "warehouse" / "server.lock")
        assert take(running, alone=True), f"after {end.name} the server still runs"
        os.close(running)
        with pytest.raises(httpx.ConnectError):
            _ask_until_nobody_answers(shown.url)


def _ask_until_nobody_answers(url: str) -> None:
    """After kill -9 nobody has waited for Superset's end."""
    while True:
        with suppress(httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout):
            httpx.get(f"{url}/health")


def _keep(pictures: Path, folder: Path, python: Path) -> None:
    """Keep the pictures, in few colours, by the library for pictures that Superset brings."""
    folder.mkdir(exist_ok=True)
    reduce = (
        "import sys; from PIL import Image; "
        f"Image.open(sys.argv[1]).convert('RGB').quantize({COLOURS}, dither=0).save(sys.argv[2], optimize=True)"
    )
    for picture in pictures.iterdir():
        kept = folder / picture.name.replace("call-warehouse", "dashboard")
        subprocess.run([python, "-c", reduce, picture, kept], check=True)
    shutil.rmtree(pictures)
