"""The engines of one run, one after the other: each started as a platform would start it again."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.request import Request, urlopen

from tests.engine_process import AEGIS, alive, fetch, share_kernels, wait_for

READY_S: Final = 180.0  # kernels are expected in the cache that tests share, cores in use by others
END_S: Final = 120.0
ROLES: Final = ("orchestrator", "feed", "brain")
RECONCILED: Final = re.compile(r"^aegis_reconciled_total\{[^}]*\} (\d+)", re.MULTILINE)
OPEN_ORDERS: Final = re.compile(r"^aegis_orders_open\{[^}]*\} (\d+)", re.MULTILINE)
SHM: Final = Path("/dev/shm")  # noqa: S108  where shared memory lives


class Life:
    """One `aegis run` process whose output goes to files."""

    def __init__(
        self,
        home: Path,
        name: str,
        number: int,
        words: list[str],
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start it; nothing is waited for."""
        self._run_file = home / "run" / f"{name}.json"
        self._run_file.unlink(missing_ok=True)
        share_kernels(home)
        self._output = home.parent / f"life{number}.out"
        self._errors = home.parent / f"life{number}.err"
        self.pids: dict[str, int] = {}
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*AEGIS, "run", "--port", "0", "--json", "--name", name, *words],
                stdout=output,
                stderr=errors,
                env={**os.environ, **environment, "AEGIS_HOME": str(home)},
            )
        self.pids["main"] = self.process.pid

    @property
    def ended(self) -> bool:
        """Return whether main is gone."""
        return self.process.poll() is not None

    def status(self) -> dict[str, Any] | None:
        """Return `/status`, None while nobody answers."""
        with suppress(OSError, ValueError):
            port = json.loads(self._run_file.read_text("utf-8"))["port"]
            found = fetch(f"http://127.0.0.1:{port}", "/status")
            if found and "roles" in found:
                self.pids = {**self.pids, **{k: v for k, v in found["pids"].items() if v}}
                return found
        return None

    def wait_ready(self, limit_s: float = READY_S) -> bool:
        """Wait until every role is ready; return False when the engine ended instead."""

        def ready() -> bool:
            found = self.status()
            return self.ended or bool(found and {r["state"] for r in found["roles"]} == {"READY"})

        wait_for("all roles ready", ready, limit_s)
        return not self.ended

    def settle(self, limit_s: float = READY_S) -> None:
        """Let no entry be made any more and wait until every order is settled."""

        def settled() -> bool:
            self._press("pause")
            return self.ended or self._metric(OPEN_ORDERS) == 0

        wait_for("every order to settle", settled, limit_s)

    def _press(self, button: str) -> None:
        with suppress(OSError, ValueError, http.client.HTTPException):
            port = json.loads(self._run_file.read_text("utf-8"))["port"]
            token = self._run_file.with_suffix(".token").read_text("utf-8").strip()
            body = json.dumps({"who": "chaos", "reason": "the run is over"}).encode()
            head = {"x-aegis-token": token, "content-type": "application/json"}
            address = f"http://127.0.0.1:{port}/v1/{button}"
            urlopen(Request(address, body, head), timeout=5).close()

    def looks(self) -> int:
        """Return how often the engine found itself equal to the venue; -1: it does not answer."""
        return self._metric(RECONCILED)

    def metrics(self) -> str:
        """Return `/metrics`; empty: nobody answers."""
        with suppress(OSError, ValueError, http.client.HTTPException):
            port = json.loads(self._run_file.read_text("utf-8"))["port"]
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read(), "utf-8")
        return ""

    def _metric(self, line: re.Pattern[str]) -> int:
        found = line.search(self.metrics())
        return int(found[1]) if found else -1

    def wait_looked(self, looks: int = 1, limit_s: float = READY_S) -> None:
        """Wait until the engine has found itself equal to the venue so many times more."""
        first = max(self.looks(), 0)
        wait_for("a reconciliation", lambda: self.ended or self.looks() >= first + looks, limit_s)

    def signal(self, role: str, number: int) -> None:
        """Send a signal to one process of the engine."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[role], number)

    def kill_all(self) -> None:
        """End everything at once, by kill -9."""
        self.status()
        for role in self.pids:
            self.signal(role, signal.SIGKILL)

    def wait_end(self, meanwhile: Callable[[], None] = lambda: None, limit_s: float = END_S) -> int:
        """Wait until no process of the engine is left; return main's exit code.

        Args:
            meanwhile: called again and again.
            limit_s: after this long what is left is killed, and the run has failed.
        """
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self.ended and not [pid for pid in self.pids.values() if alive(pid)]:
                return int(self.process.returncode)
            meanwhile()
            time.sleep(0.02)
        left = {role: pid for role, pid in self.pids.items() if alive(pid)}
        self.kill_all()
        self.process.wait()
        message = f"still alive {limit_s:.0f} s after its end was asked for: {left}"
        raise AssertionError(message)

    def terminate(self) -> int:
        """Ask it to stop; return the exit code."""
        self.signal("main", signal.SIGTERM)
        return self.wait_end()

    def summary(self) -> dict[str, Any]:
        """Return what it ended standard output with; empty: nothing."""
        lines = self._output.read_text("utf-8").splitlines()
        return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}

    def said(self) -> str:
        """Return the last lines of what it told on standard error."""
        return "\n".join(self._errors.read_text("utf-8", "replace").splitlines()[-6:])


def segments_of(name: str) -> list[str]:
    """Return the shared memory that an engine of this name left."""
    return sorted(path.name for path in SHM.glob(f"aegis-{name}-*"))
