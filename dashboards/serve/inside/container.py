"""Prepares Superset and serves it, in a container: its secrets lie in files, and the bundle beside its settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SECRETS = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
BUNDLE = os.environ.get("BUNDLE", "/etc/superset/dashboards.zip")
LISTEN = os.environ.get("LISTEN", "0.0.0.0:8088")


def secret(name: str) -> str:
    """Return what a file of that name holds."""
    return (SECRETS / name).read_text(encoding="utf-8").strip()


os.umask(0o077)
(Path(os.environ["SUPERSET_HOME"]) / "secret_key").write_text(secret("dashboards_secret_key"), encoding="utf-8")
told = {"user": "admin", "password": secret("dashboards_admin_password"), "bundle": BUNDLE}
told["database_password"] = secret("dashboards_password")
subprocess.run([sys.executable, HERE / "prepare.py"], input=json.dumps(told), text=True, check=True)  # noqa: S603 - ours
os.execv(sys.executable, [sys.executable, str(HERE / "serve.py"), LISTEN])  # noqa: S606 - as above
