"""Words for bars that do not end by the clock: what they say, and what is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import StrategyConfig
from engine.domain.bar_sizes import THRESHOLD_MAX, BarKind, BarSizeError, bar_size
from engine.domain.strategy_table import (
    StrategyError,
    StrategyKind,
    StrategyRow,
    bars_of,
    check_row,
    row_from_words,
)
from tests.builders import make_instrument

KINDS = [kind for kind in BarKind if kind is not BarKind.CLOCK]


@given(kind=st.sampled_from(KINDS), size=st.integers(1, 10**12))
def test_words_are_read_as_they_are_written(kind: BarKind, size: int) -> None:
    found = bar_size(f"{kind.name.lower()}:{size / 1_000}")
    assert (found.kind, found.size_of("BTCUSDT")) == (kind, size / 1_000)


@pytest.mark.parametrize(
    ("words", "lots"),
    [
        ("tick:500", 500),
        ("tick:0.2", 1),
        ("volume:2.5", 2_500),
        ("imbalance:0.3", 300),
        ("dollar:250000", 2_500_000_000),
        ("dollar:1e300", THRESHOLD_MAX),
    ],
)
def test_a_size_becomes_trades_lots_or_worth_of_the_instrument(words: str, lots: int) -> None:
    row = make_instrument()
    assert bar_size(words).threshold(row.symbol, row.lot_size, row.unit_e8) == lots


def test_a_dollar_bar_is_the_worth_it_says() -> None:
    row = make_instrument()
    lots = bar_size("dollar:250000").threshold(row.symbol, row.lot_size, row.unit_e8)
    assert row.notional_e8(lots, 1) == 250_000 * 10**8


def test_some_instruments_may_have_a_size_of_their_own() -> None:
    found = bar_size("volume:2.5 DOGEUSDT=90000 XRPUSDT=7e3")
    assert [found.size_of(it) for it in ("BTCUSDT", "DOGEUSDT", "XRPUSDT")] == [2.5, 90_000, 7_000]
    assert found.label("BTCUSDT") == "volume-2.5"
    assert found.label("DOGEUSDT") == "volume-90000"


@pytest.mark.parametrize(
    "words",
    [
        " ",
        "volume",
        "volume:",
        "volume:0",
        "volume:-3",
        "volume:inf",
        "volume:nan",
        "clock:60",
        "ticks:5",
        "tick:5 BTCUSDT",
        "tick:5 BTCUSDT=0",
    ],
)
def test_other_words_are_refused_by_name(words: str) -> None:
    with pytest.raises(BarSizeError, match="bars "):
        bar_size(words)
    row = StrategyRow(name="mine", kind=StrategyKind.SMC, bars=words)
    with pytest.raises(StrategyError, match="strategy mine: bars"):
        check_row(row)


def test_a_row_of_a_configuration_says_its_bars() -> None:
    asked = msgspec.convert(
        {"name": "mine", "kind": "smc", "bars": "tick:100"}, type=StrategyConfig
    )
    row = row_from_words(
        name=asked.name,
        kind=asked.kind,
        timeframe_s=asked.timeframe_s,
        bars=asked.bars,
        notional=asked.notional,
        parameters=asked.parameters,
    )
    assert row.bars_text == "tick:100"
    assert msgspec.structs.replace(row, bars="", timeframe_s=60).bars_text == "60 s"


def test_rows_with_the_same_words_share_their_bars() -> None:
    words = ["", "tick:5", "volume:1", "tick:5", ""]
    rows = [StrategyRow(name=f"r{k}", kind=StrategyKind.SMC, bars=it) for k, it in enumerate(words)]
    assert bars_of(rows) == ("tick:5", "volume:1")
