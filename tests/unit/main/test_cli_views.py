"""`aegis top`, `orders`, `positions`: what a person reads of a status, and how it is shown."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli_views import ORDER_COLUMNS, orders_text, positions_text, table, top_lines
from engine.config import Config
from engine.processes.runfile import RunFile
from tests.api_rig import TOKEN, Served, serving
from tests.engine_process import AEGIS, aegis

ORDER = {
    "client_order_id": "a1-2-3-4",
    "instrument": "BTCUSDT",
    "strategy": "orderflow",
    "side": "SELL",
    "order_type": "LIMIT",
    "price": "61800.5",
    "quantity": "0.003",
    "filled": "0.001",
    "status": "PARTIALLY_FILLED",
}
POSITION = {
    "instrument": "BTCUSDT",
    "strategy": "orderflow",
    "quantity": "-0.002",
    "average_entry_price": "61800.5",
    "realised_pnl": -1.25,
    "fees": 0.5,
}


def status(**changes: object) -> dict[str, Any]:
    known: dict[str, Any] = {
        "name": "main",
        "trading_state": "ENABLED",
        "uptime_s": 61.2,
        "mode": {"source": "recorded market"},
        "notice": "",
        "roles": [{"name": "feed", "state": "READY", "heartbeat_age_ms": 0.25}],
        "instruments": [
            {"symbol": "BTCUSDT", "liveness": {"QUOTE": "LIVE", "BAR": "UNSUPPORTED"}},
            {"symbol": "ETHUSDT", "liveness": {"QUOTE": "STALE", "BAR": "UNSUPPORTED"}},
        ],
        "rates": {"records_per_s": 1465.8, "frames_per_s": 1.0},
        "counts": {"records": 5319, "decisions": 4, "orders": 2, "fills": 1, "refusals": 3},
        "latency_us": {"lag": {"p50": 51.2, "p99": 557.1, "p999": 9.0, "max": 9.0, "count": 5320}},
        "refusals": {"LEASE": 3, "LIVENESS": 2},  # two orders failed both
        "rejected_records": {"CROSSED": 7},
        "orders_open": [ORDER],
        "positions": [POSITION],
        "decisions_recent": [],
        "pnl": {
            "realised": -1.25, "unrealised": 2.0, "fees": 0.5, "equity": 9_998.75,
            "currency": "USDT",
        },
        "memory": {"shared_bytes": 28 << 20, "rss_bytes": 430 << 20},
    }  # fmt: skip
    return known | changes


def test_what_others_wrote_moves_no_cursor() -> None:
    lines = table([{"who": "\x1b[2J\nforged", "why": "größer\x07"}], ("who", "why"))
    assert lines[1].split() == ["?[2J?forged", "größer?"]
    assert len(lines) == 2


def test_a_screen_says_state_rates_results_and_what_is_not_live() -> None:
    text = "\n".join(top_lines(status(), 200, 60))
    for said in (
        "aegis main   ENABLED   up 61 s   recorded market",
        "feed ready 0.2 ms",
        "5,319 records, 1,466/s; 2 instruments, not live: ETHUSDT",
        "7 refused by the firewall",
        "4 decisions, 2 orders, 1 fills, 3 refusals",
        "-1.25 realised after 0.50 fees, +2.00 open, equity 9,998.75 USDT",
        "430 MB, 28 MB shared",
        "a1-2-3-4",
        "-0.002",
    ):
        assert said in text, said


def test_a_notice_stands_right_below_the_title() -> None:
    assert top_lines(status(notice="Trading is halted"), 80, 40)[1] == "Trading is halted"


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 40))
def test_a_screen_never_leaves_its_terminal(width: int, height: int, count: int) -> None:
    lines = top_lines(status(orders_open=[ORDER] * count), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


def test_a_list_that_is_cut_says_by_how_many() -> None:
    lines = top_lines(status(orders_open=[ORDER] * 20), 200, 60)
    assert "open orders (+12)" in lines


def test_a_table_keeps_numbers_to_the_right_and_words_to_the_left() -> None:
    lines = table([{"a": "x", "b": "1.5"}, {"a": "long", "b": "10.25"}], ("a", "b"))
    assert lines == ["a         b", "x      1.5", "long  10.25"]
    mixed: list[dict[str, object]] = [{"n": 7}, {"n": "-0.125"}, {"n": 12.5}]
    assert table(mixed, ("n",)) == ["      n", " 7", "-0.125", "12.5000"], "point below point"
    assert table([], ("a",)) == ["a"]


def test_lists_say_when_they_are_empty() -> None:
    assert orders_text(status(orders_open=[])) == "no order is open"
    assert positions_text(status(positions=[])) == "nothing was traded"
    header = orders_text(status()).splitlines()[0].split("  ")
    assert [word.strip() for word in header if word] == [c.replace("_", " ") for c in ORDER_COLUMNS]


@pytest.mark.parametrize("command", ["top", "orders", "positions"])
def test_without_an_engine_it_is_one_sentence(tmp_path: Path, command: str) -> None:
    done = aegis(tmp_path, command, "--name", "nobody")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "nobody" in done.stderr


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Return an API that `aegis` finds as engine `main`."""
    with serving(tmp_path) as made:
        (tmp_path / "run").mkdir()
        RunFile(tmp_path / "run", "main").write(Config(), "127.0.0.1", made.api.port, TOKEN)
        yield made


