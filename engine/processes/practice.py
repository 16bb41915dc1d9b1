"""Start the practice exchange as a subprocess and know when it listens.

The engine reaches it through real sockets like any venue; this module only starts and ends the
process and asks it for the ledger and the state of its tape.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.config_load import ConfigError

READY_DEADLINE_S = 30.0
ANSWER_DEADLINE_S = 5.0
PRACTICE_KEY = "practice"  # and its secret: the default of the exchange


class PracticeError(Exception):
    """The practice exchange did not start or does not answer; the message says why."""

    def __init__(self, message: str, exit_code: int | None = None, refusal: str = "") -> None:
        """Keep the sentence, what the exchange ended with if it ended, and what it refused by."""
        super().__init__(message)
        self.exit_code = exit_code
        self.refusal = refusal


@dataclass(frozen=True)
class Market:
    """What the practice exchange plays."""

    tapes: tuple[str, ...] = ()
    generate: int = 0
    seed: int = 1
    rate: int = 0
    speed: str = "1"
    loop: bool = False

    def arguments(self) -> list[str]:
        """Return the exchange's command line for this market."""
        arguments = ["--speed", self.speed]
        if self.tapes:
            arguments += ["--tape", *self.tapes]
        else:
            arguments += ["--generate", str(self.generate or 4), "--seed", str(self.seed)]
            if self.rate:
                arguments += ["--rate", str(self.rate)]
        return [*arguments, "--loop"] if self.loop else arguments

    def check(self, venue: str, exchange: str | None) -> None:
        """Refuse a market of the practice exchange where another venue was asked for.

        Raises:
            ConfigError: naming the option.
        """
        asked = {
            "--tape": self.tapes,
            "--generate": self.generate,
            "--rate": self.rate,
            "--loop": self.loop,
            "--exchange": exchange,
        }
        given = [option for option, chosen in asked.items() if chosen]
        if venue != "practice" and given:
            raise ConfigError(
                f"{given[0]}: belongs to the practice exchange; {venue} has its own market, "
                f"so drop {given[0]} or --venue {venue}"
            )

    def described(self) -> str:
        """Return what a person is told is playing."""
        if self.tapes:
            names = ", ".join(tape.rsplit("/", 1)[-1] for tape in self.tapes)
            return f"recorded market {names} at speed {self.speed}"
        return f"generated market, {self.generate or 4} instruments, seed {self.seed}"


class PracticeExchange:
    """A practice exchange that this engine started, or one that runs already."""

    def __init__(
        self,
        url: str,
        process: subprocess.Popen[bytes] | None = None,
        secret: str = PRACTICE_KEY,
    ) -> None:
        """Refer to an exchange; the process is given only when we own it."""
        self.url = url.rstrip("/")
        self.secret = secret  # our half of its account's
        self._process = process

    @classmethod
    def start(cls, market: Market, ledger: Path, *, logs_on: bool = False) -> PracticeExchange:
        """Start the exchange and wait until it says that it listens; it ends when we do.

        Args:
            market: what it plays.
            ledger: file in which it keeps its accounts across restarts.
            logs_on: its account gets a key pair of this run alone, which logs an order session on.

        Raises:
            PracticeError: it ended or stayed silent.
        """
        ours, theirs = key_pair() if logs_on else (PRACTICE_KEY, PRACTICE_KEY)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "exchange", "--port", "0", "--follow-stdin", "--hold"),
                *("--ledger", str(ledger), "--secret", theirs),
                *market.arguments(),
            ],
            stdin=subprocess.PIPE,  # closed by the kernel when we die, however we die
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us; we end the exchange after the engine
        )
        try:
            return cls(f"http://127.0.0.1:{_read_port(process)}", process, ours)
        except PracticeError:
            process.kill()
            process.wait()
            raise

    @property
    def stream_url(self) -> str:
        """Return the WebSocket base URL."""
        return "ws" + self.url.removeprefix("http")

    @property
    def pid(self) -> int:
        """Return the process id; 0 when the exchange is not ours."""
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> bool:
        """Return whether our exchange's process is gone; a foreign one never counts."""
        return self._process is not None and self._process.poll() is not None

    def play(self) -> None:
        """Let the market of an exchange that we started begin.

        Raises:
            PracticeError: no answer.
        """
        if self._process is not None:
            self.fetch("/practice/play", "POST")

    def fetch(
        self,
        path: str,
        method: str = "GET",
        body: dict[str, str] | None = None,
        timeout_s: float = ANSWER_DEADLINE_S,
    ) -> dict[str, Any]:
        """Return one of the exchange's own documents, such as `/practice/state`.

        Raises:
            PracticeError: no answer, or not a JSON object; `refusal` is what the exchange said.
        """
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout_s
        )
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"X-MBX-APIKEY": PRACTICE_KEY})
            answer = connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            message = f"{self.url}{path}: {error}"
            raise PracticeError(message) from error
        finally:
            connection.close()
        if answer.status != http.client.OK or not isinstance(document, dict):
            message = f"{self.url}{path}: answered {answer.status}"
            said = document.get("msg", "") if isinstance(document, dict) else ""
            raise PracticeError(message, refusal=str(said))
        return document

    def stop(self) -> None:
        """End the process if it is ours."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def key_pair() -> tuple[str, str]:
    """Return a new private key as a PEM text, and what the exchange is told of it."""
    # Only runs with such a key need the library.
    from cryptography.hazmat.primitives import serialization as to_bytes
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        to_bytes.Encoding.PEM, to_bytes.PrivateFormat.PKCS8, to_bytes.NoEncryption()
    )
    public = key.public_key().public_bytes(
        to_bytes.Encoding.DER, to_bytes.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), "ed25519:" + base64.b64encode(public).decode()


def _read_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None, "asked for a pipe"
    deadline = time.monotonic() + READY_DEADLINE_S
    os.set_blocking(process.stdout.fileno(), False)
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            selector.select(0.1)
            said += process.stdout.read() or b""
            for line in said.splitlines(keepends=True):
                if line.startswith(b"ready ") and line.endswith(b"\n"):
                    return int(line.split()[1])
            if process.poll() is not None:
                ended = process.returncode
                message = f"the practice exchange ended with {ended} before it listened"
                raise PracticeError(message, ended)
    message = f"the practice exchange did not listen within {READY_DEADLINE_S:.0f} s"
    raise PracticeError(message)
