"""`aegis why`: everything the journal says about one order, in the order it happened.

Times are offsets from the moment the causing record was received, or from the first event where
the market was not journaled. Names stand for numbers; what has none is shown as its number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine import exit_codes
from engine.domain.client_id import EPOCH_LOW_MASK
from engine.domain.codes import (
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_REDUCE_ONLY,
    TRADE_BUYER_AGGRESSOR,
    EventType,
    Liquidity,
    OrderStatus,
    OrderType,
    RecordType,
    Side,
    TimeInForce,
)
from engine.domain.execution.asked import Method
from engine.domain.execution.router import Health
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.instrument_row import E8, Instrument, decimal_text
from engine.domain.risk_reasons import reasons_of
from engine.domain.strategy_table import StrategyReason
from engine.processes.outside_words import moment
from engine.processes.progress import progressing
from engine.store.errors import StoreError
from engine.store.event_names import Event, EventNames, member_name, text_of
from engine.store.story import Story, StoryEvent, find_story, newest_orders
from engine.venues.order_records import LocalReason

LISTED_MAX: Final = 20
NS_PER_S: Final = 1_000_000_000
UNITS: Final = ((NS_PER_S, "s"), (1_000_000, "ms"), (1_000, "us"))
Fields = dict[str, Any]


def why_command(home: Path, order: str | None, state: str | None, *, as_json: bool) -> int:
    """Print an order's story, or without an order the newest ones; return the exit code."""
    folders = sorted(path.parent for path in (home / "state").glob("*/journal"))
    if state is not None:
        folders = [folder for folder in folders if folder.name == state]
    if not folders:
        text = f"no journal of {state or 'any account'} in {home}/state"
        return exit_codes.fail(text, exit_codes.ENVIRONMENT)
    try:
        if order is None:
            return _list(folders, as_json=as_json)
        with progressing(folders, "accounts", quiet=as_json) as each_folder:
            stories = [(folder, find_story(folder, order)) for folder in each_folder]
    except StoreError as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    known = [(folder, story) for folder, story in stories if story is not None]
    if not known:
        where = folders[0] if len(folders) == 1 else f"{len(folders)} accounts of {home}/state"
        text = f"no order {order!r} in the journals of {where}; `aegis why` lists the newest"
        return exit_codes.fail(text, exit_codes.USAGE)
    if len(known) > 1:
        names = ", ".join(folder.name for folder, _ in known)
        text = f"{order!r} is an order of several accounts: choose one with --state ({names})"
        return exit_codes.fail(text, exit_codes.USAGE)
    document = story_document(known[0][1])
    print(json.dumps(document) if as_json else story_text(document))  # noqa: T201
    return exit_codes.DONE


def story_document(story: Story) -> Fields:
    """Return a story as plain values."""
    known = [*([story.cause] if story.cause else []), *story.events]
    names = EventNames(story.events[0].document)
    first = story.events[0].event
    start_ns = _time_ns(known[0])
    return {
        "order_id": f"{story.name.epoch}-{story.name.order_sequence}",
        "client_order_id": _client_order_id(story),
        "instrument": names.instrument(first),
        "strategy": names.strategy(first),
        "journal": str(story.directory),
        "started": datetime.fromtimestamp(start_ns / NS_PER_S, UTC).isoformat(),
        "events": [
            {
                "after_ns": _time_ns(told) - start_ns,
                "session": told.document.session_id,
                **(_market(told) if told is story.cause else _event(told)),
            }
            for told in known
        ],
    }


def story_text(document: Mapping[str, Any]) -> str:
    """Return the readable form of a story's document."""
    lines = [
        f"order {document['order_id']}, {document['client_order_id']}",
        f"{document['instrument']} by {document['strategy']}",
        f"journal {document['journal']}",
        f"time 0 is {document['started']}",
        "",
    ]
    session = document["events"][0]["session"]
    for told in document["events"]:
        if told["session"] != session:
            session = told["session"]
            lines.append(f"-- session {session} --")
        shown = [
            f"{name} {entry}"
            for name, entry in told.items()
            if name not in _UNSHOWN and entry is not None
        ]
        lines.append(f"{_offset_text(told['after_ns']):>12}  {told['what']:<18} {', '.join(shown)}")
    return "\n".join(lines)


