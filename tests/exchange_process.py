"""The practice exchange as a process of its own, for tests."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
Json: TypeAlias = Any  # whatever a test sends or the exchange answers


class PracticeExchange:
    """A practice exchange in a process of its own, which outlives an engine's."""

    def __init__(self, *words: str, stderr: int | None = None) -> None:
        """Start it and wait until it listens; `stderr` as subprocess.Popen takes it."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exchange", "--port", "0", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert self.process.stdout is not None
        word, _, port = self.process.stdout.readline().partition(" ")
        if word != "ready":
            _, said = self.process.communicate()
            raise AssertionError(said or word)
        self.port = int(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.stream_url = f"ws://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: Json = None) -> Json:
        """Return the JSON answer of a request for the practice account."""
        request = Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"X-MBX-APIKEY": "practice"},
        )
        with urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def fault(self, kind: str, **more: Json) -> Json:
        """Carry out one fault command."""
        return self.call("POST", "/practice/fault", {"kind": kind, **more})

    def ledger(self) -> Json:
        """Return the practice account's books."""
        return self.call("GET", "/practice/ledger?account=practice")

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def started(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run an exchange for the length of a block; yield its process, with stderr, and its port."""
    exchange = PracticeExchange(*words, stderr=subprocess.PIPE)
    try:
        yield exchange.process, exchange.port
    finally:
        exchange.stop()


def fetch(port: int, path: str) -> Json:
    """Return the JSON answer of a request without a key, whatever its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer
