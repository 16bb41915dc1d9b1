"""Paper fills against the practice exchange's, on the same market: by how much they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.paper_fills import judged
from bench.sides.paper_side import Twin, TwoVenues
from engine.venues.paper.queue import QueueModel
from exchange.generator import Generator
from exchange.recorded import open_source
from tests.tape_builders import liquidation, market, write_tape

SPAN_S = 30.0


def generated(model: QueueModel, seed: int) -> TwoVenues:
    venues = TwoVenues(Generator(3, seed, 300.0), model, seed)
    venues.play(SPAN_S, 10.0)
    return venues


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("model", list(QueueModel))
def test_on_a_generated_market_nearly_every_order_is_filled_alike(
    model: QueueModel, seed: int
) -> None:
    found = judged(generated(model, seed).twins)
    assert found["orders"] > 150
    assert found["exchange filled"] > 30
    assert found["same"] > 95
    assert found["only paper"] < 2
    assert 0.95 < found["paper quantity"] < 1.05


def test_both_sides_hold_the_same_position_but_for_what_differs() -> None:
    venues = generated(QueueModel.TRADES, 3)
    for index, instrument in enumerate(venues.instruments):
        twins = [twin for twin in venues.twins if twin.index == index]
        assert all(twin.paper_lots <= twin.qty_lots for twin in twins)
        assert all(twin.exchange_lots <= twin.qty_lots for twin in twins)
        position = venues.paper.orders.account.position(index)
        bought = sum(twin.side * twin.paper_lots for twin in twins)
        assert position.lots == bought, instrument.symbol


def test_on_a_recording_what_trades_fill_is_filled_alike(shared_data: Path) -> None:
    path = shared_data / "hftbacktest" / "usdm_btcusdt_20240808.gz"
    if not path.exists():
        pytest.skip(f"no recording at {path.name}")
    venues = TwoVenues(open_source([str(path)]), QueueModel.TRADES, 1)
    twins = venues.play(SPAN_S, 10.0)
    both = [twin for twin in twins if twin.exchange_lots]
    assert len(both) > 50
    assert sum(twin.paper_lots >= twin.exchange_lots for twin in both) > 0.9 * len(both)
    # A quote through the price fills here and not at the exchange, which waits for a trade.
    alone = [twin for twin in twins if twin.paper_lots and not twin.exchange_lots]
    assert len(alone) < 0.4 * len(twins)


def test_a_tape_with_marks_and_liquidations_is_played_to_its_end(tmp_path: Path) -> None:
    order = liquidation(900, is_buy=True, price=618_100, qty=250, average=618_050)
    path = write_tape(tmp_path / "x.tape", market(4_000), order)
    venues = TwoVenues(open_source([str(path)]), QueueModel.TRADES, 1)
    assert len(venues.play(SPAN_S, 10.0)) > 10
    assert venues.event_count > 2_000


def test_the_judgement_is_arithmetic() -> None:
    twins = [Twin(10, 1, 0, 0, str(number), number, 0) for number in range(4)]
    for twin, (exchange, paper) in zip(twins, [(10, 10), (4, 6), (0, 0), (0, 2)], strict=True):
        twin.exchange_lots, twin.paper_lots = exchange, paper
    found = judged(twins)
    assert (found["orders"], found["exchange filled"], found["paper filled"]) == (4.0, 50.0, 75.0)
    assert (found["same"], found["only paper"]) == (50.0, 25.0)
    assert found["paper quantity"] == pytest.approx(18 / 14)
