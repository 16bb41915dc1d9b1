"""A person's words as an order or a parent order, in whole lots and ticks, or a sentence why not.

Exact or refused: nothing is rounded for a person. Standard library only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from engine.domain.client_id import CLIENT_ID_CHARACTERS_MAX, parse_client_id
from engine.domain.codes import TimeInForce
from engine.domain.execution.asked import Asked, Least, Method
from engine.domain.instrument_row import INT64_MAX, Instrument
from engine.processes.outside_records import OutsideOrder
from engine.web.bodies import ExecuteBody, OrderBody

HIDDEN: Final = "hidden"
MS_PER_S: Final = 1_000
GOOD_TILL_LEAST_S: Final = 600  # a date is further ahead than that, says the venue


class RefusedWords(ValueError):  # noqa: N818  a person's words, not an error of the program
    """What was asked is no order; the message is one sentence."""


def parent_of(asked: ExecuteBody, instrument: Instrument) -> Asked:
    """Return a parent order in lots and ticks, checked as the brain will check it.

    Raises:
        RefusedWords: it cannot be said exactly, or makes no sense.
    """
    side = 1 if asked.side == "buy" else -1
    lots, ticks = lots_of(asked.quantity, instrument), ticks_of(asked.limit_price, instrument)
    # The router hides an order where its venue does, and else shows the display.
    method = Method.BEST if asked.method == HIDDEN else Method[asked.method.upper()]
    display = lots_of(asked.display, instrument, "display") if asked.display else 0
    details = {
        Method.POV: asked.rate,
        Method.ICEBERG: float(display),
        Method.BEST: float(display),
        Method.SHORTFALL: asked.urgency,
        Method.PEG: float(asked.behind_ticks),
    }
    parent = Asked(
        method=method,
        side=side,
        qty_lots=lots,
        limit_ticks=ticks,
        span_s=asked.minutes * 60,
        detail=details.get(method, 0.0),
        patience_s=min(asked.patience_s, asked.minutes * 60),
        cap=asked.cap,
    )
    try:
        parent.plan(Least(max(instrument.min_qty_lots, 1)), 0, expected_lots=1)
    except ValueError as error:
        raise RefusedWords(str(error)) from error
    return parent


def words_of(parent: Asked) -> dict[str, float]:
    """Return a parent order as its record has it."""
    return {
        "order_type": parent.method,
        "side": parent.side,
        "qty_lots": parent.qty_lots,
        "price_ticks": parent.limit_ticks,
        "input_0": parent.span_s,
        "input_1": parent.detail,
        "input_2": parent.patience_s,
        "input_3": parent.cap,
    }


def lots_of(quantity: str, instrument: Instrument, name: str = "quantity") -> int:
    """Return a quantity in lots; `name` is what refused words call it.

    Raises:
        RefusedWords: it is not a positive multiple of a lot, or more than a record can say.
    """
    lots = instrument.qty_lots(quantity)
    if lots is None or lots <= 0:
        step = instrument.qty_text(1)
        raise RefusedWords(f"{name} {quantity!r} is not a positive multiple of {step}")
    if lots > INT64_MAX:
        raise RefusedWords(f"{name} {quantity!r} is more than any order has")
    return lots


def ticks_of(price: str, instrument: Instrument) -> int:
    """Return a price in ticks; 0 for none.

    Raises:
        RefusedWords: it is not a positive multiple of a tick, or more than a record can say.
    """
    ticks = instrument.price_ticks(price) if price else 0
    if ticks is None or (price and ticks <= 0):
        tick = instrument.price_text(1)
        raise RefusedWords(f"price {price!r} is not a positive multiple of {tick}")
    if ticks > INT64_MAX:
        raise RefusedWords(f"price {price!r} is more than any order has")
    return ticks


def order_of(asked: OrderBody, instrument: Instrument) -> OutsideOrder:
    """Return a person's order in lots and ticks.

    Raises:
        RefusedWords: it cannot be said exactly, or contradicts itself.
    """
    if asked.side not in {"buy", "sell"}:
        raise RefusedWords(f"side {asked.side!r} is neither buy nor sell")
    if asked.post_only and (asked.immediate or asked.fill_or_kill or not asked.limit_price):
        raise RefusedWords("post-only is of an order that rests, at a limit price")
    if asked.immediate and asked.fill_or_kill:
        raise RefusedWords("immediate-or-cancel fills in part, fill-or-kill never: one of them")
    if (asked.immediate or asked.fill_or_kill) and not asked.limit_price:
        name = "immediate-or-cancel" if asked.immediate else "fill-or-kill"
        raise RefusedWords(f"{name} needs a limit price; without one it is at market")
    good_till_ms = _good_till_ms(asked)
    return OutsideOrder(
        instrument_index=instrument.instrument_index,
        side=1 if asked.side == "buy" else -1,
        qty_lots=lots_of(asked.quantity, instrument),
        price_ticks=ticks_of(asked.limit_price, instrument),
        time_in_force=_time_in_force(asked),
        is_post_only=asked.post_only,
        is_reduce_only=asked.reduce_only,
        good_till_ms=good_till_ms,
    )


def refused_date(asked: OrderBody, now_ms: int) -> str:
    """Return why the venue would not take an order's date at `now_ms`; empty: it would."""
    if asked.good_till_ms is None:
        return ""
    date, ahead_ms = moment(asked.good_till_ms), asked.good_till_ms - now_ms
    if ahead_ms <= 0:
        return f"good till {date} is in the past"
    if ahead_ms <= GOOD_TILL_LEAST_S * MS_PER_S:
        return (
            f"good till {date} is too near: the venue takes dates over {GOOD_TILL_LEAST_S} s ahead"
        )
    return ""


def moment(time_ms: int) -> str:
    """Return a time in ms since the epoch as a date, to the second: 2026-11-24T12:00:00Z."""
    return datetime.fromtimestamp(time_ms // MS_PER_S, UTC).isoformat().replace("+00:00", "Z")


def _good_till_ms(asked: OrderBody) -> int:
    if asked.good_till_ms is None:
        return 0
    if not asked.limit_price:
        raise RefusedWords("good-till needs a limit price; at market nothing rests")
    if asked.post_only:
        raise RefusedWords(
            "post-only and good-till are two times in force at the venue: one of them"
        )
    if asked.immediate or asked.fill_or_kill:
        raise RefusedWords("good-till is of an order that rests, not of one that fills or expires")
    if asked.good_till_ms % MS_PER_S:
        raise RefusedWords("good-till is a whole second: the venue drops milliseconds")
    return asked.good_till_ms


def _time_in_force(asked: OrderBody) -> TimeInForce:
    if asked.good_till_ms is not None:
        return TimeInForce.GTD
    if asked.fill_or_kill:
        return TimeInForce.FOK
    return TimeInForce.IOC if asked.immediate else TimeInForce.GTC


def place_of(order: str, engine_tag: str) -> tuple[int, int] | None:
    """Return epoch and number of an order from its client id or EPOCH-NUMBER; None: neither."""
    known = parse_client_id(engine_tag, order)
    if known is not None:
        return known.epoch, known.order_sequence
    epoch, _, number = order.partition("-")
    is_plain = epoch.isascii() and number.isascii() and epoch.isdigit() and number.isdigit()
    if not is_plain or len(order) > CLIENT_ID_CHARACTERS_MAX or not 0 < int(number) <= INT64_MAX:
        return None
    return int(epoch), int(number)
