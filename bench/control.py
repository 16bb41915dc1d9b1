"""Control: how long `/health`, `/status` and a HALT take while the engine trades.

Question: do looking and halting keep their budgets under load? Load: `aegis run` against a practice
exchange with a generated market, trading all the while; each request comes on a connection of its
own, one after another, from a client on the same cores. A HALT is counted twice: to its answer
(the gate's word is written, cancels are on their way), and to the venue's word that no order is
open, which waits for the last cancel and compares the books. The baseline is `/health`.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench import harness
from bench.harness import Bench, Pass
from bench.startup import accept_ms, free_port, until_ready

LOOKS = 200  # of a pass
HALTS = 10
RATE = "2000"  # generated messages a second, all together
BENCH = Bench(
    name="control",
    question="Do looking and halting keep their budgets under load?",
    load=f"a generated market of {RATE} messages/s, trading; one request after another",
    worry="/status p99 over 5 ms, a halt confirmed later than 50 ms at p99",
    units=dict.fromkeys(("p50", "p99", "max"), "ms"),
    baseline="/health",
)


class Control:
    """A running engine and what is asked of it."""

    def __init__(self, port: int, token: str) -> None:
        """Talk to the API on a port of this machine."""
        self._port = port
        self._token = token

    def ask(self, method: str, path: str, reason: str = "") -> float:
        """Return ms from the connection to the last byte; the answer must be 200."""
        began_s = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        body = json.dumps({"who": "bench", "reason": reason}) if reason else None
        try:
            connection.request(method, path, body, {"x-aegis-token": self._token})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status == http.client.OK, (path, said)
        return (time.perf_counter() - began_s) * 1e3

    def looks(self, path: str) -> Pass:
        """Look again and again."""
        return summary([self.ask("GET", path) for _ in range(LOOKS)])

    def halts(self, *, confirmed: bool) -> Pass:
        """Halt again and again; between two of them trading is resumed, and not counted."""
        found = []
        for _ in range(HALTS):
            waited_ms = self.ask("POST", "/v1/halt", "bench")
            confirmed_ms = self.ask("POST", "/v1/confirm_halt", "bench")
            found.append(waited_ms + confirmed_ms if confirmed else waited_ms)
            self.ask("POST", "/v1/resume", "bench")
            time.sleep(1.0)  # commands are limited to three a second
        return summary(found)


def summary(waits_ms: list[float]) -> Pass:
    """Return what a pass found."""
    return {
        "p50": float(np.percentile(waits_ms, 50)),
        "p99": float(np.percentile(waits_ms, 99)),
        "max": max(waits_ms),
    }


@contextmanager
def trading(home: Path) -> Iterator[Control]:
    """Run an engine for the length of the bench."""
    port = free_port()
    words = [sys.executable, "-m", "engine", "run", "--port", str(port), "--json"]
    words += ["--generate", "3", "--rate", RATE, "--name", "control"]
    environment = {**os.environ, "AEGIS_HOME": str(home)}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        accept_ms(port, time.perf_counter())
        until_ready(port)
        token = (home / "run" / "control.token").read_text(encoding="ascii").strip()
        yield Control(port, token)
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.get("AEGIS_HOME", folder))
        with trading(home) as control:
            cases: dict[str, Callable[[], Pass]] = {
                "/health": lambda: control.looks("/health"),
                "/status": lambda: control.looks("/status"),
                "halt, answered": lambda: control.halts(confirmed=False),
                "halt, confirmed by the venue": lambda: control.halts(confirmed=True),
            }
            results = harness.measure(cases, asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
