"""REST answers and user events become exact reports, or a refusal; never a guess."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    Liquidity,
    OrderStatus,
    OrderType,
    Side,
)
from engine.venues.binance.order_views import (
    AccountReader,
    BalanceView,
    FillView,
    OrderView,
    PositionView,
    decode_view,
    money_e8,
    round_half_away,
)
from engine.venues.binance.user_events import decode_user_frame
from engine.venues.venue import ProtocolError
from tests.builders import make_instrument

INSTRUMENT = make_instrument(quote="USDT", margin="USDT")  # type: ignore[arg-type]
READER = AccountReader([INSTRUMENT], "a", 1)
ORDER = {
    "symbol": "BTCUSDT",
    "orderId": 42,
    "clientOrderId": "a1-2-3-rs",
    "status": "PARTIALLY_FILLED",
    "side": "SELL",
    "type": "LIMIT",
    "timeInForce": "GTX",
    "price": "61800.10",
    "origQty": "0.010",
    "executedQty": "0.004",
    "reduceOnly": True,
    "updateTime": 1_723_000_000_123,
    "futureField": {"is": "ignored"},
}
TRADE = {
    "e": "ORDER_TRADE_UPDATE",
    "E": 1_723_000_000_200,
    "T": 1_723_000_000_199,
    "o": {
        "s": "BTCUSDT", "c": "a1-2-3-rs", "S": "BUY", "o": "MARKET", "f": "GTC", "q": "0.010",
        "p": "0", "ap": "61800.1", "x": "TRADE", "X": "FILLED", "i": 42, "l": "0.006",
        "z": "0.010", "L": "61800.10", "N": "USDT", "n": "0.14832024", "T": 1_723_000_000_199,
        "t": 900, "m": False, "R": False, "rp": "-1.25000000",
    },
}  # fmt: skip


def frame(event: object) -> bytes:
    return json.dumps(event).encode()


def test_order_answer_becomes_an_exact_report() -> None:
    view = decode_view(frame(ORDER), OrderView)
    report = READER.order_report(view, EventType.ORDER_UPDATE)
    assert report is not None
    assert (report.price_ticks, report.qty_lots, report.cum_qty_lots) == (618_001, 10, 4)
    assert report.order_status == OrderStatus.PARTIALLY_FILLED
    assert (report.side, report.order_type) == (Side.SELL, OrderType.LIMIT)
    assert report.flags == EVENT_REDUCE_ONLY | EVENT_POST_ONLY
    assert report.venue_time_ns == 1_723_000_000_123_000_000
    assert (report.strategy_index, report.order_sequence, report.cause_sequence) == (1, 3, 1000)
    assert report.epoch_low == 1


@pytest.mark.parametrize("status", ["NEW", "FILLED", "CANCELED", "REJECTED", "EXPIRED"])
def test_status_names_map_to_our_own(status: str) -> None:
    view = decode_view(frame(ORDER | {"status": status}), OrderView)
    report = READER.order_report(view, EventType.VENUE_ORDER)
    assert report is not None
    assert OrderStatus(report.order_status).name == status


def test_a_status_nobody_knows_is_unknown() -> None:
    view = decode_view(frame(ORDER | {"status": "FROZEN"}), OrderView)
    report = READER.order_report(view, EventType.ORDER_UPDATE)
    assert report is not None
    assert report.order_status == OrderStatus.UNKNOWN


@pytest.mark.parametrize("client_id", ["web_abc", "b1-2-3-rs", "autoclose-1", "a1-2-3", ""])
def test_foreign_orders_keep_number_zero(client_id: str) -> None:
    view = decode_view(frame(ORDER | {"clientOrderId": client_id}), OrderView)
    report = READER.order_report(view, EventType.VENUE_ORDER)
    assert report is not None
    assert (report.order_sequence, report.strategy_index) == (0, -1)
    assert report.text == client_id


def test_symbols_we_do_not_trade_are_left_out() -> None:
    foreign = decode_view(frame(ORDER | {"symbol": "X"}), OrderView)
    assert READER.order_report(foreign, 205) is None  # type: ignore[arg-type]
    assert READER.position_report(PositionView("X", "1", "2")) is None


@pytest.mark.parametrize(("field", "text"), [("price", "61800.15"), ("origQty", "0.0005")])
def test_numbers_off_the_grid_are_refused(field: str, text: str) -> None:
    view = decode_view(frame(ORDER | {field: text}), OrderView)
    with pytest.raises(ProtocolError, match="is off the"):
        READER.order_report(view, EventType.ORDER_UPDATE)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-", "1e400", ""])
def test_senseless_numbers_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        money_e8(text)


def test_fill_of_the_user_stream_is_exact() -> None:
    (report,) = decode_user_frame(frame(TRADE), READER).reports
    assert report.event_type == EventType.FILL
    assert (report.last_price_ticks, report.last_qty_lots, report.cum_qty_lots) == (618_001, 6, 10)
    assert (report.trade_id, report.venue_order_id) == (900, 42)
    assert (report.fee_e8, report.venue_realised_pnl_e8) == (14_832_024, -125_000_000)
    assert report.liquidity == Liquidity.TAKER
    assert report.order_status == OrderStatus.FILLED


def test_fill_over_rest_equals_the_one_of_the_stream() -> None:
    view = FillView(
        "BTCUSDT", 900, 42, "BUY", "61800.10", "0.006", "0.14832024", "USDT", "-1.25", False,
        1_723_000_000_199,
    )  # fmt: skip
    over_rest = READER.fill_report(view, "a1-2-3-rs")
    (over_stream,) = decode_user_frame(frame(TRADE), READER).reports
    assert over_rest is not None
    for name in (
        "instrument_index", "side", "order_sequence", "epoch_low", "last_price_ticks",
        "last_qty_lots", "venue_order_id", "trade_id", "fee_e8", "venue_realised_pnl_e8",
        "liquidity", "venue_time_ns",
    ):  # fmt: skip
        assert getattr(over_rest, name) == getattr(over_stream, name), name


def test_combined_form_of_a_frame_is_unwrapped() -> None:
    wrapped = frame({"stream": "key", "data": TRADE})
    assert decode_user_frame(wrapped, READER) == decode_user_frame(frame(TRADE), READER)


def test_changes_without_a_fill_are_order_updates() -> None:
    event = json.loads(frame(TRADE))
    event["o"] |= {"x": "CANCELED", "X": "CANCELED", "t": 0, "l": "0", "L": "0"}
    (report,) = decode_user_frame(frame(event), READER).reports
    assert report.event_type == EventType.ORDER_UPDATE
    assert (report.trade_id, report.order_status) == (0, OrderStatus.CANCELED)


def test_a_fill_whose_fee_another_wallet_paid_is_booked_without_it_and_told() -> None:
    event = json.loads(frame(TRADE))
    event["o"]["N"] = "BNB"
    told: list[str] = []
    reader = AccountReader(READER.instruments, READER.engine_tag, READER.epoch)
    reader.on_other_fee = told.append
    (known,) = decode_user_frame(frame(TRADE), reader).reports
    assert told == []
    (report,) = decode_user_frame(frame(event), reader).reports
    assert report == known._replace(fee_e8=0)
    assert told == ["BNB"]


def test_funding_is_booked_as_funding() -> None:
    event = {
        "e": "ACCOUNT_UPDATE",
        "E": 5,
        "a": {
            "m": "FUNDING_FEE",
            "B": [{"a": "USDT", "wb": "99.5", "cw": "99.5", "bc": "-0.5"}],
            "P": [{"s": "BTCUSDT", "pa": "0.010"}],
        },
    }
    (report,) = decode_user_frame(frame(event), READER).reports
    assert report.event_type == EventType.FUNDING
    assert (report.venue_realised_pnl_e8, report.instrument_index) == (-50_000_000, 0)
    event["a"]["P"] = []  # type: ignore[index]
    (cross,) = decode_user_frame(frame(event), READER).reports
    assert cross.instrument_index == -1


ALGO = {
    "e": "ALGO_UPDATE",
    "E": 1_723_000_000_200,
    "T": 1_723_000_000_199,
    "o": {
        "caid": "a1-2-3-rs", "aid": 77, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT",
        "S": "SELL", "ps": "BOTH", "f": "GTC", "q": "0.010", "X": "NEW", "ai": "", "tp": "60000",
        "cp": False, "R": True, "rm": "",
    },
}  # fmt: skip


def algo(**changes: object) -> bytes:
    return frame(ALGO | {"o": {**ALGO["o"], **changes}})  # type: ignore[dict-item]


@pytest.mark.parametrize("status", ["NEW", "CANCELED", "REJECTED", "EXPIRED"])
def test_a_conditional_order_is_told_by_its_name_and_without_a_number(status: str) -> None:
    (report,) = decode_user_frame(algo(X=status), READER).reports
    assert report.event_type == EventType.ORDER_UPDATE
    assert report.order_status == OrderStatus[status]
    assert (report.order_sequence, report.strategy_index, report.venue_order_id) == (3, 1, 0)
    assert (report.order_type, report.price_ticks) == (OrderType.STOP_MARKET, 600_000)
    assert (report.text, report.request_id) == ("a1-2-3-rs", 77)
    assert (report.side, report.qty_lots, report.flags) == (Side.SELL, 10, EVENT_REDUCE_ONLY)
    assert report.venue_time_ns == ALGO["T"] * 1_000_000  # type: ignore[operator]


def test_one_that_trails_is_told_without_a_price() -> None:
    event = algo(o="TRAILING_STOP_MARKET", tp="60000.123456")
    (report,) = decode_user_frame(event, READER).reports
    assert (report.order_sequence, report.strategy_index, report.venue_order_id) == (3, 1, 0)
    assert (report.order_type, report.price_ticks) == (OrderType.TRAILING_STOP_MARKET, 0)
    assert (report.side, report.qty_lots, report.flags) == (Side.SELL, 10, EVENT_REDUCE_ONLY)


@pytest.mark.parametrize("change", [{"cp": True, "q": "0"}, {"caid": "by-hand"}])
def test_what_the_engine_never_places_is_somebody_elses(change: dict[str, object]) -> None:
    (report,) = decode_user_frame(algo(tp="60000.123456", **change), READER).reports
    assert (report.order_sequence, report.strategy_index, report.price_ticks) == (0, -1, 0)


@pytest.mark.parametrize("status", ["TRIGGERED", "FINISHED"])
def test_what_a_conditional_order_became_goes_by_its_name(status: str) -> None:
    events = decode_user_frame(algo(X=status, ai="4242"), READER)
    assert events.child == ("BTCUSDT", 4242, "a1-2-3-rs")
    assert not events.reports, "the order it became tells the rest"


@pytest.mark.parametrize("changes", [{"X": "TRIGGERED"}, {"X": "TRIGGERING"}, {"s": "OTHERUSDT"}])
def test_what_a_conditional_order_does_not_tell_is_left_out(changes: dict[str, object]) -> None:
    events = decode_user_frame(algo(**changes), READER)
    assert events.ignored
    assert events.child is None


def test_a_conditional_order_off_the_grid_is_refused() -> None:
    with pytest.raises(ProtocolError, match="off the lot"):
        decode_user_frame(algo(q="0.0105"), READER)


@pytest.mark.parametrize(
    "event",
    [
        {"e": "TRADE_LITE", "s": "BTCUSDT", "t": 900},
        {"e": "ALGO_UPDATE", "o": {"aid": 3}},
        {"e": "ACCOUNT_UPDATE", "E": 1, "a": {"m": "ORDER", "B": [], "P": []}},
        {"e": "MARGIN_CALL"},
        {"e": "SOMETHING_NEW", "o": []},
        {"result": None, "id": 1},
    ],
)
def test_other_events_are_ignored(event: object) -> None:
    found = decode_user_frame(frame(event), READER)
    assert found.ignored
    assert not found.reports


def test_expired_key_is_told() -> None:
    assert decode_user_frame(frame({"e": "listenKeyExpired", "E": 1}), READER).expired


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_or_ignored(raw: bytes) -> None:
    try:
        found = decode_user_frame(raw, READER)
    except ProtocolError:
        return
    assert not found.reports


@given(st.data())
def test_cut_and_flipped_frames_never_raise_anything_else(data: st.DataObject) -> None:
    raw = bytearray(frame(TRADE))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(ProtocolError):
        decode_user_frame(cut, READER)


def test_position_cost_is_the_entry_notional() -> None:
    report = READER.position_report(PositionView("BTCUSDT", "-0.012", "61800.15"))
    assert report is not None
    assert report.position_lots == -12
    assert report.position_cost_e8 == int(Decimal("-0.012") * Decimal("61800.15") * 10**8)


def test_hedge_mode_positions_are_refused() -> None:
    with pytest.raises(ProtocolError, match="hedge-mode"):
        READER.position_report(PositionView("BTCUSDT", "1", "2", "LONG"))


def test_balance_of_the_quote_currency_or_zero() -> None:
    views = [BalanceView("BNB", "3", "3"), BalanceView("USDT", "1597.9", "100.00000001")]
    report = READER.balance_report(views)
    assert (report.word_0, report.word_1) == (159_790_000_000, 10_000_000_001)
    assert READER.balance_report([]).word_0 == 0


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_rounding_is_to_the_nearest_with_halves_away_from_zero(top: int, bottom: int) -> None:
    quotient = round_half_away(top, bottom)
    assert abs(2 * (quotient * bottom - top)) <= bottom
    assert round_half_away(-top, bottom) == -quotient


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"symbol":1}', b"\xff"])
def test_unreadable_answers_are_protocol_errors(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="unreadable answer"):
        decode_view(body, OrderView)
