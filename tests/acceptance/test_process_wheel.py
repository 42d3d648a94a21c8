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


def test_an_installed_wheel_makes_the_schema(empty_database_url: str, tmp_path: Path) -> None:
    """The migrations are inside, and so is the configuration that `etl init` writes."""
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

    assert found.startswith(str(home))
    assert (typed.stdout.splitlines()[:-1], typed.stdout.splitlines()[-1:]) == (
        ['program.py:5: error: "Outcome" has no attribute "nothing"  [attr-defined]'],
        ["Found 1 error in 1 file (checked 1 source file)"],
    )
    version = rows(empty_database_url, "SELECT version_num FROM sync.alembic_version")[0][0]
    assert migrated == f"The schema went from nothing to {version}.\n"
    assert again == f"The schema has the newest version already ({version}).\n"
    assert init == "Wrote config.toml. Put your tokens into it, then run: etl check\n"