_UNSHOWN: Final = frozenset({"after_ns", "session", "what"})


def _list(folders: Sequence[Path], *, as_json: bool) -> int:
    with progressing(folders, "accounts", quiet=as_json) as each_folder:
        rows = [
            {"time": _clock_text(told), "state": folder.name, **_request(told)}
            for folder in each_folder
            for told in newest_orders(folder, LISTED_MAX)
        ]
    rows = sorted(rows, key=itemgetter("time"), reverse=True)[:LISTED_MAX]
    if as_json:
        print(json.dumps(rows))  # noqa: T201  the command's own output
        return exit_codes.DONE
    for row in rows:
        text = f"{row['time']}  {row['state']}  {row['client_order_id']:<20} {row['order']}"
        print(text)  # noqa: T201  the command's own output
    if not rows:
        exit_codes.fail("no order was asked for in these journals yet", exit_codes.DONE)
    return exit_codes.DONE


def _request(told: StoryEvent) -> Fields:
    names = EventNames(told.document)
    return {
        "client_order_id": names.client_order_id(told.event),
        "order": f"{_order_text(told)} {names.instrument(told.event)}",
    }


def _client_order_id(story: Story) -> str:
    for told in story.events:
        if told.event["order_sequence"] > 0:
            return EventNames(told.document).client_order_id(told.event)
    return ""


def _time_ns(told: StoryEvent) -> int:
    names = told.event.dtype.names or ()
    column = "time_ns" if "time_ns" in names else "receive_time_ns"
    # What was handed on by an earlier session has no time: this one began with it.
    return told.document.realtime_ns(int(told.event[column]) or told.document.started_monotonic_ns)


