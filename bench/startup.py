"""Start-up: how long after exec the socket accepts, health answers, and each role is where it says.

Question: does the engine keep its start-up budgets? Load: `aegis run` against a practice exchange
that runs already, kernels in the cache; a client connects every millisecond until the socket
accepts, then asks `/health` on a new connection every 5 ms until the brain is ready. Roles report
their own stamps, which `/status` shows from the process's start (exact to 10 ms). The baseline is
an interpreter that does nothing but bind, accept and answer. A process of its own measures how long
the kernels take to come from the cache. One start on an empty kernel cache
comes first and stands in a row of its own: there `/health` is asked while the kernels compile. Then
all kernels are compiled with nothing beside them, COMPILED_PASSES times.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench import harness
from bench.harness import Bench, Pass

READY_S = 240.0
COLD = "engine, kernels compiled"
COMPILED, COMPILED_PASSES = "kernels, compiled", 5
HEALTH_GAP_S = 0.005
BARE = (
    "import socket, sys\n"
    "s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "c, _ = s.accept()\n"
    "c.recv(999)\n"
    "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}')\n"
    "c.close()\n"
)
# A process that has numpy, as the brain has: its loop from the cache, run once to its stop word.
CACHED = (
    "import sys, time\n"
    "from engine.processes import kernel_cache, kernel_image\n"
    "began_s = time.perf_counter()\n"
    "kernel_cache.load_loop(sys.argv[1], lambda *progress: None)\n"
    "print((time.perf_counter() - began_s) * 1e3)\n"
)
STAMPS = (
    "feed_first_record",
    "orchestrator_attached",
    "feed_attached",
    "brain_attached",
    "brain_warm",
    "brain_synced",
    "brain_ready",
)
BENCH = Bench(
    name="startup",
    question="Does the engine keep its start-up budgets?",
    load="one engine at a time, kernels cached but for one start, the exchange runs already",
    worry="accept over 50 ms, 200 over 250 ms, loaded over 400 ms (compiled: 20 s), warm over 1 s",
    units={
        **dict.fromkeys(("accept", "first 200", "health p99", "health max", *STAMPS), "ms"),
        "loaded": "ms",
        **dict.fromkeys(("resident", "shared"), "MB"),
    },
    baseline="bare interpreter",
)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def accept_ms(port: int, started_s: float) -> float:
    """Return ms from `started_s` to the first accepted connection."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return (time.perf_counter() - started_s) * 1e3
        time.sleep(0.001)


def ask(port: int, path: str) -> tuple[int, bytes]:
    """Return status and body of one request on a new connection; status 0: no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def first_answer_ms(port: int, started_s: float) -> float:
    """Return ms from `started_s` to the first 200 on `/health`."""
    while ask(port, "/health")[0] != http.client.OK:
        time.sleep(0.001)
    return (time.perf_counter() - started_s) * 1e3


def bare() -> Pass:
    """Measure an interpreter that only answers one request."""
    port = free_port()
    started_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)])
    while True:
        status, _ = ask(port, "/health")
        if status:
            break
        time.sleep(0.001)
    elapsed_ms = (time.perf_counter() - started_s) * 1e3
    process.wait()
    return {"accept": elapsed_ms, "first 200": elapsed_ms}


def cached(home: Path) -> Pass:
    """Measure how long the brain's loop takes to come from the kernel cache."""
    words = [sys.executable, "-c", CACHED, str(home)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {"loaded": float(done.stdout)}


def engine(home: Path, exchange_url: str) -> Pass:
    """Measure one start of the whole engine, to the brain being ready."""
    port = free_port()
    words = [sys.executable, "-m", "engine", "run", "--port", str(port), "--json"]
    words += ["--exchange", exchange_url, "--name", "startup"]
    environment = {**os.environ, "AEGIS_HOME": str(home)}
    started_s = time.perf_counter()
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        found: Pass = {"accept": accept_ms(port, started_s)}
        found["first 200"] = first_answer_ms(port, started_s)
        waits, stamps = until_ready(port)
        found["health p99"] = float(np.percentile(waits, 99))
        found["health max"] = max(waits)
        return {**found, **stamps}
    finally:
        process.terminate()
        process.wait(60)


def until_ready(port: int) -> tuple[list[float], Pass]:
    """Ask `/health` until the brain and the feed are ready; return the waits and the stamps."""
    waits: list[float] = []
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        asked_s = time.perf_counter()
        status, _ = ask(port, "/health")
        waits.append((time.perf_counter() - asked_s) * 1e3)
        assert status == http.client.OK, f"/health answered {status}"
        code, body = ask(port, "/status")
        status_now = json.loads(body) if code == http.client.OK else {"startup_ms": {}}
        shown = status_now["startup_ms"]
        if all(name in shown for name in STAMPS):
            memory = status_now["memory"]
            found = {name: float(shown[name]) for name in STAMPS}
            found["resident"] = memory["rss_bytes"] / 1e6
            found["shared"] = memory["shared_bytes"] / 1e6
            return waits, found
        time.sleep(HEALTH_GAP_S)
    message = f"the engine was not ready within {READY_S:.0f} s"
    raise TimeoutError(message)


def compiled() -> Pass:
    """Compile all kernels into an empty cache; return how long that took."""
    with tempfile.TemporaryDirectory() as folder:
        found, foreign = harness.quiet_pass(lambda: cached(Path(folder)), harness.Patience(0.0))
    return {**found, "foreign cores": foreign}


@contextlib.contextmanager
def exchange(*more: str) -> Iterator[str]:
    """Run a practice exchange for the length of the bench; yield its address.

    Args:
        more: words behind the usual ones, which they overrule.
    """
    words = [sys.executable, "-m", "exchange", "--port", "0", "--generate", "2", "--autostart"]
    words += more
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().split()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder, exchange() as url:
        home = Path(folder)
        # Fills the kernel cache, so it cannot be repeated: one pass, however busy the machine.
        cold, foreign = harness.quiet_pass(lambda: engine(home, url), harness.Patience(0.0))
        cases: dict[str, Callable[[], Pass]] = {
            "bare interpreter": bare,
            "engine": lambda: engine(home, url),
            "kernels, cached": lambda: cached(home),
        }
        results = {
            **harness.measure(cases, asked),
            COLD: [{**cold, "foreign cores": foreign}],
            COMPILED: [compiled() for _ in range(COMPILED_PASSES)],
        }
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
