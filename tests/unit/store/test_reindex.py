"""Events of an earlier session mean the same in this one's numbers, or are refused."""

import numpy as np
import pytest

from engine.domain.records import EventType
from engine.domain.strategy_table import StrategyKind, StrategyRow
from engine.store.errors import SessionError
from engine.store.reindex import Numbering
from tests.store_builders import event_records, instrument, session_document
from tests.store_events import event, fill, position


def test_symbols_and_names_keep_their_meaning() -> None:
    document = session_document()
    numbering = Numbering((instrument("ETHUSDT"), instrument("BTCUSDT")), ("orderflow", "another"))
    events = event_records(position(0, 1, 5), position(1, -1, 2), position(0, -2, 7))

    found = numbering.translate(events, document)

    assert found["instrument_index"].tolist() == [1, 0, 1]
    assert found["strategy_index"].tolist() == [0, -1, -2]
    assert found["position_lots"].tolist() == [5, 2, 7]


def test_what_this_session_does_not_have_stays_apart() -> None:
    document = session_document(
        strategies=tuple(
            StrategyRow(name=name, kind=StrategyKind.SMC) for name in ("gone", "kept", "lost")
        )
    )
    numbering = Numbering((instrument("ETHUSDT"),), ("kept",))
    events = event_records(*(position(0, index, 1) for index in range(3)))

    found = numbering.translate(events, document)

    assert found["strategy_index"].tolist() == [1, 0, 2]
    assert found["instrument_index"].tolist() == [1, 1, 1]
    assert numbering.strategies == ["kept", "gone", "lost"]
    assert numbering.strategy_count == 1
    assert [row.symbol for row in numbering.instruments] == ["ETHUSDT", "BTCUSDT"]


def test_the_events_given_are_not_changed() -> None:
    events = event_records(position(0, 0, 5))
    before = events.copy()
    Numbering((instrument("ETHUSDT"),), ()).translate(events, session_document())

    assert np.array_equal(events, before)


def test_events_about_nothing_stay_about_nothing() -> None:
    events = event_records(event(EventType.RESTORE_END))

    found = Numbering((instrument(),), ()).translate(events, session_document())

    assert (found["instrument_index"][0], found["strategy_index"][0]) == (-1, -1)


def test_finer_steps_rescale_exactly() -> None:
    finer = instrument(
        tick_scaled=5, price_exponent=2, lot_scaled=1, qty_exponent=4, unit_e8=500
    )  # tick 0.05 instead of 0.1, lot 0.0001 instead of 0.001
    events = event_records(fill(1, 501, 3), position(0, 0, -3))

    found = Numbering((finer,), ()).translate(events, session_document())

    assert found["last_price_ticks"][0] == 2_000
    assert found["last_qty_lots"][0] == 30
    assert found["position_lots"][1] == -30


def test_coarser_steps_that_do_not_divide_are_refused() -> None:
    coarser = instrument(lot_scaled=2)
    events = event_records(position(0, 0, 3))

    with pytest.raises(SessionError, match="BTCUSDT: the venue's steps changed and position_lots"):
        Numbering((coarser,), ()).translate(events, session_document())
    even = event_records(position(0, 0, 4))
    assert Numbering((coarser,), ()).translate(even, session_document())["position_lots"][0] == 2
