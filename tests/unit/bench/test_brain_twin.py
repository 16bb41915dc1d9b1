"""The kernels and their twin in C++: the same decisions and the same state, or it is noticed."""

import shutil
from pathlib import Path

import msgspec
import pytest

from bench.sides import brain_tapes, twin_build
from bench.sides.twin_market import ROWS, Market, compare
from engine.domain.market_state import ENTRIES_WITHOUT_EDGE
from engine.domain.strategy_table import StrategyKind, StrategyRow
from tests.market_runs import synthetic_market

RECORDS = synthetic_market(20_000)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


def with_parameters(**numbers: float) -> tuple[StrategyRow, ...]:
    """Return the twin's rows with further parameters, easier to enter with."""
    eager = {StrategyKind.SMC: {"flow_min": 1.0}, StrategyKind.ORDERFLOW: {"enter_score": 0.4}}
    return tuple(
        msgspec.structs.replace(row, parameters=dict(row.parameters) | eager[row.kind] | numbers)
        for row in ROWS
    )


def market_of(rows: tuple[StrategyRow, ...]) -> Market:
    count = int(RECORDS["instrument_index"][RECORDS["instrument_index"] < 4_000].max()) + 1
    return Market(brain_tapes.instruments_of(count), RECORDS, rows)


@pytest.fixture(scope="module")
def twin() -> twin_build.Twin:
    return twin_build.Twin("g++")


@needs_compiler
@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"edge_min_bps": 0.0, "claim": 1.0, "take_atr": 25.0},
        {"expiry_s": 0.05, "size_atr_bps": 0.2, "regime_adapt": 1.0},
        {"stop_atr": 0.0, "take_atr": 0.0},
    ],
    ids=["eager", "edge asked", "expiry and size", "no distances"],
)
def test_both_decide_the_same_and_end_in_the_same_state(
    twin: twin_build.Twin, numbers: dict[str, float]
) -> None:
    market = market_of(with_parameters(**numbers))
    assert compare(market, twin) > 10
    _, decisions, arrays = market.kernel()
    assert set(decisions["is_entry"]) == {0, 1}, "positions come and go"
    assert set(decisions["strategy_index"]) == {0, 1}, "both rows trade"
    assert arrays["closed_count"].min() > 0, "bars ended everywhere"
    assert arrays["reject_counts"].sum() > 0, "the market has poison in it"
    if "edge_min_bps" in numbers:
        assert arrays["progress"].tolist()[ENTRIES_WITHOUT_EDGE] > 0, (
            "some are not worth their cost"
        )


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("edge.h", "return fees_bps + spread_bps", "return spread_bps"),
        ("strategy.h", "row.take_atr * tf.atr_ticks", "row.take_atr * 1.001 * tf.atr_ticks"),
        ("bars.h", "breadth[1] += before == 0", "breadth[1] += 1"),
        ("flow.h", "change -= hot.bid_qty_lots", "change -= r.bid_qty_lots"),
    ],
)
def test_a_twin_with_one_line_wrong_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, line: str, broken: str
) -> None:
    folder = tmp_path / "twin"
    shutil.copytree(twin_build.FOLDER, folder)
    text = (folder / file).read_text()
    assert text.count(line) == 1
    (folder / file).write_text(text.replace(line, broken))
    monkeypatch.setattr(twin_build, "FOLDER", folder)
    with pytest.raises(AssertionError, match="differ"):
        compare(market_of(with_parameters()), twin_build.Twin("g++"))


def test_rows_are_laid_out_field_by_field() -> None:
    text = twin_build.rows_header()
    assert "struct StrategyRow {\n    i32 kind;\n    i32 timeframe_index;" in text
    assert text.count("static_assert") == 2


def test_other_rows_than_the_twin_knows_are_refused() -> None:
    with pytest.raises(AssertionError, match="the twin knows"):
        Market(brain_tapes.instruments_of(2), RECORDS, ROWS[:1])
