"""The wheel is whole: installed into an environment of its own, away from the checkout, it makes the schema and syncs."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

from tests.acceptance.process import rows

ROOT = Path(__file__).parents[2]

PROGRAM = """from etl.library import Outcome, audit, load_settings, sync
settings = load_settings("config.toml")
outcomes: list[Outcome] = sync(settings, ["pairing"])
counts: list[int] = [one.counters.inserted for one in outcomes] + [one.disagreements for one in audit(settings)]
print(outcomes[0].nothing)
"""
"""Well typed for who knows the library's types, but for the last line."""


PAGES = """import os
from datetime import timedelta
import httpx
from etl.library import load_settings
from etl.system import SystemClock, SystemThreads
from etl.warehouse.database import Database
from etl.worker.web.server import served
from etl.worker.web.site import Site
settings = load_settings()
site = Site(settings=settings, clock=SystemClock(), silence=timedelta, next_due=lambda database, names: {})
with Database(os.environ["ETL_WAREHOUSE__URL"]) as database, site.over(database):
    with served(site, ("127.0.0.1", 0), threads=SystemThreads()) as address:
        with httpx.Client(base_url=address, trust_env=False) as client:
            for path in ("/", "/style.css", "/icon.svg", "/metrics"):
                answer = client.get(path)
                print(path, answer.status_code, answer.headers["content-type"].split(";")[0], len(answer.content) > 100)
"""
"""Serves the worker's pages and asks for them."""


def test_an_installed_wheel_makes_the_schema(empty_database_url: str, tmp_path: Path) -> None:
    """The migrations are inside, the configuration that `etl init` writes, and what the worker's pages are made of."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (wheel,) = (tmp_path / "dist").glob("call_warehouse-*.whl")
    home = tmp_path / "venv"
    venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(home)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ETL_", "PIP_", "PYTHON"))}
    install = [str(python), "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run(install, check=True, env=kept, cwd=tmp_path)
    # What it depends on is taken from the environment of the tests, which comes later on the path than what was installed.
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.run([str(python), "-c", ask], check=True, env=kept, capture_output=True, text=True).stdout.strip()
    Path(place, "tests.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    surroundings = kept | {"ETL_WAREHOUSE__URL": empty_database_url}

    def etl(*arguments: str) -> str:
        command = [str(python.with_name("etl")), *arguments]
        return subprocess.run(command, check=True, env=surroundings, cwd=tmp_path, capture_output=True, text=True).stdout

    ask = "import etl; print(etl.__file__)"
    found = subprocess.run([str(python), "-c", ask], check=True, env=kept, cwd=tmp_path, capture_output=True, text=True).stdout
    migrated, again, init = etl("migrate"), etl("migrate"), etl("init")

    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    check = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "program.py"]
    typed = subprocess.run(check, check=False, env=kept, cwd=tmp_path, capture_output=True, text=True)

    (tmp_path / "pages.py").write_text(PAGES, encoding="utf-8")
    serve = [str(python), "pages.py"]
    pages = subprocess.run(serve, check=True, env=surroundings, cwd=tmp_path, capture_output=True, text=True).stdout

    assert found.startswith(str(home))
    assert pages.splitlines() == [
        "/ 200 text/html True",
        "/style.css 200 text/css True",
        "/icon.svg 200 image/svg+xml True",
        "/metrics 200 text/plain True",
    ]
    assert (typed.stdout.splitlines()[:-1], typed.stdout.splitlines()[-1:]) == (
        ['program.py:5: error: "Outcome" has no attribute "nothing"  [attr-defined]'],
        ["Found 1 error in 1 file (checked 1 source file)"],
    )
    version = rows(empty_database_url, "SELECT version_num FROM sync.alembic_version")[0][0]
    assert migrated == f"The schema went from nothing to {version}.\n"
    assert again == f"The schema has the newest version already ({version}).\n"
    assert init == "Wrote config.toml. Put your tokens into it, then run: etl check\n"