def _clock_text(told: StoryEvent) -> str:
    return datetime.fromtimestamp(_time_ns(told) / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _offset_text(offset_ns: int) -> str:
    for unit_ns, unit in UNITS:
        if abs(offset_ns) >= unit_ns:
            return f"+{offset_ns / unit_ns:,.1f} {unit}"
    return f"+{offset_ns} ns"


def _instrument(told: StoryEvent) -> Instrument:
    return told.document.instruments[int(told.event["instrument_index"])]


def _market(told: StoryEvent) -> Fields:
    """Say what the causing market record was."""
    record, instrument = told.event, _instrument(told)
    kind = RecordType(int(record["record_type"]))
    said: Fields = {"what": f"market {kind.name}", "record": int(record["sequence"]) - 1}
    if kind is RecordType.QUOTE:
        for side in ("bid", "ask"):
            price = instrument.price_text(int(record[f"{side}_price_ticks"]))
            said[side] = f"{price} x {instrument.qty_text(int(record[f'{side}_qty_lots']))}"
    elif kind is RecordType.TRADE:
        said["price"] = instrument.price_text(int(record["price_ticks"]))
        said["quantity"] = instrument.qty_text(int(record["qty_lots"]))
        said["taker"] = "BUY" if record["flags"] & TRADE_BUYER_AGGRESSOR else "SELL"
    return said


def _event(told: StoryEvent) -> Fields:
    kind = int(told.event["event_type"])
    tell = _TELLERS.get(kind)
    return {
        "what": _WORDS.get(kind) or member_name(EventType, kind).lower().replace("_", " "),
        **(tell(told) if tell else {}),
    }


def _decision(told: StoryEvent) -> Fields:
    event = told.event
    names = EventNames(told.document)
    inputs = names.inputs(event)
    return {
        "wants": "entry" if event["flags"] & EVENT_ENTRY else "exit",
        "reason": member_name(StrategyReason, int(event["reason"])),
        "score": round(float(event["input_0"]), 6),
        **{name: round(number, 6) for name, number in (inputs | names.weighed(event)).items()},
        "sized": names.sized(event) or None,
        "because": names.because(event) or None,
        "position": _instrument(told).qty_text(int(event["position_lots"])),
        "gates": _gates(event),
    }


def _gates(event: Event) -> str:
    refused = reasons_of(int(event["refusal_mask"]))
    return " ".join(reason.name for reason in refused) or "all passed"


def _order_text(told: StoryEvent) -> str:
    event, instrument = told.event, _instrument(told)
    side = member_name(Side, int(event["side"]))
    kind = member_name(OrderType, int(event["order_type"]))
    text = f"{side} {instrument.qty_text(int(event['qty_lots']))} {kind}"
    if event["order_type"] == OrderType.LIMIT:
        price = instrument.price_text(int(event["price_ticks"]))
        text += f" {price} {member_name(TimeInForce, int(event['time_in_force']))}"
        if event["time_in_force"] == TimeInForce.GTD and event["good_till_ms"] > 0:
            text += f" till {moment(int(event['good_till_ms']))}"
    if event["order_type"] >= OrderType.STOP_MARKET:
        first = "first " if event["order_type"] == OrderType.TRAILING_STOP_MARKET else ""
        text += f" {first}at {instrument.price_text(int(event['price_ticks']))}"
    return text + (" reduce-only" if event["flags"] & EVENT_REDUCE_ONLY else "")


def _outside(told: StoryEvent) -> Fields:
    """Say who asked for an order that no strategy decided: a person, or a parent order."""
    event, parent = told.event, int(told.event["cause_sequence"])
    # A parent may be of an earlier session than its child; 0: of a version in which it never was.
    low = int(event["trade_id"]) & EPOCH_LOW_MASK if event["trade_id"] else int(event["epoch_low"])
    epoch = told.document.order_epoch(low)
    asker = {"parent": f"{epoch}-{parent}"} if parent else {"by": text_of(event)}
    route = _route(event) if parent else {}
    return {**asker, "wants": _order_text(told), **route, "gates": _gates(event)}


def _route(event: Event) -> Fields:
    """Say which way the router chose for a child and what that rested on; nothing: not asked."""
    chosen = text_of(event)
    if not chosen:
        return {}
    cost_bps, other_bps, latency_ms, age_ms, health = (float(event[f"input_{k}"]) for k in range(5))
    return {
        "route": chosen,
        "cost_bps": round(cost_bps, 3),
        "other_way_bps": None if isnan(other_bps) else round(other_bps, 3),
        "latency_ms": round(latency_ms, 3),
        "touch_age_ms": round(age_ms, 1),
        "health": member_name(Health, int(health)),
    }


def _parent(told: StoryEvent) -> Fields:
    """Say what was asked of an algorithm, by whom, or how far it is."""
    event, lots = told.event, int(told.event["cum_qty_lots"])
    if event["event_type"] == EventType.CONTROL_EXECUTE:
        side = member_name(Side, int(event["side"]))
        method = member_name(Method, int(event["order_type"]))
        wants = f"{side} {_instrument(told).qty_text(int(event['qty_lots']))} {method}"
        return {"by": text_of(event), "wants": wants}
    state, reason = int(event["order_status"]), int(event["reason"])
    is_here = event["instrument_index"] >= 0  # else this session does not trade it
    return {
        "is_now": member_name(WorkState, state),
        "filled": _instrument(told).qty_text(lots) if is_here else f"{lots} lots",
        "children": int(event["cause_sequence"]),
        "taken_up": int(event["time_in_force"]) or None,
        "reason": member_name(StopReason, reason) if reason else None,
        "route" if is_here else "instrument": text_of(event) or None,
    }


def _trailed(told: StoryEvent) -> Fields:
    event, instrument = told.event, _instrument(told)
    return {
        "stop": instrument.price_text(int(event["price_ticks"])),
        "best": instrument.price_text(int(event["last_price_ticks"])),
    }


def _intent(told: StoryEvent) -> Fields:
    instrument, half = _instrument(told), int(told.event["mid_half_ticks"])
    return {
        "order": _order_text(told),
        "mid": decimal_text(half * instrument.tick_scaled * 5, instrument.price_exponent + 1),
        "decided_after_us": _us(told.event, "decision_time_ns", "cause_receive_time_ns"),
    }


def _sent(told: StoryEvent) -> Fields:
    return {
        "first_byte_after_decision_us": _us(told.event, "write_time_ns", "decision_time_ns"),
        "tick_to_order_us": _us(told.event, "write_time_ns", "cause_receive_time_ns"),
    }


def _us(event: Any, until: str, since: str) -> float | None:  # noqa: ANN401  a numpy record
    begin, end = int(event[since]), int(event[until])
    return round((end - begin) / 1_000, 1) if begin > 0 and end >= begin else None


def _update(told: StoryEvent) -> Fields:
    event = told.event
    said: Fields = {
        "venue_says": member_name(OrderStatus, int(event["order_status"])),
        "is_now": member_name(OrderStatus, int(event["order_status_after"])),
    }
    if event["venue_order_id"] > 0:
        said["venue_order_id"] = int(event["venue_order_id"])
    if event["cum_qty_lots"] > 0:
        said["filled"] = _instrument(told).qty_text(int(event["cum_qty_lots"]))
    return said | _reason(told)


def _reason(told: StoryEvent) -> Fields:
    reason = int(told.event["reason"])
    known = {"reason": member_name(LocalReason, reason)} if reason else {}
    again = {"repeated": True} if told.event["flags"] & EVENT_DUPLICATE else {}
    return known | again


def _fill(told: StoryEvent) -> Fields:
    event, instrument = told.event, _instrument(told)
    return {
        "quantity": instrument.qty_text(int(event["last_qty_lots"])),
        "price": instrument.price_text(int(event["last_price_ticks"])),
        "liquidity": member_name(Liquidity, int(event["liquidity"])),
        "fee": int(event["fee_e8"]) / E8,
        "realised": int(event["realised_pnl_e8"]) / E8,
        "trade_id": int(event["trade_id"]),
        "position": instrument.qty_text(int(event["position_lots"])),
        "is_now": member_name(OrderStatus, int(event["order_status_after"])),
        **_reason(told),
    }


def _doubt(told: StoryEvent) -> Fields:
    status = member_name(OrderStatus, int(told.event["order_status_after"]))
    return {"is_now": status, **_reason(told)}


def _restored(told: StoryEvent) -> Fields:
    text = text_of(told.event)
    return {"is_now": member_name(OrderStatus, int(told.event["order_status"])), "as": text}


_WORDS: Final[Mapping[int, str]] = MappingProxyType(
    {
        EventType.SIGNAL_GENERATED: "decision",
        EventType.ORDER_REQUEST: "intent",
        EventType.COMMAND_CANCEL: "cancel asked",
        EventType.COMMAND_REPLACE: "amendment asked",
        EventType.COMMAND_FETCH: "lookup asked",
        EventType.ORDER_SENT: "sent",
        EventType.ORDER_UPDATE: "venue",
        EventType.ORDER_UNKNOWN: "outcome unknown",
        EventType.RESTORE_ORDER: "restored",
    }
)
_TELLERS: Final[Mapping[int, Callable[[StoryEvent], Fields]]] = MappingProxyType(
    {
        EventType.SIGNAL_GENERATED: _decision,
        EventType.CONTROL_ORDER: _outside,
        EventType.CHILD_ORDER: _outside,
        EventType.CONTROL_EXECUTE: _parent,
        EventType.PARENT_STATE: _parent,
        EventType.STOP_TRAILED: _trailed,
        EventType.ORDER_REQUEST: _intent,
        EventType.ORDER_SENT: _sent,
        EventType.ORDER_UPDATE: _update,
        EventType.VENUE_ORDER: _update,
        EventType.FILL: _fill,
        EventType.ORDER_UNKNOWN: _doubt,
        EventType.CANCEL_REJECTED: _doubt,
        EventType.RESTORE_ORDER: _restored,
    }
)
