"""What a lie does to one payload: exactly one thing, on every kind of stream."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import frame_changes as changes
from exchange.link import Link
from exchange.pings import PINGS_KEPT, Pings

QUOTE = {"e": "bookTicker", "u": 9, "s": "BTCUSDT", "b": "1.50", "B": "2", "a": "1.60", "A": "3"}
TRADE = {"e": "trade", "s": "BTCUSDT", "t": 4, "p": "1.50", "q": "2", "m": True}
DIFF = {"e": "depthUpdate", "s": "BTCUSDT", "U": 5, "u": 7, "pu": 4,
        "b": [["1.50", "2"], ["1.40", "0"]], "a": [["1.60", "1"]]}  # fmt: skip
MARK = {"e": "markPriceUpdate", "s": "BTCUSDT", "p": "1.50", "i": "1.50", "ap": "1.50", "P": "1.5"}
KLINE = {"e": "kline", "s": "BTCUSDT", "k": {"s": "BTCUSDT", "t": 0, "o": "1.50", "c": "1.60",
         "h": "1.70", "l": "1.40", "v": "9", "q": "14"}}  # fmt: skip
EVERY: list[dict[str, Any]] = [QUOTE, TRADE, DIFF, MARK, KLINE]


def after(change: changes.Change, frame: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(change(json.dumps(frame).encode()))


def leaves(value: object, path: tuple[object, ...] = ()) -> dict[tuple[object, ...], object]:
    """Return every scalar of a JSON value by its place."""
    if isinstance(value, dict):
        pairs: list[tuple[object, object]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return {path: value}
    return {place: leaf for k, v in pairs for place, leaf in leaves(v, (*path, k)).items()}


@pytest.mark.parametrize("frame", EVERY, ids=lambda frame: frame["e"])
def test_bad_price_changes_one_price_and_nothing_else(frame: dict[str, Any]) -> None:
    changed = after(changes.bad_price("NaN"), frame)
    before, now = leaves(frame), leaves(changed)
    different = [place for place in before if before[place] != now[place]]
    assert len(different) == 1
    assert before[different[0]] == "1.50"
    assert now[different[0]] == "NaN"


@pytest.mark.parametrize("frame", [QUOTE, TRADE, DIFF, KLINE], ids=lambda frame: frame["e"])
def test_bad_quantity_changes_one_quantity(frame: dict[str, Any]) -> None:
    changed = after(changes.bad_quantity("-1"), frame)
    before, now = leaves(frame), leaves(changed)
    assert [now[place] for place in before if before[place] != now[place]] == ["-1"]


@pytest.mark.parametrize("frame", EVERY, ids=lambda frame: frame["e"])
def test_factor_multiplies_every_price_exactly(frame: dict[str, Any]) -> None:
    changed = leaves(after(changes.price_jump(10), frame))
    for place, text in leaves(frame).items():
        if text in {"1.50", "1.60", "1.40", "1.70"}:
            assert changed[place] == f"{float(str(text)) * 10:.2f}"


def test_crossing_changes_sides() -> None:
    quote = after(changes.crossed, QUOTE)
    assert (quote["b"], quote["B"], quote["a"], quote["A"]) == ("1.60", "3", "1.50", "2")
    diff = after(changes.crossed, DIFF)
    assert (diff["b"], diff["a"]) == (DIFF["a"], DIFF["b"])
    assert after(changes.crossed, TRADE) == TRADE
    assert after(changes.locked, QUOTE)["b"] == "1.60"
    assert after(changes.locked, DIFF) == DIFF


def test_freeze_keeps_the_first_numbers_of_each_kind_of_frame() -> None:
    freeze = changes.Freeze()
    assert after(freeze, QUOTE) == QUOTE
    later = after(freeze, QUOTE | {"u": 10, "b": "1.55", "A": "8"})
    assert later == QUOTE | {"u": 10}
    diffs = changes.Freeze()
    assert after(diffs, DIFF) == DIFF | {"b": [], "a": []}
    assert after(diffs, DIFF | {"u": 9, "pu": 7}) == DIFF | {"u": 9, "pu": 7, "b": [], "a": []}
    bars = changes.Freeze()
    after(bars, KLINE)
    assert after(bars, {**KLINE, "k": {"o": "9"}}) == KLINE


def test_another_symbol_is_named_wherever_it_stands() -> None:
    changed = after(changes.wrong_symbol("XUSDT"), KLINE)
    assert (changed["s"], changed["k"]["s"]) == ("XUSDT", "XUSDT")
    cousin = after(changes.coin_margined(same_symbol=False), TRADE)
    assert (cousin["s"], cousin["ps"], cousin["st"]) == ("BTCUSD_PERP", "BTCUSD", 2)


def test_ids_move_and_stay_above_zero() -> None:
    moved = after(changes.moved_ids(("U", "u", "t", "a"), -6), DIFF)
    assert (moved["U"], moved["u"], moved["pu"]) == (0, 1, 4)
    # The `a` of a quote is a price, not an id.
    assert after(changes.moved_ids(("u", "a"), 1), QUOTE) == QUOTE | {"u": 10}


ALL = [
    changes.bad_price("NaN"), changes.bad_quantity("-1"), changes.off_grid, changes.price_jump(3),
    changes.crossed, changes.locked, changes.field("u", None), changes.moved_ids(("u",), 1),
    changes.wrong_symbol("X"), changes.coin_margined(same_symbol=True), changes.tagged,
]  # fmt: skip


@given(st.one_of(st.binary(max_size=60), st.sampled_from([b"[1]", b"3", b'"x"', b"null", b"{}"])))
def test_no_payload_breaks_a_change(body: bytes) -> None:
    for change in ALL:
        assert isinstance(change(body), bytes)
    assert len(changes.half(body)) == len(body) // 2
    assert len(changes.padded(100)(body)) == 100 or not body
    assert changes.emptied(body) == b""


def test_garbage_repeats_with_its_seed() -> None:
    body = json.dumps(QUOTE).encode()
    first, again = changes.garbage(Random(3)), changes.garbage(Random(3))
    assert [first(body), first(body)] == [again(body), again(body)]
    assert changes.garbage(Random(4))(body) != changes.garbage(Random(3))(body)


# Links and pings ----------------------------------------------------------------------------


def test_link_lets_whole_frames_pass_until_one_breaks() -> None:
    link = Link()
    assert link.healthy
    assert link.passed([b"one", b"two"]) == ([b"one", b"two"], False)
    link = Link(halves=1)
    assert not link.healthy
    assert link.passed([b"abcdef", b"two"]) == ([b"abc"], True)
    link.dead = 1
    assert link.passed([b"one"]) == ([], False)
    assert Link(silent=1).passed([b"one"]) == ([], False)
    assert Link(halves=1).passed([]) == ([], False)


def test_pong_answers_its_ping_and_those_before() -> None:
    pings = Pings()
    first, second, third = (pings.send(at) for at in (1.0, 2.0, 3.0))
    assert len({first, second, third}) == 3
    pings.answered(b"unsolicited")
    assert pings.overdue(12.0, 10.0)
    pings.answered(second)
    assert not pings.overdue(12.0, 10.0)
    assert pings.overdue(14.0, 10.0)
    pings.answered(third)
    assert not pings.overdue(1e9, 10.0)


def test_silent_client_is_overdue_however_often_it_is_pinged() -> None:
    pings = Pings()
    for k in range(100):
        pings.send(float(k))
    assert len(pings.unanswered) == PINGS_KEPT
    assert pings.overdue(99.0, 90.0)
    assert not pings.overdue(99.0, 100.0)
