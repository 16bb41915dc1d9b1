"""What the fuzzers found, one law each; the same frames are seeds, so sanitizers see them too."""

from __future__ import annotations

import json

import pytest

from engine.domain.codes import CONFLATED, RecordType
from engine.domain.firewall_reasons import QTY_LOTS_MAX, FirewallReason
from tests.feed_rig import BTC, FeedRig, Frame, Frames


def compact(frame: Frame) -> str:
    return json.dumps(frame, separators=(",", ":"))


@pytest.mark.parametrize("kind", ["kline", "force_order"])
@pytest.mark.parametrize("is_first", [True, False])
def test_an_inner_object_of_another_event_is_passed_over(kind: str, is_first: bool) -> None:
    frames = Frames(wrapped=False)
    rigs = FeedRig(), FeedRig()
    event = getattr(frames, kind)(rigs[0].venue_ms)
    other: Frame = {"o" if kind == "kline" else "k": {"s": "ETHUSDT", "S": "BUY", "p": "1"}}
    frame = other | event if is_first else event | other
    # WHY: one has no spaces, so it is read by the compact scanner first; the other never is.
    for rig, text in zip(rigs, (compact(frame), json.dumps(frame)), strict=True):
        assert rig.decode(text) == 0
        assert len(rig.records(RecordType.BAR, RecordType.LIQUIDATION)) == 1


@pytest.mark.parametrize(
    ("kind", "right", "wrong"), [("kline", "k", "o"), ("force_order", "o", "k")]
)
def test_an_event_without_its_own_inner_object_is_refused(
    kind: str, right: str, wrong: str
) -> None:
    frames = Frames(wrapped=False)
    event = getattr(frames, kind)(FeedRig().venue_ms)
    inner = event.pop(right)
    for there, reason in (({}, "FIELD_MISSING"), ({right: "text"}, "MALFORMED")):
        for separators in ((",", ":"), (", ", ": ")):
            rig = FeedRig()
            text = json.dumps(event | {wrong: inner} | there, separators=separators)
            assert rig.decode(text) == FirewallReason[reason]
            assert len(rig.records()) == 0


def test_levels_inside_an_inner_object_are_no_levels() -> None:
    # Their symbol was looked for among members that the scanner had not read yet: a read through a
    # pointer into an earlier frame.
    rig, frames = FeedRig(), Frames(wrapped=False)
    for _ in range(3):
        frame = frames.kline(rig.venue_ms, a=[["61800.1", "1.000"]], b=[["61799.0", "1.000"]])
        k = frame.pop("k")
        assert rig.decode(compact({"e": "kline", "k": k} | frame)) == 0
    assert len(rig.records(RecordType.LEVEL)) == 0


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize(
    ("sides", "reason"), [({"a": 0, "b": 0}, "MALFORMED"), ({}, "FIELD_MISSING")]
)
def test_levels_that_are_no_array_are_malformed(name: str, sides: Frame, reason: str) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        rig, frames = FeedRig(), Frames(wrapped=False)
        frame = frames.depth(rig.venue_ms)
        del frame[name]
        frame |= {key: value for key, value in sides.items() if key == name}
        assert rig.decode(json.dumps(frame, separators=separators)) == FirewallReason[reason]


@pytest.mark.parametrize("close_ms", [9_223_372_036_854, 9_223_372_036_853, 9_223_372_036_855])
def test_a_bar_that_closes_at_the_end_of_time_is_refused(close_ms: int) -> None:
    rig, frames = FeedRig(), Frames()
    assert rig.decode(frames.kline(rig.venue_ms, T=close_ms)) in {
        FirewallReason.BAR_TIME,
        FirewallReason.TIME_FUTURE,
    }


def test_merged_quantities_stop_at_the_most_that_both_layers_take() -> None:
    rig, frames = FeedRig(capacity=128), Frames()
    while rig.core.counters()[6] == 0:  # until the ring is full and trades are merged
        assert rig.decode(frames.trade(rig.venue_ms, q=BTC.qty_text(QTY_LOTS_MAX))) == 0
    for _ in range(4):
        assert rig.decode(frames.trade(rig.venue_ms, q=BTC.qty_text(QTY_LOTS_MAX))) == 0
    rig.records()
    rig.core.flush(rig.now_ns)
    (merged,) = rig.records(RecordType.TRADE)[-1:]
    assert merged["flags"] & CONFLATED
    assert merged["qty_lots"] == QTY_LOTS_MAX, "which the brain's layer still takes"
