"""What a person is shown of instruments: channels, and the newest quote that was looked at."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.instrument_row import INSTRUMENT_BYTES, LIVENESS_OFFSET, SEGMENT_ROWS_OFFSET
from engine.processes import instrument_view
from engine.processes.instrument_view import LOOK_RECORDS, InstrumentView
from tests.builders import make_instrument, make_quote, make_trade
from tests.recorder_rig import FakeEngine
from tests.ring_builders import unique_name

SLOTS = 4 * LOOK_RECORDS


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine(unique_name().removeprefix("aegis-"), slots=SLOTS)
    made.know(make_instrument(), make_instrument("ETHUSDT", instrument_index=1))
    yield made
    made.close()


@pytest.fixture
def view(engine: FakeEngine) -> InstrumentView:
    """Return a view for which a second has passed whenever it asks."""
    seconds = count(start=1)
    return InstrumentView(engine.segment, engine.ring, lambda: float(next(seconds)))


def shown(view: InstrumentView) -> dict[str, tuple[str | None, str | None]]:
    return {row["symbol"]: (row["bid"], row["ask"]) for row in view.rows()}


def publish(engine: FakeEngine, *records: np.ndarray) -> None:
    for record in records:
        assert engine.producer.try_publish_many(record) >= 0


def test_a_row_has_its_channels_and_no_price_until_a_quote_came(
    engine: FakeEngine, view: InstrumentView
) -> None:
    place = SEGMENT_ROWS_OFFSET + INSTRUMENT_BYTES + LIVENESS_OFFSET + Channel.TRADE
    engine.segment.buffer[place] = Liveness.LIVE
    first, second = view.rows()
    assert (first["symbol"], first["bid"], first["ask"]) == ("BTCUSDT", None, None)
    assert first["liveness"]["TRADE"] != second["liveness"]["TRADE"] == "LIVE"
    publish(engine, make_trade(), make_quote(618_002, 618_003))
    assert shown(view) == {"BTCUSDT": ("61800.2", "61800.3"), "ETHUSDT": (None, None)}


def test_the_newest_quote_of_each_is_kept_while_others_trade_on(
    engine: FakeEngine, view: InstrumentView
) -> None:
    publish(
        engine, make_quote(100, 101), make_quote(200, 202), make_quote(7, 9, instrument_index=1)
    )
    assert shown(view) == {"BTCUSDT": ("20.0", "20.2"), "ETHUSDT": ("0.7", "0.9")}
    publish(engine, *[make_trade()] * (2 * LOOK_RECORDS), make_quote(300, 301))
    assert shown(view) == {"BTCUSDT": ("30.0", "30.1"), "ETHUSDT": ("0.7", "0.9")}


def test_only_the_newest_records_are_looked_at(engine: FakeEngine, view: InstrumentView) -> None:
    publish(engine, make_quote(), *[make_trade()] * LOOK_RECORDS)
    assert shown(view)["BTCUSDT"] == (None, None)
    publish(engine, make_quote(100, 101), *[make_trade()] * (LOOK_RECORDS - 1))
    assert shown(view)["BTCUSDT"] == ("10.0", "10.1")


def test_who_asks_again_at_once_is_shown_the_same(engine: FakeEngine) -> None:
    view = InstrumentView(engine.segment, engine.ring, lambda: 1.0)
    publish(engine, make_quote(100, 101))
    before = shown(view)
    publish(engine, make_quote(300, 301))
    assert shown(view) == before


def test_the_words_it_reads_are_those_of_a_quote() -> None:
    quote = make_quote(5, 6, instrument_index=3)
    assert instrument_view._QUOTE.unpack(quote.tobytes()) == (3, RecordType.QUOTE, 5, 6)
