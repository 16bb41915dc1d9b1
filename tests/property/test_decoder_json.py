"""Any legal JSON text of an event means in C what a JSON library and Decimal say it means.

The text is written here token by token: key order, whitespace, escapes in keys that nobody reads,
members said twice, bare decimals, long numbers, nested values, any Unicode.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.firewall_reasons import PRICE_TICKS_MAX, QTY_LOTS_MAX, FirewallReason
from tests.feed_decoder import decode_event
from tests.feed_rig import BTC, ETH, FeedRig, Frame, Frames

KINDS = ("book_ticker", "trade", "agg_trade", "kline", "mark_price", "force_order")
DECIMALS = {"b", "B", "a", "A", "p", "q", "ap", "o", "c", "h", "l", "v", "i", "r"}
INSTRUMENTS = {"BTCUSDT": BTC, "ETHUSDT": ETH}
SPACE = st.text(" \t\n\r", max_size=2)
# Keys that no event reads. An escaped spelling of a key that one reads is in its own test.
FOREIGN_KEYS = st.text(min_size=3, max_size=6).filter(
    lambda key: key not in {"stream", "data", "result", "error", "bids", "asks", "lastUpdateId"}
)
FOREIGN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def token(draw: st.DrawFn, text: str) -> str:
    """Return a token with whitespace around it."""
    return draw(SPACE) + text + draw(SPACE)


def value_text(draw: st.DrawFn, key: str, value: object) -> str:
    """Return a value as JSON; a decimal sometimes longer, sometimes without its quotes."""
    if isinstance(value, dict):
        return object_text(draw, value)
    if key in DECIMALS and isinstance(value, str) and "." in value:
        value += "0" * draw(st.integers(0, 12))
        return value if draw(st.booleans()) else f'"{value}"'
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def object_text(draw: st.DrawFn, members: Frame) -> str:
    """Return an object: its members in any order, strangers between them, some said before."""
    pairs = [(json.dumps(key), value_text(draw, key, value)) for key, value in members.items()]
    for key in draw(st.lists(FOREIGN_KEYS, max_size=3)):
        text = json.dumps(draw(FOREIGN), ensure_ascii=draw(st.booleans()))
        pairs.append((json.dumps(key, ensure_ascii=draw(st.booleans())), text))
    pairs = draw(st.permutations(pairs))
    for key, _ in draw(st.lists(st.sampled_from(pairs), max_size=2)):
        # Said twice: the last one counts, so what comes first may be anything.
        pairs.insert(0, (key, json.dumps(draw(FOREIGN))))
    inside = ",".join(token(draw, key) + ":" + token(draw, text) for key, text in pairs)
    return "{" + inside + "}"


@st.composite
def texts(draw: st.DrawFn, kind: str) -> tuple[str, Frame]:
    """Return a legal text of a good event, and the event."""
    rig_ms = FeedRig().venue_ms
    event: Frame = getattr(Frames(wrapped=False), kind)(rig_ms)
    text = token(draw, object_text(draw, event))
    if draw(st.booleans()):
        stream = {
            "book_ticker": "bookTicker",
            "agg_trade": "aggTrade",
            "mark_price": "markPrice@1s",
            "force_order": "forceOrder",
            "kline": "kline_1m",
        }.get(kind, kind)
        head = token(draw, f'"btcusdt@{stream}"')
        parts = [f'"stream":{head}', f'"data":{text}']
        text = "{" + ",".join(draw(st.permutations(parts))) + "}"
    return text, event


def parsed(text: str) -> dict[str, Any]:
    """Return what a JSON library reads, decimals by their own digits."""
    document = json.loads(text, parse_float=str)
    event: dict[str, Any] = document["data"] if "stream" in document else document
    return event


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_legal_text_means_what_a_json_library_reads(kind: str, data: st.DataObject) -> None:
    text, _ = data.draw(texts(kind))
    rig = FeedRig([BTC, ETH], capacity=64)
    try:
        assert rig.decode(text) == 0, text
        (record,) = [row for row in rig.records() if row["record_type"] < 7]
        (wanted,) = decode_event(INSTRUMENTS, parsed(text))
        assert {name: int(record[name]) for name in wanted} == wanted
    finally:
        rig.close()


@given(
    digits=st.integers(1, 10**24),
    scale=st.integers(0, 24),
    zeros=st.integers(0, 30),
    key=st.sampled_from(["p", "q"]),
)
def test_a_decimal_is_exact_or_refused(digits: int, scale: int, zeros: int, key: str) -> None:
    number = Decimal(digits).scaleb(-scale)
    text = f"{number:f}"
    text = text + "0" * zeros if "." in text else text + "." + "0" * (zeros + 1)
    rig = FeedRig([BTC], capacity=64)
    result = rig.decode(Frames(wrapped=False).trade(rig.venue_ms, **{key: text}))
    units = number / (Decimal("0.1") if key == "p" else Decimal("0.001"))
    if result == 0:
        assert units <= (PRICE_TICKS_MAX if key == "p" else QTY_LOTS_MAX)
        name = "price_ticks" if key == "p" else "qty_lots"
        (record,) = [row for row in rig.records() if row["record_type"] < 7]
        assert int(record[name]) == units
    else:
        off = FirewallReason.OFF_TICK if key == "p" else FirewallReason.OFF_LOT
        assert result in {off, FirewallReason.NUMBER_RANGE}
        assert result != off or units != units.to_integral_value()
        assert result == off or units > (PRICE_TICKS_MAX if key == "p" else QTY_LOTS_MAX)
    rig.close()


@pytest.mark.parametrize("is_general", [False, True])
@pytest.mark.parametrize("exponent", [0, 1, 8, 18])
@pytest.mark.parametrize("scale", [1, 5])
@pytest.mark.parametrize(
    ("lots", "fits"),
    [
        (1, True),
        (QTY_LOTS_MAX - 1, True),
        (QTY_LOTS_MAX, True),
        (QTY_LOTS_MAX + 1, False),
        (2**53 + 1, False),  # no double is exact any more
        (9 * 10**18, False),
        (2**63 - 1, False),
        (2**63, False),
        (2**64 + 1, False),  # what wraps to 1
        (10**40, False),
    ],
)
def test_a_quantity_is_exact_up_to_its_bound_and_refused_beyond(
    lots: int, fits: bool, scale: int, exponent: int, is_general: bool
) -> None:
    units = lots * scale
    text = f"{units:0{exponent + 1}d}"
    text = f"{text[:-exponent]}.{text[-exponent:]}" if exponent else text
    row = msgspec.structs.replace(BTC, qty_exponent=exponent, lot_scaled=scale)
    rig = FeedRig([row], capacity=64)
    frame: Frame = Frames(wrapped=False).trade(rig.venue_ms, q=text)
    result = rig.decode(json.dumps(frame, indent=1) if is_general else frame)
    if fits:
        assert result == 0, text
        (record,) = [one for one in rig.records() if one["record_type"] < 7]
        assert int(record["qty_lots"]) == lots
    else:
        assert result == FirewallReason.NUMBER_RANGE, text
    rig.close()


@pytest.mark.parametrize("number", ["6.1e4", "61800e0", "6180000E-2", "1E400"])
@pytest.mark.parametrize("is_quoted", [True, False])
def test_a_price_with_an_exponent_is_refused_by_name(number: str, is_quoted: bool) -> None:
    # WHY: no venue writes one; reading it would be one more way to be wrong about a price.
    for space in ("", " "):
        rig = FeedRig([BTC], capacity=64)
        text = json.dumps(Frames(wrapped=False).trade(rig.venue_ms), separators=(",", ":"))
        changed = text.replace('"61800.00"', f'"{number}"' if is_quoted else number)
        assert changed != text
        assert rig.decode(space + changed) == FirewallReason.NOT_FINITE
        rig.close()


@pytest.mark.parametrize("space", ["", " "])
def test_an_escaped_spelling_of_a_key_is_not_that_key(space: str) -> None:
    # A JSON library reads it as the key; the venue never writes it, so it refuses the frame.
    rig = FeedRig([BTC], capacity=64)
    text = json.dumps(Frames(wrapped=False).trade(rig.venue_ms), separators=(",", ":"))
    changed = text.replace('"p":', '"\\u0070":')
    assert rig.decode(space + changed) == FirewallReason.FIELD_MISSING
    rig.close()
