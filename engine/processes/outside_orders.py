"""A person's orders: from words to a record for the brain, and its answer back (ADR 0028).

        words -> lots and ticks -> CONTROL_ORDER -> brain: gates -> echo on the event ring -> told

A request that was answered before is answered again by the brain, also after a restart. When the
brain does not answer within ANSWER_S nothing is known: the same request id asks again and cannot
send twice. Standard library and ringbuffer only.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from engine.config import Config
from engine.domain.client_id import ClientId, encode_client_id, parse_client_id
from engine.domain.codes import EventType, OrderStatus, Role, TradingState
from engine.domain.instrument_row import Instrument
from engine.domain.risk_reasons import RISK_REASON_TEXT, reasons_of
from engine.domain.strategy_table import HAND
from engine.processes.commands import Commands
from engine.processes.outside_records import (
    SEQUENCE_BYTES,
    SLOT_BYTES,
    Echo,
    OutsideOrder,
    event_type_of,
    pack_outside,
    read_echo,
    request_number,
)
from engine.symbols import UnknownSymbolError, resolve
from engine.web.bodies import CancelBody, OrderBody
from ringbuffer.ring import Observer, Ring

ANSWER_S: Final = 1.0
LOOK_S: Final = 0.0005
SLOTS_PER_LOOK: Final = 64
REQUESTS_MAX: Final = 1_024  # words of this run kept, to tell another use of one id
CLOSED: Final = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


class Told(NamedTuple):
    """What a request came to."""

    status: int  # as HTTP has it
    effect: str
    trading_state: TradingState
    order: str = ""  # EPOCH-NUMBER, as the tables name it
    client_order_id: str = ""
    reasons: tuple[str, ...] = ()
    is_known: bool = False


class RefusedWords(ValueError):  # noqa: N818  a person's words, not an error of the program
    """What was asked is no order; the message is one sentence."""


class OutsideOrders:
    """The way in for orders of one run; one thread only."""

    def __init__(
        self,
        config: Config,
        strategies: Sequence[str],
        commands: Commands,
        events: Ring,
        instruments: Callable[[], Sequence[Instrument]],
    ) -> None:
        """Take what a run has.

        Args:
            config: of the run.
            strategies: names of its rows, by strategy_index.
            commands: through which records leave.
            events: the brain's event ring.
            instruments: what the feed has published.
        """
        self._config = config
        self._hand = list(strategies).index(HAND)
        self._commands = commands
        self._events = events
        self._instruments = instruments
        self._said: OrderedDict[int, OrderBody] = OrderedDict()

    def submit(self, asked: OrderBody, caller: str) -> Told:
        """Send a person's order to the gates, once per request id; return what they said.

        Args:
            asked: the order, why, and the name of the request.
            caller: who asks; request ids are the caller's own.
        """
        try:
            order = order_of(asked, self._instrument(asked.symbol))
        except RefusedWords as refused:
            return self._told(400, str(refused))
        request = request_number(caller, asked.request_id or secrets.token_hex(16))
        if self._said.setdefault(request, asked) != asked:
            return self._told(409, "this request id was used for something else")
        if len(self._said) > REQUESTS_MAX:
            self._said.popitem(last=False)
        words = order.words() | {"strategy_index": self._hand, "request_id": request}
        echo = self._ask(EventType.CONTROL_ORDER, f"{caller}: {asked.reason}", words)
        return echo if isinstance(echo, Told) else self._sent(echo)

    def cancel(self, asked: CancelBody, caller: str) -> Told:
        """Ask for the cancel of one order of this engine; return whether it may still fill."""
        place = place_of(asked.order, self._config.engine_tag)
        if place is None:
            text = f"{asked.order!r} names no order: give a client order id, or EPOCH-NUMBER"
            return self._told(400, text)
        epoch, number = place
        words = {"order_sequence": number, "epoch_low": epoch & 0xFF}
        words["request_id"] = request_number(caller, secrets.token_hex(16))
        echo = self._ask(EventType.CONTROL_CANCEL, f"{caller}: {asked.reason}", words)
        return echo if isinstance(echo, Told) else self._withdrawn(echo, f"{epoch}-{number}")

    # -- asking ------------------------------------------------------------------------------------

    def _instrument(self, word: str) -> Instrument:
        try:
            symbol = resolve(word, self._config.venue.name).symbol
        except UnknownSymbolError:
            symbol = word.strip().upper()  # a practice exchange lists what it likes
        for instrument in self._instruments():
            if instrument.symbol == symbol:
                return instrument
        raise RefusedWords(f"no instrument {word!r} in this run")

    def _ask(self, event: EventType, text: str, words: Mapping[str, int]) -> Echo | Told:
        """Publish a record and wait for its echo; a Told: there is none."""
        observer = Observer(self._events)
        try:
            record = pack_outside(event, Role.MAIN, text, words)
            if not self._commands.send(record[SEQUENCE_BYTES:]):
                return self._told(503, "control ring is full; nothing was sent")
            return self._heard(observer, event, words["request_id"])
        finally:
            observer.close()

    def _heard(self, observer: Observer, event: EventType, request: int) -> Echo | Told:
        slots = memoryview(bytearray(SLOT_BYTES * SLOTS_PER_LOOK))
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            _, count, _ = observer.poll_into(slots)
            for first in range(0, count * SLOT_BYTES, SLOT_BYTES):
                slot = slots[first : first + SLOT_BYTES]
                if event_type_of(slot) == event and read_echo(slot).request_id == request:
                    return read_echo(slot)
            if not count:
                time.sleep(LOOK_S)
        text = f"the brain did not answer within {ANSWER_S:.0f} s; ask again with this request id"
        return self._told(504, text)

    # -- telling -----------------------------------------------------------------------------------

    def _told(self, status: int, effect: str) -> Told:
        return Told(status, effect, self._commands.state())

    def _names(self, echo: Echo) -> tuple[str, str]:
        """Return the order's id, and its client id if it is of this session."""
        ours = self._config.epoch
        epoch = ours - ((ours - echo.epoch_low) & 0xFF)
        if epoch != ours:
            return f"{epoch}-{echo.order_sequence}", ""
        identity = ClientId(epoch, self._hand, echo.order_sequence, 0)
        client_id = encode_client_id(self._config.engine_tag, identity)
        return f"{epoch}-{echo.order_sequence}", client_id

    def _sent(self, echo: Echo) -> Told:
        again = "; this request was answered before" if echo.is_known else ""
        if echo.order_sequence == 0:
            reasons = reasons_of(echo.refusal_mask)
            why = ", ".join(RISK_REASON_TEXT[each] for each in reasons) or "it is no order"
            names = tuple(each.name for each in reasons)
            text = f"refused: {why}{again}"
            return Told(409, text, echo.trading_state, reasons=names, is_known=echo.is_known)
        order, client_id = self._names(echo)
        text = f"sent as {order}{again}"
        return Told(200, text, echo.trading_state, order, client_id, is_known=echo.is_known)

    def _withdrawn(self, echo: Echo, order: str) -> Told:
        if echo.is_applied:
            return Told(200, f"asked to cancel {order}", echo.trading_state, order)
        if echo.status in CLOSED:
            text = f"{order} is {echo.status.name} already"
            return Told(409, text, echo.trading_state, order)
        return Told(409, f"no order {order} is known here", echo.trading_state)


