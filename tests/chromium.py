"""A headless Chromium driven over its debugging protocol; nothing to install but the browser.

What a page complains of is kept: exceptions that nobody caught, errors on its console, and the
browser's own (a request that failed). A test says what it provokes; the rest is a failure.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import connect

BINARIES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
DEADLINE_S = 60.0
BETWEEN_PAGES = "Inspected target navigated"  # asked while one page gave way to the next


def browser_path() -> str | None:
    """Return an installed Chromium, or None."""
    return next((path for name in BINARIES if (path := shutil.which(name))), None)


class Browser:
    """One page in one browser, for the length of a `with` block."""

    def __init__(self, binary: str, profile: Path, width: int = 1400, height: int = 1000) -> None:
        """Prepare a browser; it starts when the block is entered."""
        self.command = [
            binary,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ]
        self.profile = profile
        self.numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.provoked: tuple[str, ...] = ()
        self.held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the browser and open an empty page; end it again when that fails."""
        with contextlib.ExitStack() as held:
            quiet = subprocess.DEVNULL
            process = held.enter_context(subprocess.Popen(self.command, stdout=quiet, stderr=quiet))
            held.callback(process.kill)
            self.socket = held.enter_context(
                connect(self._page_url(), max_size=None, compression=None)
            )
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
            self.held = held.pop_all()
        return self

    def __exit__(self, *_failure: object) -> None:
        """End the browser."""
        self.held.close()

    def _page_url(self) -> str:
        port = int(self._wait_file(self.profile / "DevToolsActivePort").split()[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("PUT", "/json/new?about:blank")
        target = json.loads(connection.getresponse().read())
        connection.close()
        return str(target["webSocketDebuggerUrl"])

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Return the result of one protocol method."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=DEADLINE_S))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._hear(answer)

    def provoke(self, *texts: str) -> None:
        """Take complaints in which one of these texts stands as meant."""
        self.provoked += texts

    def unexpected(self) -> list[str]:
        """Return what the page complained of up to now and no test provoked."""
        self.evaluate("0")  # what was said before its answer is heard
        return [said for said in self.complaints if not any(text in said for text in self.provoked)]

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401  whatever the page returns
        """Return the value of a JavaScript expression."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:  # noqa: ANN401  whatever the page returns
        """Return the first true value of an expression; fail after the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                value = self.evaluate(expression)
            except AssertionError as error:
                if BETWEEN_PAGES not in str(error):
                    raise
                value = None
            if value:
                return value
            time.sleep(0.05)
        message = f"the page never showed: {expression}"
        raise AssertionError(message)

    def screenshot(self, path: Path) -> None:
        """Save what a person would see."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _hear(self, event: dict[str, Any]) -> None:
        match event:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": said}}:
                self.complaints.append(f"uncaught: {said}")
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error" | "assert"}}:
                self.complaints.append(f"console: {event['params']['args']}")
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as said}}:
                self.complaints.append(f"{said['source']}: {said['text']} {said.get('url', '')}")

    @staticmethod
    def _wait_file(path: Path) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if path.exists() and path.read_text(encoding="ascii").strip():
                return path.read_text(encoding="ascii")
            time.sleep(0.05)
        message = "the browser did not start"
        raise AssertionError(message)
