"""
The status page, seen in a browser: in light and dark, on a phone, by a screen reader, without a script.

With `ETL_TEST_PICTURES=docs/images` it leaves the pictures that the documentation shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.database import Database
from tests.acceptance.cast import USUAL
from tests.integrations.dashboards.stage import browser, environment_for_the_browser
from tests.integrations.environments import ROOT
from tests.integrations.status_page.scene import scene
from tests.postgres import warehouse_at

VIEWS = ("light", "dark", "phone")


@pytest.fixture(scope="module")
def seen(server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Give what a browser shows of the page in each view."""
    told: dict[str, Any] = {"browser": str(browser()), "pictures": None}
    environment = environment_for_the_browser(tmp_path_factory.mktemp("browser") / "environment", Path(sys.executable))
    if wanted := os.environ.get("ETL_TEST_PICTURES"):
        (ROOT / wanted).mkdir(exist_ok=True)
        told["pictures"] = str(ROOT / wanted)
    with (
        warehouse_at(server_url, migrated_template) as url,
        Database(url) as database,
        scene(database, url, tmp_path_factory.mktemp("stage")) as pages,
    ):
        told["url"] = pages.address
        command = [environment / "bin" / "python", Path(__file__).parent / "status_page" / "browse.py"]
        ended = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("view", VIEWS)
def test_the_browser_has_nothing_to_complain_of(seen: dict[str, dict[str, Any]], view: str) -> None:
    """Neither of the page nor of what it may not do, and nothing is asked for elsewhere."""
    assert (seen[view]["said"], seen[view]["elsewhere"]) == ([], [])


@pytest.mark.parametrize("view", VIEWS)
def test_it_fits_and_can_be_read(seen: dict[str, dict[str, Any]], view: str) -> None:
    """Nothing has to be scrolled sideways, every text stands out from its ground, every picture is drawn."""
    assert (seen[view]["fits"], seen[view]["faint"]) == (True, [])
    assert seen[view]["drawn"] == [True] * 2 * len(USUAL)


def test_it_is_dark_where_dark_is_wanted(seen: dict[str, dict[str, Any]]) -> None:
    """And light elsewhere."""
    assert (seen["light"]["ground"], seen["dark"]["ground"]) == ("rgb(244, 246, 248)", "rgb(14, 20, 27)")


@pytest.mark.parametrize("view", VIEWS)
def test_a_screen_reader_has_everything(seen: dict[str, dict[str, Any]], view: str) -> None:
    """Each connection is an article with its name, its pictures in words, and its last runs to be opened by the keyboard."""
    heard = seen[view]["heard"]
    articles = {part.split('"')[1]: part for part in heard.split("- article ")[1:]}

    assert set(articles) == set(USUAL.values())
    for name, article in articles.items():
        assert f'heading "{name}" [level=2]' in article
        assert 'img "Time line. ' in article
        assert 'img "Last 15 runs: ' in article
        assert "Last proof" in article
    assert 'heading "2 of 4 connections need attention: devices, voice" [level=1]' in heard
    assert seen[view]["opened"]