def order_of(asked: OrderBody, instrument: Instrument) -> OutsideOrder:
    """Return a person's order in lots and ticks.

    Raises:
        RefusedWords: it cannot be said exactly, or contradicts itself.
    """
    if asked.side not in {"buy", "sell"}:
        raise RefusedWords(f"side {asked.side!r} is neither buy nor sell")
    if asked.post_only and (asked.immediate or not asked.limit_price):
        raise RefusedWords("post-only is of an order that rests, at a limit price")
    if asked.immediate and not asked.limit_price:
        raise RefusedWords("immediate-or-cancel needs a limit price; without one it is at market")
    lots = instrument.qty_lots(asked.quantity)
    if lots is None or lots <= 0:
        step = instrument.qty_text(1)
        raise RefusedWords(f"quantity {asked.quantity!r} is not a positive multiple of {step}")
    ticks = instrument.price_ticks(asked.limit_price) if asked.limit_price else 0
    if ticks is None or (asked.limit_price and ticks <= 0):
        tick = instrument.price_text(1)
        raise RefusedWords(f"price {asked.limit_price!r} is not a positive multiple of {tick}")
    return OutsideOrder(
        instrument_index=instrument.instrument_index,
        side=1 if asked.side == "buy" else -1,
        qty_lots=lots,
        price_ticks=ticks,
        is_immediate=asked.immediate,
        is_post_only=asked.post_only,
        is_reduce_only=asked.reduce_only,
    )


def place_of(order: str, engine_tag: str) -> tuple[int, int] | None:
    """Return epoch and number of an order from its client id or EPOCH-NUMBER; None: neither."""
    known = parse_client_id(engine_tag, order)
    if known is not None:
        return known.epoch, known.order_sequence
    epoch, _, number = order.partition("-")
    is_plain = epoch.isascii() and number.isascii() and epoch.isdigit() and number.isdigit()
    if not is_plain or len(order) > 36 or int(number) == 0:
        return None
    return int(epoch), int(number)
