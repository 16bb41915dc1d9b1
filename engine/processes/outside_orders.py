"""A person's orders: from words to a record for the brain, and its answer back (ADR 0028).

        words -> lots and ticks -> CONTROL_ORDER -> brain: gates -> echo on the event ring -> told

A request that was answered before is answered again by the brain, also after a restart. When the
brain does not answer within ANSWER_S nothing is known: the same request id asks again and cannot
send twice. Standard library and ringbuffer only.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.config import Config
from engine.domain.client_id import EPOCH_LOW_MASK, ClientId, encode_client_id, whole_epoch
from engine.domain.codes import EVENT_QUESTION, EventType, OrderStatus, Role, TradingState
from engine.domain.execution.asked import PARENTS_MAX
from engine.domain.execution.router import RuledOut
from engine.domain.execution.work import CLOSED, OVER, WorkState
from engine.domain.instrument_row import Instrument, unit_instrument
from engine.domain.risk_reasons import RISK_REASON_TEXT, reasons_of
from engine.domain.strategy_table import EXECUTION, HAND
from engine.processes.board import read_board
from engine.processes.commands import Commands
from engine.processes.outside_records import (
    SEQUENCE_BYTES,
    SLOT_BYTES,
    Echo,
    event_type_of,
    pack_outside,
    read_echo,
    request_number,
)
from engine.processes.outside_words import (
    HIDDEN,
    RefusedWords,
    moment,
    order_of,
    parent_of,
    place_of,
    refused_date,
    words_of,
)
from engine.symbols import UnknownSymbolError, resolve
from engine.web.bodies import CancelBody, ExecuteBody, OrderBody
from ringbuffer.ring import Observer, Ring
from ringbuffer.segment import Segment

ANSWER_S: Final = 1.0
LOOK_S: Final = 0.0005
SLOTS_PER_LOOK: Final = 64
NOT_HIDDEN: Final = (
    "refused: no venue of this engine hides an order whole; with a display it works as an iceberg"
)
OTHER_USE: Final = "this request id was used for something else"
# Without a reason: words were looked at before, so a number is beyond the kernel's own bounds.
TOO_MUCH: Final = "quantity or price is more than any order has"
NS_PER_MS: Final = 1_000_000
REQUESTS_MAX: Final = 1_024  # words of this run kept, to tell another use of one id


class Told(NamedTuple):
    """What a request came to."""

    status: int  # as HTTP has it
    effect: str
    trading_state: TradingState
    order: str = ""  # EPOCH-NUMBER, as the tables name it
    client_order_id: str = ""
    reasons: tuple[str, ...] = ()
    is_known: bool = False


class OutsideOrders:
    """The way in for orders of one run; one thread only."""

    def __init__(
        self,
        config: Config,
        strategies: Sequence[str],
        commands: Commands,
        events: Ring,
        board: Segment,
        instruments: Callable[[], Sequence[Instrument]],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take what a run has.

        Args:
            config: of the run.
            strategies: names of its rows, by strategy_index.
            commands: through which records leave.
            events: the brain's event ring.
            board: where the brain shows its parent orders.
            instruments: what the feed has published.
            wall_ns: this machine's time, against which dates are held before they are sent.
        """
        self._config = config
        self._hand, self._execution = map(list(strategies).index, (HAND, EXECUTION))
        self._commands = commands
        self._events = events
        self._board = board
        self._instruments = instruments
        self._wall_ns = wall_ns
        self._begun: deque[str] = deque(maxlen=PARENTS_MAX)
        self._said: OrderedDict[int, OrderBody | ExecuteBody] = OrderedDict()

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
        if not self._is_same(request, asked):
            return self._told(409, OTHER_USE)
        words = order.words() | {"strategy_index": self._hand, "request_id": request}
        refused_now = refused_date(asked, self._wall_ms())
        if refused_now:
            # Only who asked when its date was far enough can be answered still; nothing is sent.
            words["flags"] |= EVENT_QUESTION
        echo = self._ask(EventType.CONTROL_ORDER, f"{caller}: {asked.reason}", words)
        if refused_now and not isinstance(echo, Told) and not echo.is_known:
            del self._said[request]
            return self._told(400, refused_now)
        told = echo if isinstance(echo, Told) else self._sent(echo)
        if not asked.good_till_ms or told.status == 409:
            return told
        # Who said a duration learns the date, and needs it to ask again.
        return told._replace(effect=f"{told.effect}; good till {moment(asked.good_till_ms)}")

    def execute(self, asked: ExecuteBody, caller: str) -> Told:
        """Start a parent order, once per request id; return its number.

        Args:
            asked: the order and how it is to be worked, why, and the name of the request.
            caller: who asks; request ids are the caller's own.
        """
        try:
            instrument = self._instrument(asked.symbol)
            parent = parent_of(asked, instrument)
        except RefusedWords as refused:
            return self._told(400, str(refused))
        if asked.method == HIDDEN and not asked.display:
            return self._told(409, NOT_HIDDEN)._replace(reasons=(RuledOut.NOT_OFFERED.name,))
        if self._commands.state() is TradingState.HALTED:
            return self._told(409, "refused: trading is halted")
        if sum(not _is_over(row) for row in self.executions()) >= PARENTS_MAX:
            return self._told(409, f"refused: {PARENTS_MAX} parent orders work already")
        request = request_number(caller, asked.request_id or secrets.token_hex(16))
        if not self._is_same(request, asked):
            return self._told(409, OTHER_USE)
        words: dict[str, float] = {
            "instrument_index": instrument.instrument_index,
            "strategy_index": self._execution,
            "request_id": request,
            **words_of(parent),
        }
        echo = self._ask(EventType.CONTROL_EXECUTE, f"{caller}: {asked.reason}", words)
        if isinstance(echo, Told):
            return echo
        if echo.order_sequence == 0:
            return self._told(409, "refused: what earlier sessions knew is not restored yet")
        order, _ = self._names(echo)
        if echo.is_known:
            text = f"{self._how_far(order)}; this request was answered before"
        else:
            self._begun.append(order)
            text = f"working as {order}"
        return Told(200, text, echo.trading_state, order, is_known=echo.is_known)

    def _how_far(self, order: str) -> str:
        """Return where a parent order stands that may be one of an earlier session."""
        row = self._execution_of(order)
        if row is not None and _is_over(row):
            return f"{order} is over: {row['reason']}"
        if row is not None or order in self._begun:
            return f"working as {order}"
        return f"{order} is over: it ended in an earlier session"

    def _execution_of(self, order: str) -> dict[str, Any] | None:
        return next((row for row in self.executions() if row["order"] == order), None)

    def executions(self) -> list[dict[str, Any]]:
        """Return the parent orders of this session, the newest last; any thread."""
        text = read_board(self._board)
        rows: list[dict[str, Any]] = json.loads(text) if text else []
        instruments = self._instruments()
        return [
            self._shown(row, instruments[row["instrument_index"]])
            if row["instrument_index"] >= 0
            else self._shown_untraded(row)
            for row in rows
        ]

    def check(self, asked: OrderBody, caller: str) -> Told:
        """Ask the gates what they would say of a person's order now; nothing is sent.

        Args:
            asked: the order, and why somebody asks.
            caller: who asks.
        """
        try:
            order = order_of(asked, self._instrument(asked.symbol))
        except RefusedWords as refused:
            return self._told(400, str(refused))
        if why := refused_date(asked, self._wall_ms()):
            return self._told(400, why)
        request = request_number(caller, secrets.token_hex(16))
        words = order.words() | {"strategy_index": self._hand, "request_id": request}
        words["flags"] |= EVENT_QUESTION
        echo = self._ask(EventType.CONTROL_ORDER, f"{caller}: {asked.reason}", words)
        if isinstance(echo, Told):
            return echo
        if echo.status is OrderStatus.PENDING_NEW:
            return Told(200, "every gate would pass it now", echo.trading_state)
        return self._refused(echo, 200, "would be refused")

    def cancel(self, asked: CancelBody, caller: str) -> Told:
        """Ask for the end of an order of this engine, or of a parent order."""
        place = place_of(asked.order, self._config.engine_tag)
        if place is None:
            text = f"{asked.order!r} names no order: give a client order id, or EPOCH-NUMBER"
            return self._told(400, text)
        epoch, number = place
        request = request_number(caller, secrets.token_hex(16))
        words = {
            "order_sequence": number,
            "epoch_low": epoch & EPOCH_LOW_MASK,
            "request_id": request,
        }
        echo = self._ask(EventType.CONTROL_CANCEL, f"{caller}: {asked.reason}", words)
        return echo if isinstance(echo, Told) else self._withdrawn(echo, f"{epoch}-{number}")

    def _wall_ms(self) -> int:
        return self._wall_ns() // NS_PER_MS

    def _is_same(self, request: int, asked: OrderBody | ExecuteBody) -> bool:
        """Return whether a request says what it said the last time, if it was made in this run."""
        said = self._said.setdefault(request, asked)
        if len(self._said) > REQUESTS_MAX:
            self._said.popitem(last=False)
        return said == asked

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

    def _ask(self, event: EventType, text: str, words: Mapping[str, float]) -> Echo | Told:
        """Publish a record and wait for its echo; a Told: there is none."""
        observer = Observer(self._events)
        try:
            record = pack_outside(event, Role.MAIN, text, words)
            if not self._commands.send(record[SEQUENCE_BYTES:]):
                return self._told(503, "control ring is full; nothing was sent")
            return self._heard(observer, event, int(words["request_id"]))
        finally:
            observer.close()

    def _heard(self, observer: Observer, event: EventType, request: int) -> Echo | Told:
        slots = memoryview(bytearray(SLOT_BYTES * SLOTS_PER_LOOK))
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            _, count, _ = observer.poll_into(slots)
            for first in range(0, count * SLOT_BYTES, SLOT_BYTES):
                slot = slots[first : first + SLOT_BYTES]
                if event_type_of(slot) == event and (echo := read_echo(slot)).request_id == request:
                    return echo
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
        epoch = whole_epoch(ours, echo.epoch_low)
        if epoch != ours:
            return f"{epoch}-{echo.order_sequence}", ""
        identity = ClientId(epoch, self._hand, echo.order_sequence, 0)
        client_id = encode_client_id(self._config.engine_tag, identity)
        return f"{epoch}-{echo.order_sequence}", client_id

    def _shown(self, row: dict[str, Any], instrument: Instrument) -> dict[str, Any]:
        return {
            "order": f"{whole_epoch(self._config.epoch, row['epoch_low'])}-{row['number']}",
            "instrument": instrument.symbol,
            "method": row["method"],
            "side": row["side"],
            "quantity": instrument.qty_text(row["qty_lots"]),
            "filled": instrument.qty_text(row["filled_lots"]),
            "children": row["children"],
            "in_doubt": row["in_doubt"],
            "curve": row["curve"].lower(),
            "taken_up": row["taken_up"],
            "state": row["state"],
            "reason": row["reason"],
            "route": row["route"],
        }

    def _shown_untraded(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return one of an instrument that is none of this run: how much a lot is nobody says."""
        lots = {"quantity": f"{row['qty_lots']} lots", "filled": f"{row['filled_lots']} lots"}
        return self._shown(row, unit_instrument(row["symbol"])) | lots

    def _sent(self, echo: Echo) -> Told:
        again = "; this request was answered before" if echo.is_known else ""
        if echo.order_sequence == 0:
            told = self._refused(echo, 409, "refused")
            return told._replace(effect=told.effect + again, is_known=echo.is_known)
        order, client_id = self._names(echo)
        text = f"sent as {order}{again}"
        return Told(200, text, echo.trading_state, order, client_id, is_known=echo.is_known)

    def _refused(self, echo: Echo, status: int, head: str) -> Told:
        reasons = reasons_of(echo.refusal_mask)
        why = ", ".join(RISK_REASON_TEXT[each] for each in reasons) or TOO_MUCH
        names = tuple(each.name for each in reasons)
        return Told(status, f"{head}: {why}", echo.trading_state, reasons=names)

    def _withdrawn(self, echo: Echo, order: str) -> Told:
        if echo.is_applied:
            return Told(200, f"asked to cancel {order}", echo.trading_state, order)
        row = self._execution_of(order)
        if row is not None and _is_over(row):
            text = f"{order} is over: {row['reason']}"
            return Told(409, text, echo.trading_state, order)
        if row is not None or order in self._begun:  # the newest may not be shown yet
            return Told(200, f"asked to stop {order}", echo.trading_state, order)
        if echo.status in CLOSED:
            text = f"{order} is {echo.status.name} already"
            return Told(409, text, echo.trading_state, order)
        return Told(409, f"no order {order} is known here", echo.trading_state)


def _is_over(row: Mapping[str, Any]) -> bool:
    return WorkState[row["state"]] in OVER
