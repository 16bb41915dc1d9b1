"""A whole engine and a practice exchange as processes, driven from tests through public doors."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Condition = Callable[[], Any]
DEADLINE_S = 120.0
COMPILE_S = 500.0  # the first engine of a checkout compiles every kernel
POLL_S = 0.05
KERNELS = Path(__file__).resolve().parent.parent / ".pytest_cache" / "kernels"
AEGIS = [sys.executable, "-m", "engine"]


def wanting(threshold: float) -> str:
    """Return the TOML of a strategy, `often`, that wants to enter wherever a quote leans so far."""
    return f"""
[[strategy]]
name = "often"
kind = "quote_imbalance"
notional = 250.0
parameters = {{ threshold = {threshold} }}
"""


def wait_for(what: str, condition: Condition, limit_s: float = DEADLINE_S) -> Any:  # noqa: ANN401
    """Return the first true value of `condition`; fail naming `what` when the deadline passes."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(POLL_S)
    message = f"waited {limit_s:.0f} s for {what}"
    raise AssertionError(message)


def fetch(url: str, path: str, headers: dict[str, str] | None = None) -> dict[str, Any] | None:
    """Return a JSON document, or None when nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
    try:
        connection.request("GET", path, headers=headers or {})
        return dict(json.loads(connection.getresponse().read()))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def post(url: str, path: str, body: object, headers: dict[str, str] | None = None) -> int:
    """Return the status of a POST with a JSON body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
    try:
        head = {"content-type": "application/json", **(headers or {})}
        connection.request("POST", path, json.dumps(body), head)
        return connection.getresponse().status
    finally:
        connection.close()


def share_kernels(home: Path) -> None:
    """Let an engine's home use the kernels that earlier tests compiled: a minute each time else."""
    KERNELS.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "cache").exists():
        (home / "cache").symlink_to(KERNELS)


class Engine:
    """One `aegis run` process."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        before: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        """Start it; nothing is waited for.

        Args:
            home: its AEGIS_HOME.
            arguments: words of `aegis run`.
            environment: variables beside ours.
            before: words that run the command.
            port: of its API; 0: a free one.
        """
        self.home = home
        share_kernels(home)
        self.name = "test"
        for position, word in enumerate(arguments):
            if word == "--name":
                self.name = arguments[position + 1]
        words = [*before, *AEGIS, "run", "--port", str(port), *arguments]
        if "--name" not in arguments:
            words += ["--name", self.name]
        self.process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "AEGIS_HOME": str(home), **(environment or {})},
        )

    @property
    def url(self) -> str:
        """Return the API's address once the run file is there."""
        path = self.home / "run" / f"{self.name}.json"
        document = wait_for("the run file", lambda: self._running() and _read_json(path))
        return f"http://127.0.0.1:{document['port']}"

    def status(self) -> dict[str, Any] | None:
        """Return `/status`, or None while the routes are not there."""
        found = fetch(self.url, "/status")
        return found if found and "roles" in found else None

    def instruments(self) -> list[dict[str, Any]]:
        """Return the rows of `/status` about instruments; none while the routes are not there."""
        return list((self.status() or {}).get("instruments", []))

    def journal(self) -> Path:
        """Return the folder of its only journal."""
        (found,) = (self.home / "state").glob("*/journal/*")
        return found

    def wait_ready(self) -> dict[str, Any]:
        """Return the status in which every role is ready."""

        def ready() -> dict[str, Any] | None:
            self._ended()
            status = self.status()
            states = {role["state"] for role in status["roles"]} if status else set()
            return status if states == {"READY"} else None

        return dict(wait_for("all roles ready", ready, COMPILE_S))

    def wait_count(self, name: str, at_least: int) -> dict[str, Any]:
        """Return the status in which a total has reached a number."""

        def reached() -> dict[str, Any] | None:
            self._ended()
            status = self.status()
            return status if status and status["counts"][name] >= at_least else None

        return dict(wait_for(f"{at_least} {name}", reached))

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, standard output, standard error."""
        output, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, output, errors

    def terminate(self) -> tuple[int, str, str]:
        """Send SIGTERM and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        return self.finish()

    def kill(self) -> None:
        """End it without asking; for cleaning up and for crash tests."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def _running(self) -> bool:
        self._ended()
        return True

    def _ended(self) -> None:
        if self.process.poll() is not None:
            output, errors = self.process.communicate()
            message = f"the engine ended with {self.process.returncode}:\n{output}\n{errors}"
            raise AssertionError(message)


def attached(home: Path, exchange_url: str, settings: str) -> Engine:
    """Start an engine on an exchange that runs already, with settings in TOML; wait until ready."""
    path = home / "aegis.toml"
    path.write_text(settings, "utf-8")
    engine = Engine(home, "--exchange", exchange_url, "--json", "--config", str(path))
    engine.wait_ready()
    return engine


def entry_states(row: dict[str, Any]) -> set[str]:
    """Return the liveness of what an entry needs of one instrument of `/status`."""
    return {row["liveness"][channel] for channel in ("QUOTE", "TRADE", "BOOK")}


def aegis(home: Path, *words: str, limit_s: float = DEADLINE_S) -> subprocess.CompletedProcess[str]:
    """Run one command of the CLI to its end."""
    environment = {**os.environ, "AEGIS_HOME": str(home)}
    return subprocess.run(
        [*AEGIS, *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=limit_s,
        env=environment,
    )


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rsplit(") ", 1)[1][0] != "Z"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