def test_one_look_is_one_line_of_json(served: Served) -> None:
    done = aegis(served.home, "top", "--json", "--once")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert json.loads(done.stdout)["name"] == "main"


@pytest.mark.parametrize("end", ["interrupt", "reader"])
def test_as_json_each_look_is_a_line_until_somebody_ends_it(served: Served, end: str) -> None:
    process = subprocess.Popen(
        [*AEGIS, "top", "--json", "--every", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AEGIS_HOME": str(served.home)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        if end == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            process.stdout.close()
        said = process.stderr.read()
    assert [look["name"] for look in looks] == ["main"] * 3
    assert (process.returncode, said) == (0 if end == "interrupt" else 130, "")


def test_an_engine_that_falls_silent_ends_the_lines(served: Served, tmp_path: Path) -> None:
    RunFile(tmp_path / "run", "main").write(Config(), "127.0.0.1", 9, TOKEN)
    done = aegis(served.home, "top", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer" in done.stderr


SHOW = """
from engine.cli_screen import show
looks = iter(["first", "second", "third"])
def lines(width, height):
    word = next(looks, None)
    return None if word is None else [word, f"{width} x {height}"]
print("ended by a key" if show(lines, EVERY) else "ended by itself")
"""


def on_terminal(script: str, keys: bytes | None) -> str:
    """Run a script on a terminal of its own and return what it showed.

    Once it shows something the keys are pressed; None: it is interrupted.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    seen = b""
    try:
        while select.select([master], [], [], 60)[0]:
            try:
                part = os.read(master, 4096)
            except OSError:
                break  # the last one let go of the terminal
            if not part:
                break
            was_shown = b"first" in seen
            seen += part  # a terminal gives a word in pieces, too
            if b"first" not in seen or was_shown:
                continue
            if keys is None:
                process.send_signal(signal.SIGINT)
            else:
                os.write(master, keys)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return seen.decode()


def test_a_key_ends_the_screen_and_the_terminal_is_as_before() -> None:
    text = on_terminal(SHOW.replace("EVERY", "60"), b"xq")
    assert "second" not in text
    assert "ended by a key" in text.rsplit("\x1b[?1049l", 1)[1], "back on the usual screen"


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    text = on_terminal(SHOW.replace("EVERY", "60"), None)
    assert "ended by a key" in text
    assert "Traceback" not in text


def test_it_ends_when_there_is_nothing_more_to_show() -> None:
    text = on_terminal(SHOW.replace("EVERY", "0.01"), b"")
    assert text.index("first") < text.index("second") < text.index("third")
    assert "ended by itself" in text
