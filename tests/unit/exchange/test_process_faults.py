"""Faults of ports and connections in the exchange as it is run: a process of its own."""

import http.client
import json
import socket
import struct
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exchange.scenario import load, scenario_of
from tests.exchange_process import ROOT, fetch, started

DEADLINE_S = 20.0
UPGRADE = (
    b"GET /public/ws/btcusdt@bookTicker HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


def ready(process: subprocess.Popen[str], name: str) -> int:
    """Return the port of the next ready line."""
    assert process.stdout is not None
    word, _, port = process.stdout.readline().partition(" ")
    assert word == f"ready-{name}"
    return int(port)


def order(port: int, **words: object) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("POST", "/practice/fault", json.dumps(words))
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, found
    assert isinstance(found, dict)
    return found


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


@contextmanager
def stream(port: int) -> Iterator[socket.socket]:
    """Open a stream of quotes whose handshake has been read."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as client:
        client.sendall(UPGRADE)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert b"101 Switching" in head
        yield client


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_shut_ports_refuse_while_the_control_port_and_open_streams_go_on() -> None:
    with started("--generate", "2", "--control-port", "0") as (process, port):
        control = ready(process, "control")
        with stream(port) as client:
            assert client.recv(100)
            for _ in range(3):  # the port stays ours, however often
                told = order(control, kind="refuse_connections", duration_ms=60_000)
                until(lambda: not connects(port))
                assert fetch(control, "/fapi/v1/time")["serverTime"]
                assert client.recv(100)
                order(control, kind="end", id=told["id"])
                until(lambda: connects(port))
            assert fetch(port, "/fapi/v1/time")["serverTime"]


def test_stop_while_the_ports_are_shut_is_a_clean_stop() -> None:
    with started("--generate", "2", "--control-port", "0") as (process, port):
        control = ready(process, "control")
        order(control, kind="refuse_connections", duration_ms=600_000)
        until(lambda: not connects(port))
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_slow_line_and_its_end_in_the_process() -> None:
    with started("--generate", "2", "--control-port", "0") as (process, port):
        control = ready(process, "control")
        told = order(control, kind="shape", category="public", latency_ms=400)
        begin_s = time.monotonic()
        with stream(port) as client:
            assert time.monotonic() - begin_s >= 0.4
            assert client.recv(100)
            order(control, kind="end", id=told["id"])
            assert client.recv(100)
        faults = fetch(control, "/practice/faults")
        assert faults["armed"] == []


def test_names_are_answered_and_fail_in_the_process() -> None:
    words = ("--generate", "2", "--control-port", "0", "--names-port", "0")
    query = struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0) + b"\x01x\x00" + struct.pack(">HH", 1, 1)
    with started(*words) as (process, _port):
        control, names = ready(process, "control"), ready(process, "names")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE_S)
            client.connect(("127.0.0.1", names))

            def code() -> int:
                client.send(query)
                return client.recv(512)[3] & 0x0F

            assert code() == 0
            told = order(control, kind="names")
            assert code() == 3
            order(control, kind="end", id=told["id"])
            assert code() == 0


def test_taken_control_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        words = ("--generate", "1", "--control-port", number)
        with pytest.raises(AssertionError, match=number), started(*words):
            pass


def test_scenario_of_the_page_can_be_played(tmp_path: Path) -> None:
    page = (ROOT / "docs/practice_exchange.md").read_text("utf-8")
    text = page.split("```toml\n")[1].split("```")[0]
    path = tmp_path / "day.toml"
    path.write_text(text, encoding="utf-8")
    assert len(load(path).steps) == 4
    assert scenario_of(tomllib.loads(text)) == load(path)
    with started("--generate", "2", "--scenario", str(path)) as (_process, port):
        state = fetch(port, "/practice/state")
        assert state["scenario"] == {"steps": 4, "done": 2, "failures": []}
