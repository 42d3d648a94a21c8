"""Superset's processes: one that prepares its own database, then the server, which ends with us however we end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from hashlib import blake2b
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from dashboards.serve.environment import LOCK
from dashboards.serve.source import Source
from etl.errors import UsageError, WarehouseError

LOOPBACK = "127.0.0.1"
INSIDE = Path(__file__).with_name("inside")
USER = "admin"
PATIENCE_SECONDS = 300.0
"""How long Superset may take to answer, or to end."""
POLL_SECONDS = 0.1


def listening_on(port: str) -> int:
    """Return the port, or a free one for 0. Raises UsageError if it is none, or in use."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((LOOPBACK, int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(
                f"Port {port} cannot be used: {getattr(error, 'strerror', None) or 'it is no port'}.",
                safe="Nothing was started.",
                hint="Choose another: make dashboards PORT=8089, or PORT=0 for any that is free.",
            ) from error
        return int(tried.getsockname()[1])


class Superset:
    """One Superset: what it keeps in `folder`, which only we can enter, and its server while the block runs."""

    def __init__(self, folder: Path, python: Path, *, port: int) -> None:
        """Nothing is started yet."""
        self._home = folder / "home"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = self._home / "superset.log"
        self._python = python
        self._port = port
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"http://{LOOPBACK}:{port}"
        self.sign_in = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is None:
            return
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)  # at once: nobody's work is lost
            try:
                self._server.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()

    def prepare(self, source: Source) -> None:
        """Bring Superset's database to its version, make its account, import the bundle, unless it was. Raises WarehouseError."""
        key, _ = _secret(self._home / "secret_key")
        password, new = _secret(self._home / "admin_password")
        told = {"user": USER, "password": password, "bundle": str(source.bundle), "database_password": source.password}
        self.sign_in = self._how_to_sign_in(password, new=new)
        marker, wanted = self._home / "prepared", _digest(key, LOCK.read_bytes(), source.bundle.read_bytes(), repr(told).encode())
        if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
            return
        marker.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            ended = subprocess.run(  # noqa: S603 - ours, in Superset's environment
                [self._python, INSIDE / "prepare.py"],
                input=json.dumps(told).encode(),
                stdout=log,
                stderr=log,
                env=self._variables(),
                cwd=self._home,
                check=False,
                start_new_session=True,
                umask=0o077,
            )
        if ended.returncode != 0:
            raise self._failed("prepared")
        marker.write_text(wanted, encoding="utf-8")

    def start(self) -> None:
        """Start the server and wait until it answers. Raises WarehouseError."""
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 - as above
                [self._python, INSIDE / "serve.py", f"{LOOPBACK}:{self._port}"],
                stdin=subprocess.PIPE,  # when we are gone, however, it reads its end and ends too
                stdout=log,
                stderr=log,
                env=self._variables(),
                cwd=self._home,
                start_new_session=True,  # Ctrl-C is for us; we end it, and only then the database under it
                umask=0o077,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise self._failed("started")
            time.sleep(POLL_SECONDS)

    def wait(self) -> None:
        """Wait for the server's end. Raises WarehouseError: it has no reason to end by itself."""
        if self._server is not None:
            self._server.wait()
            raise self._failed("kept running")

    def _how_to_sign_in(self, password: str, *, new: bool) -> str:
        kept = self._home / "admin_password"
        if new:
            return f"Sign in as {USER} with the password {password} (shown this once; it is kept in {kept})."
        return f"Sign in as {USER} with the password that is kept in {kept}."

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=10) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _variables(self) -> dict[str, str]:
        """Return the environment of its processes: nobody's own settings of Superset, and none of ours, which hold tokens."""
        ours = ("SUPERSET", "ETL_", "FLASK", "DATABASE", "PYTHON", "GUNICORN", "SQLALCHEMY")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {
            "SUPERSET_HOME": str(self._home),
            "SUPERSET_CONFIG_PATH": str(INSIDE / "superset_config.py"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SCARF_ANALYTICS": "false",
        }

    def _failed(self, what: str) -> WarehouseError:
        lines = [line.strip() for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return WarehouseError(
            f"Superset could not be {what}: {lines[-1][:300] if lines else 'it said nothing.'}",
            safe="The warehouse was only read.",
            hint=f"Its log is {self._log}. To begin again with an empty Superset, remove {self._home}.",
        )


def _digest(key: str, *parts: bytes) -> str:
    """Return what stands for all that Superset was prepared with, and tells nothing of it."""
    made = blake2b(key=key.encode(), digest_size=32)
    for part in parts:
        made.update(len(part).to_bytes(8) + part)
    return made.hexdigest()


def _secret(file: Path) -> tuple[str, bool]:
    """Return what the file holds, and whether it was made just now: at random, for nobody else to read."""
    try:
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if held := file.read_text(encoding="utf-8").strip():
            return held, False
        file.unlink()  # killed between making and writing it
        return _secret(file)
    with os.fdopen(made, "w", encoding="utf-8") as writable:
        value = secrets.token_urlsafe(24)
        writable.write(f"{value}\n")
    return value, True
