"""Frames of every event, in every layout that is legal JSON, become the same record."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.firewall_reasons import FirewallReason
from native_ext import _feed
from tests.feed_decoder import decode_event, payload_of
from tests.feed_rig import BTC, MS, FeedRig, Frame, Frames, S, instrument

KINDS = ("book_ticker", "trade", "agg_trade", "kline", "mark_price", "force_order")
GENERAL_PATH = 5  # position in the core's counters


def shuffled(value: object, rng: random.Random) -> object:
    """Return the same JSON value with the members of every object in another order."""
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: shuffled(value[name], rng) for name in names}
    return value


def expected_of(frame: Frame) -> dict[str, int]:
    data = payload_of(json.dumps(frame).encode())
    (record,) = decode_event({"BTCUSDT": BTC}, data)
    return record


def check(rig: FeedRig, frame: Frame, text: str) -> None:
    assert rig.decode(text) == 0, text
    (record,) = rig.records()[-1:]
    wanted = expected_of(frame)
    assert {name: int(record[name]) for name in wanted} == wanted
    assert int(record["receive_time_ns"]) == rig.now_ns


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapped", [True, False])
def test_an_event_becomes_its_record(kind: str, wrapped: bool) -> None:
    rig, frames = FeedRig(), Frames(wrapped=wrapped)
    frame = getattr(frames, kind)(rig.venue_ms)
    check(rig, frame, json.dumps(frame, separators=(",", ":")))
    assert rig.core.counters()[GENERAL_PATH] == 0


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), indent=st.sampled_from([None, 0, 3]), space=st.booleans())
def test_any_order_and_whitespace_says_the_same(
    kind: str, seed: int, indent: int | None, space: bool
) -> None:
    rig, frames = FeedRig(), Frames(wrapped=bool(seed % 2))
    frame = getattr(frames, kind)(rig.venue_ms)
    other = shuffled(frame, random.Random(seed))
    text = json.dumps(other, indent=indent, separators=(", ", " : ") if space else (",", ":"))
    check(rig, frame, text)
    rig.close()


@pytest.mark.parametrize("kind", KINDS)
def test_members_that_nobody_reads_are_passed_over(kind: str) -> None:
    rig, frames = FeedRig(), Frames()
    frame = getattr(frames, kind)(rig.venue_ms)
    extra = {"zz": [1, {"a": "}]"}, None], "long_name": {"deep": [[-1.5e3]]}, "ps": "BTCUSDT"}
    text = json.dumps({"stream": frame["stream"], "data": extra | frame["data"], "more": True})
    check(rig, frame, text)
    assert rig.core.counters()[GENERAL_PATH] == 1


def test_a_member_said_twice_counts_as_last_said() -> None:
    rig, frames = FeedRig(), Frames(wrapped=False)
    text = json.dumps(frames.trade(rig.venue_ms), separators=(",", ":"))
    twice = text.replace('"p":', '"p":"1.00","p":')
    assert rig.decode(twice) == 0
    assert rig.records()["price_ticks"][-1] == 618_000


def test_strings_with_escapes_are_read_by_the_general_path() -> None:
    rig, frames = FeedRig(), Frames()
    frame = frames.trade(rig.venue_ms, X='a "quoted" \\ thing \u20ac')
    check(rig, frame, json.dumps(frame))


def test_bare_decimals_are_decimals() -> None:
    rig, frames = FeedRig(), Frames()
    frame = frames.trade(rig.venue_ms)
    text = json.dumps(frame).replace('"61800.00"', "61800.00")
    check(rig, frame, text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        '"x"',
        "{",
        '{"e"}',
        '{"e":}',
        '{"e":"trade",}',
        '{"e":"trade" "E":1}',
        '{"stream":"btcusdt@trade","data":[]}',
        '{"stream":7,"data":{}}',
        '{"e":"trade","E":01}',
        '{"e":"trade","E":1.}',
        '{"e":"trade","E":yes}',
        '{"e":"tr\nade"}',
        '{"e":"tr\\xade"}',
        '{"e":"\\u12g4"}',
        "{" * 100,
        '{"a":' * 40 + "1" + "}" * 40,
        "[" * 5000,
    ],
)
def test_what_is_no_event_is_refused(text: str) -> None:
    rig = FeedRig()
    assert rig.decode(text) in {
        FirewallReason.MALFORMED,
        FirewallReason.EVENT_UNKNOWN,
        FirewallReason.FIELD_MISSING,
    }
    assert len(rig.records()) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"result":null,"id":1}', _feed.ANSWER),
        ('{ "id" : 3, "error":{"code":2,"msg":"x"} }', _feed.ANSWER),
        ('{"e":"serverShutdown","E":1}', _feed.SHUTDOWN),
        ('{"stream":"x","data":{"e":"serverShutdown"}}', _feed.SHUTDOWN),
    ],
)
def test_what_concerns_the_connection_is_told_apart(text: str, says: int) -> None:
    rig = FeedRig()
    assert rig.decode(text) == says
    assert rig.rejects() == {}


def test_an_all_market_stream_names_no_symbol() -> None:
    rig, frames = FeedRig(), Frames(wrapped=False)
    data = frames.force_order(rig.venue_ms)
    assert rig.decode({"stream": "!forceOrder@arr", "data": data}) == 0
    (record,) = rig.records(RecordType.LIQUIDATION)
    assert record["price_ticks"] == 610_004  # 61000.37 is off the tick: nearest
    assert record["average_price_ticks"] == 610_001


def test_a_partial_book_is_not_taken_for_a_diff() -> None:
    rig, frames = FeedRig(), Frames()
    frame = frames.depth(rig.venue_ms)
    frame["stream"] = "btcusdt@depth20@100ms"
    assert rig.decode(frame) == FirewallReason.EVENT_UNKNOWN


@given(
    mantissa=st.integers(1, 10**12),
    scaled=st.sampled_from([1, 2, 5, 25]),
    exponent=st.integers(0, 8),
    zeros=st.integers(0, 6),
)
def test_every_decimal_on_the_grid_is_exact(
    mantissa: int, scaled: int, exponent: int, zeros: int
) -> None:
    tick = instrument("BTCUSDT", "1", "1", book=False)
    text = f"{mantissa * scaled:0{exponent + 1}d}"
    if exponent:
        text = f"{text[:-exponent]}.{text[-exponent:]}{'0' * zeros}"
    row = type(tick)(
        symbol="BTCUSDT",
        price_exponent=exponent,
        qty_exponent=exponent,
        tick_scaled=scaled,
        lot_scaled=scaled,
        unit_e8=1,
        flags=3,
    )
    rig = FeedRig([row], capacity=64)
    frame = Frames().trade(rig.venue_ms, p=text, q=text)
    assert rig.decode(frame) == 0, text
    record = rig.records(RecordType.TRADE)[0]
    assert (record["price_ticks"], record["qty_lots"]) == (mantissa, mantissa)
    rig.close()


@given(text=st.text("0123456789.-+eENaIinfity", max_size=24))
def test_a_decimal_is_exact_or_refused(text: str) -> None:
    rig = FeedRig([BTC], capacity=64)
    result = rig.decode(Frames().trade(rig.venue_ms, p=text))
    exact = BTC.price_ticks(text) if set(text) <= set("0123456789.-") else None
    if result == 0:
        assert rig.records(RecordType.TRADE)[0]["price_ticks"] == exact
    elif exact is not None and exact > 0 and exact < 2**40:
        assert text.startswith(".") or text.endswith("."), text
    rig.close()


def test_the_slow_layout_is_counted() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(json.dumps(frames.trade(rig.venue_ms), indent=1))
    rig.decode(frames.trade(rig.venue_ms))
    assert rig.core.counters()[GENERAL_PATH] == 1


def test_time_bounds_follow_the_venue_clock_and_its_error() -> None:
    rig, frames = FeedRig(), Frames()
    hour = 3_600_000
    assert rig.decode(frames.trade(rig.venue_ms + hour)) == FirewallReason.TIME_FUTURE
    rig.core.set_clock(rig.now_ns, (rig.venue_ms + hour) * MS, 0, 0)
    assert rig.decode(frames.trade(rig.venue_ms + hour)) == 0
    assert rig.decode(frames.trade(rig.venue_ms)) == FirewallReason.TIME_PAST
    rig.core.set_clock(rig.now_ns, (rig.venue_ms + hour) * MS, 0, 2 * hour * MS)
    assert rig.decode(frames.trade(rig.venue_ms)) == 0


def test_time_bounds_run_at_the_tapes_own_speed() -> None:
    rig, frames = FeedRig(), Frames()
    start_ms, start_ns = rig.venue_ms, rig.now_ns
    rig.core.set_clock(start_ns, start_ms * MS, 9_000_000_000, 0)  # ten times as fast
    rig.now_ns += 100 * S
    assert rig.decode(frames.trade(start_ms + 1_000_000)) == 0
    assert rig.decode(frames.trade(start_ms + 100_000)) == FirewallReason.TIME_PAST
    assert rig.decode(frames.trade(start_ms + 1_100_000)) == FirewallReason.TIME_FUTURE


def test_time_bounds_follow_the_events_of_a_tape_that_runs_away() -> None:
    rig, frames = FeedRig(plays_tapes=True), Frames()
    for step in range(100):  # four seconds of the tape per frame, none by the clock
        assert rig.decode(frames.trade(rig.venue_ms + step * 4_000)) == 0
    newest = rig.venue_ms + 99 * 4_000
    assert rig.decode(frames.trade(newest + 86_400_000)) == FirewallReason.TIME_FUTURE
    assert rig.decode(frames.trade(newest + 6_000)) == FirewallReason.TIME_FUTURE
    rig.core.set_clock(rig.now_ns, (newest + 3_600_000) * MS, 0, 0)  # an estimate far ahead
    assert rig.decode(frames.trade(newest)) == 0
    assert rig.decode(frames.trade(newest - 61_000)) == FirewallReason.TIME_PAST


def test_the_first_record_of_a_channel_makes_it_live_before_it_is_read() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.trade(rig.venue_ms))
    records = rig.records()
    assert records["record_type"].tolist() == [RecordType.LIVENESS, RecordType.TRADE]
    assert (records["aux"][0], records["liveness"][0]) == (Channel.TRADE, Liveness.LIVE)
    assert records["liveness_before"][0] == Liveness.CONNECTING
    assert rig.core.first_record_ns() == rig.now_ns


def test_rows_laws_and_cadences_are_checked() -> None:
    good = {"rows": b"\0" * 256, "laws": (0,) * 8, "cadence": (0,) * 24}
    for name, wrong in (("rows", b""), ("rows", b"\0" * 255), ("laws", (0,)), ("cadence", (0,))):
        with pytest.raises(ValueError, match=r"row|tuple"):
            _feed.Core(**(good | {name: wrong}))  # type: ignore[arg-type]
    rig = FeedRig()
    with pytest.raises(IndexError):
        rig.core.enable(2, 0, 0)
    with pytest.raises(IndexError):
        rig.core.channel(0, 6)
    with pytest.raises(ValueError, match="ring"):
        rig.core.attach(bytearray(64), 1, 1)
