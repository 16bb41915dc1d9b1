"""A chart is drawn beside the engine: one at a time, kept for a moment, a failure is a sentence."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from engine.config import Config
from engine.processes import chart_page
from engine.processes.chart_page import ChartPage


class Drawer:
    """In the place of the process."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.code, self.said = 0, ""
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        self.began.set()
        self.gate.wait(20)
        if not self.code:
            Path(command[-1]).write_bytes(b"<page>")
        return subprocess.CompletedProcess(command, self.code, b"", self.said.encode())


@pytest.fixture
def drawer(monkeypatch: pytest.MonkeyPatch) -> Drawer:
    made = Drawer()
    monkeypatch.setattr(chart_page, "lacking", lambda *_: "")
    monkeypatch.setattr(subprocess, "run", made)
    return made


@pytest.fixture
def page(tmp_path: Path) -> ChartPage:
    return ChartPage(Config(home=str(tmp_path), session_id="s"))


def test_it_is_drawn_with_the_lowest_priority_and_kept(page: ChartPage, drawer: Drawer) -> None:
    assert page.draw("BTCUSDT") == page.draw("BTCUSDT") == (200, b"<page>")
    (command,) = drawer.commands
    assert command[:3] == ["nice", "-n", "19"]
    assert "BTCUSDT" in command
    assert not Path(command[-1]).exists()
    page.draw("ETHUSDT")
    assert len(drawer.commands) == 2


@pytest.mark.parametrize("symbol", ["", "--help", "../x", "a b", "\u0661", "x" * 25, "A;B"])
def test_what_is_no_symbol_starts_nothing(page: ChartPage, drawer: Drawer, symbol: str) -> None:
    assert page.draw(symbol)[0] == 404
    assert drawer.commands == []


def test_bars_that_end_by_what_was_traded_are_another_chart(
    page: ChartPage, drawer: Drawer
) -> None:
    for bars in ("", "dollar:250000", "dollar:250000", "volume:2.5"):
        assert page.draw("BTCUSDT", bars) == (200, b"<page>")
    by_clock, by_worth, by_volume = drawer.commands
    assert "--bars" not in by_clock
    assert by_worth[by_worth.index("--bars") + 1] == "dollar:250000"
    assert by_volume[by_volume.index("--bars") + 1] == "volume:2.5"


@pytest.mark.parametrize("bars", ["clock:5", "dollar", "dollar:-1", "tick:nan", "--help"])
def test_words_that_name_no_bar_start_nothing(page: ChartPage, drawer: Drawer, bars: str) -> None:
    status, said = page.draw("BTCUSDT", bars)
    assert (status, said[:5]) == (400, b"bars ")
    assert drawer.commands == []


def test_a_failure_is_its_last_sentence(page: ChartPage, drawer: Drawer) -> None:
    drawer.code, drawer.said = 3, "warning\naegis: no such instrument\n"
    assert page.draw("NOSUCH") == (404, b"no such instrument")


@pytest.mark.usefixtures("drawer")
def test_one_that_takes_too_long_is_given_up(
    page: ChartPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", slow)
    status, said = page.draw("BTCUSDT")
    assert (status, said[:20]) == (503, b"not done within 30 s")


def test_without_plotly_it_is_said_at_once_and_nothing_starts(
    page: ChartPage, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_page, "lacking", lambda package, _: f"{package} is not installed")
    assert page.draw("BTCUSDT") == (404, b"plotly is not installed")
    assert drawer.commands == []


def test_only_one_is_drawn_at_a_time(page: ChartPage, drawer: Drawer) -> None:
    drawer.gate.clear()
    first = threading.Thread(target=page.draw, args=("BTCUSDT",))
    first.start()
    assert drawer.began.wait(20)
    assert page.draw("ETHUSDT")[0] == 503
    drawer.gate.set()
    first.join()
    assert page.draw("ETHUSDT")[0] == 200
