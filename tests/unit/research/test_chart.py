"""`aegis chart`: a page with what was asked for, or one sentence that says what is wrong."""

import json
from pathlib import Path

import pytest

from engine.store.session import find_session
from research.chart import moment_ns
from tests.engine_process import aegis
from tests.store_builders import as_bytes, open_market, write_session
from tests.store_events import decision, fill
from tests.structure_twins import coarse_walk
from tests.unit.research.test_chart_data import START_NS, trades_of

SESSION = "20260101t000000-1"
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = write_session(
        tmp_path / "state" / "practice-practice-paper",
        decision(reason=3, strategy_index=1, venue_time_ns=START_NS + 20_000_000_000),
        fill(1, 501, 5, venue_time_ns=START_NS + 21_000_000_000, position_lots=5),
        session_id=SESSION,
    )
    records = trades_of(coarse_walk(120, 7))
    records["sequence"] = range(1, len(records) + 1)
    writer = open_market(directory)
    writer.append(0, as_bytes(records))
    writer.close(is_end=False)
    return tmp_path


def test_a_page_holds_bars_structure_decisions_and_fills(home: Path) -> None:
    pytest.importorskip("plotly", reason="the extra `research` is not installed")
    target = home / "chart.html"
    done = aegis(home, "chart", "--output", str(target), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told | {"instrument": "BTCUSDT", "bars": 120, "decisions": 1, "fills": 1} == told
    assert told["structure"] > 10
    page = target.read_text(encoding="utf-8")
    drawn = ("BOS", "swing", "gap below", "order block above", "pool", "sweep", "leg", "OTE below")
    for word in ("candlestick", "FLOW_SCORE", *drawn, "position of smc_fvg_bos"):
        assert word in page, word
    assert "cdn.plot.ly" not in page.split("plotly-latest")[0][:2_000], "it needs no network"


def test_a_stretch_and_a_longer_bar_can_be_chosen(home: Path) -> None:
    pytest.importorskip("plotly", reason="the extra `research` is not installed")
    target = home / "chart.html"
    words = ("--timeframe", "5", "--begin", "22:13:40", "--end", "22:14:20")
    done = aegis(home, "chart", "btcusdt", *words, "--output", str(target), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["bars_of"], told["bars"], told["decisions"]) == ("5 s", 9, 1)


def test_bars_may_be_of_what_was_traded(home: Path) -> None:
    pytest.importorskip("plotly", reason="the extra `research` is not installed")
    target = home / "chart.html"
    done = aegis(home, "chart", "--bars", "tick:8", "--output", str(target), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["bars_of"], told["bars"]) == ("tick-8", 60)
    assert "bars of tick-8, venue time" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("NOPEUSDT",), 3, "NOPEUSDT is not in this session: BTCUSDT"),
        (("--session", "none"), 3, "no journal none"),
        (("--begin", "yesterday"), 2, "not a time"),
        (("--begin", "23:59"), 3, "0 bars lie there"),
        (("--timeframe", "0"), 2, "--timeframe"),
        (("--bars", "gold:2"), 2, "not kind:size"),
        (("--bars", "tick:2", "--timeframe", "5"), 2, "not allowed with"),
        (("--bars", "tick:100000"), 3, "no bar of tick-100000 of BTCUSDT"),
        (("--output", "/none/x.html"), 3, "aegis: /none/x.html: No such file or directory"),
        (("ETHUSDT",), 3, "no bar of 1 s of ETHUSDT"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    home: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    pytest.importorskip("plotly", reason="the extra `research` is not installed")
    done = aegis(home, "chart", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(home.glob("*.html"))


def test_help_teaches_without_plotly_or_a_journal(tmp_path: Path) -> None:
    done = aegis(tmp_path, "chart", "--help")
    assert done.returncode == 0
    assert "aegis chart BTCUSDT --timeframe 5" in done.stdout


def test_the_newest_session_is_taken_unless_one_is_named(home: Path) -> None:
    newest = write_session(home / "state" / "other-x-paper", session_id="20270101t000000-1")
    assert find_session(home, None) == newest
    assert find_session(home, SESSION).name == SESSION
    assert find_session(home, str(newest)) == newest
    with pytest.raises(LookupError, match="no journal"):
        find_session(home / "nowhere", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 7),
        ("00:00:05", 3 * DAY_NS + 5_000_000_000),
        ("1970-01-03T00:00", 2 * DAY_NS),
        ("1970-01-03T01:00+01:00", 2 * DAY_NS),
    ],
)
def test_a_time_of_day_is_one_of_the_first_day(text: str, expected: int) -> None:
    assert moment_ns(text, 3 * DAY_NS + 999, 7) == expected
