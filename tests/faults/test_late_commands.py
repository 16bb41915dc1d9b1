"""What reached a main that stood still is not done when it goes on, if its caller has gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.engine_process import Engine, aegis, fetch, wait_for

pytestmark = pytest.mark.slow  # a whole engine

GIVES_UP_S = 0.3


def left_behind(engine: Engine, name: str) -> None:
    """Send a command as a client does that gives up before anybody answers."""
    token = (engine.home / "run" / f"{engine.name}.token").read_text(encoding="ascii").strip()
    expires_ms = int((time.time() + GIVES_UP_S) * 1_000)
    body = json.dumps({"who": "late", "reason": "as it was", "expires_ms": expires_ms})
    words = urlsplit(engine.url)
    head = (
        f"POST /v1/{name} HTTP/1.1\r\nhost: {words.netloc}\r\nx-aegis-token: {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((words.hostname, words.port), timeout=5) as client:
        client.sendall((head + body).encode())


def done(engine: Engine, what: str) -> list[bool]:
    """Return, of each line of the trail about a command of ours, whether it was done."""
    rows = (fetch(engine.url, "/v1/fetch_audit_trail?limit=1000") or {"rows": []})["rows"]
    return [row["done"] for row in rows if (row["what"], row["who"]) == (what, "late")]


def paused(engine: Engine, name: str) -> None:
    """Leave a command behind while main stands still."""
    os.kill(engine.process.pid, signal.SIGSTOP)
    try:
        left_behind(engine, name)
        time.sleep(2 * GIVES_UP_S)
    finally:
        os.kill(engine.process.pid, signal.SIGCONT)


def test_a_resume_left_behind_is_refused_a_halt_is_not_and_a_stop_is_written_down(
    tmp_path: Path,
) -> None:
    engine = Engine(tmp_path, "--generate", "1", "--seed", "1", "--json")
    try:
        engine.wait_ready()
        paused(engine, "halt")
        wait_for("the halt", lambda: done(engine, "halt") == [True])
        assert (engine.status() or {})["trading_state"] == "HALTED"
        paused(engine, "resume")
        wait_for("the refusal", lambda: done(engine, "resume") == [False])
        assert (engine.status() or {})["trading_state"] == "HALTED"
        journal = engine.journal()
        asked = aegis(tmp_path, "stop", "enough", "--name", engine.name)
        assert asked.returncode == 0, asked.stderr
        code, _, _ = engine.finish()
    finally:
        engine.kill()
    assert code == 0
    trail = journal.parents[1] / "control_audit_log.jsonl"
    last = json.loads(trail.read_text(encoding="utf-8").splitlines()[-1])
    assert (last["what"], last["reason"], last["from"]) == ("stop", "enough", "command line")
    assert last["done"]
