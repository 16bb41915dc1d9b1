"""Rows are asked for ahead: the right lines of the right instrument, and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.domain.arrays import CACHE_LINE_BYTES
from engine.processes import brain_ahead
from engine.processes.brain_ahead import fetch_ahead
from tests.builders import make_quote
from tests.loop_rig import LoopRig
from tests.market_runs import arrays_of

INSTRUMENTS = 5


@pytest.fixture
def rig() -> Iterator[LoopRig]:
    made = LoopRig(instruments=INSTRUMENTS)
    yield made
    made.close()


def line_of(array: np.ndarray, *place: int, field: str | None = None) -> int:
    """Return the cache line on which a row's field, or the row, begins."""
    row = array[place]
    start = array.__array_interface__["data"][0]
    start += sum(k * stride for k, stride in zip(place, array.strides, strict=True))
    start += row.dtype.fields[field][1] if field else 0
    return start // CACHE_LINE_BYTES


def asked_for(rig: LoopRig, monkeypatch: pytest.MonkeyPatch, instrument: int) -> set[int]:
    """Return the cache lines asked for ahead of a quote."""
    found: list[int] = []
    monkeypatch.setattr(brain_ahead, "prefetch", found.append)
    monkeypatch.setattr(brain_ahead, "address_of", lambda it: it.__array_interface__["data"][0])
    plain = getattr(brain_ahead.prefetch_bytes, "py_func", brain_ahead.prefetch_bytes)
    monkeypatch.setattr(brain_ahead, "prefetch_bytes", plain)
    rig.publish_market(make_quote(instrument_index=instrument))
    getattr(fetch_ahead, "py_func", fetch_ahead)(rig.ports, rig.state, 0)
    return {address // CACHE_LINE_BYTES for address in found}


@pytest.mark.parametrize("i", [0, 2, INSTRUMENTS - 1])
def test_every_row_the_gates_read_is_asked_for(
    rig: LoopRig, monkeypatch: pytest.MonkeyPatch, i: int
) -> None:
    asked = asked_for(rig, monkeypatch, i)
    desk = rig.desk
    fields = ("bid_price_ticks", "quote_venue_time_ns", "anchors", "micro", "flow_sums", "moves")
    expected = {line_of(desk.hot, i, field=name) for name in fields}
    filters = ("flags", "min_qty_lots", "unit_e8", "max_open_orders")
    expected |= {line_of(desk.instruments, i, field=name) for name in filters}
    expected |= {line_of(desk.ledger, i), line_of(desk.instrument_limits, i)}
    expected |= {line_of(desk.positions, i, column) for column in (0, desk.positions.shape[1] - 1)}
    expected.add(line_of(desk.rates, 2 + i))
    assert expected <= asked
    other = (i + 1) % INSTRUMENTS
    assert not {line_of(desk.hot, other), line_of(desk.instruments, other)} & asked


def test_an_instrument_that_is_none_of_ours_asks_for_nothing(
    rig: LoopRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked_for(rig, monkeypatch, INSTRUMENTS) == set()
    assert asked_for(rig, monkeypatch, 65_535) == set()


def test_nothing_changes(rig: LoopRig) -> None:
    rig.publish_market(make_quote(instrument_index=3))
    before = {name: part.tobytes() for name, part in arrays_of(rig.state).items()}
    fetch_ahead(rig.ports, rig.state, 0)
    assert before == {name: part.tobytes() for name, part in arrays_of(rig.state).items()}
