"""Events folded into the rows that have a state: orders, executions, positions, the wallet.

Every event is applied once, in the order of its journal; what is repeated by the venue is marked
DUPLICATE in the record and changes nothing. Rows are read through `load` when first needed and
written whole by `take`. All numbers are integers, Python's own: nothing here can wrap.
"""

from __future__ import annotations

from typing import Final, Protocol

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_FOREIGN,
    EventType,
    OrderStatus,
)
from engine.domain.stamps import ClockLooks
from engine.store.event_names import Event, EventNames
from engine.store.postings import LedgerAccount, post_cash, post_fill, post_funding
from engine.store.strategy_records import count_change
from engine.store.tables import (
    BALANCES,
    FILLS,
    ORDERS,
    POSITIONS,
    POSTINGS,
    RECORDS,
    Cells,
    Key,
    Table,
)

ADJUSTED_POSITION: Final = 1  # reasons of ADJUSTMENT, as domain.adjust numbers them
ADJUSTED_CASH: Final = 2
OPENING_CASH: Final = 3
WRITTEN_OFF: Final = 4  # fills of an order that the venue counts and never reported
ORDER_REPORTS: Final = frozenset(
    {
        EventType.ORDER_SENT,
        EventType.ORDER_UPDATE,
        EventType.ORDER_UNKNOWN,
        EventType.CANCEL_REJECTED,
        EventType.VENUE_ORDER,
        EventType.RESTORE_ORDER,
    }
)


class Rows(Protocol):
    """What was written before: the database, as the fold needs it."""

    def load(self, table: Table, key: Key) -> Cells | None:
        """Return the row of a key, or None."""

    def open_positions(self) -> list[Cells]:
        """Return every position row that is not flat."""

    def order_id(self, instrument: str, venue_order_id: int) -> str:
        """Return the order that has the venue's number; empty: none."""


class Fold:
    """Applies one session's events to rows."""

    def __init__(self, names: EventNames, rows: Rows, asset: str) -> None:
        """Fold under the names of a session.

        Args:
            names: what indices stand for.
            rows: what was written before.
            asset: currency of the wallet.
        """
        self._names = names
        self._key = names.document.state_key
        self._stored = rows
        self._asset = asset
        self._rows: dict[Table, dict[Key, Cells]] = {}
        self._taken_over: set[Key] | None = None  # columns; None: its begin was not seen
        self._covered_ns: dict[str, int] = {}  # per instrument: an adjustment covers up to here
        self._clock = ClockLooks()
        self._actions = {
            EventType.ORDER_REQUEST: self._request,
            EventType.FILL: self._fill,
            EventType.POSITION_CHANGED: self._position,
            EventType.RESTORE_POSITION: self._restored_position,
            EventType.RESTORE_LIMITS: self._restored_limits,
            EventType.RESTORE_END: self._restored,
            EventType.VENUE_BALANCE: self._balance,
            EventType.ADJUSTMENT: self._adjustment,
            EventType.FUNDING: self._funding,
            EventType.VENUE_CLOCK: self._venue_clock,
            **dict.fromkeys(ORDER_REPORTS, self._report),
        }
        self.event_types = frozenset(int(event_type) for event_type in self._actions)

    def cover(self, instrument: str, venue_time_ns: int) -> None:
        """Say that an adjustment took everything up to a venue time from the venue already."""
        before = self._covered_ns.get(instrument, 0)
        self._covered_ns[instrument] = max(before, venue_time_ns)

    def apply(self, event: Event, sequence: int) -> None:
        """Apply one event of a type in `event_types`."""
        self._actions[EventType(int(event["event_type"]))](event, sequence)

    def take(self) -> dict[Table, list[Cells]]:
        """Return the rows that were touched since the last call, and forget them."""
        touched = {table: list(rows.values()) for table, rows in self._rows.items()}
        self._rows = {}
        return touched

    def _row(self, table: Table, key: Key) -> Cells | None:
        rows = self._rows.setdefault(table, {})
        if key not in rows:
            stored = self._stored.load(table, key)
            if stored is None:
                return None
            rows[key] = stored
        return rows[key]

    def _begun(self, table: Table, key: Key, blank: int | None) -> Cells:
        row = self._row(table, key)
        if row is not None:
            return row
        cells: Cells = dict.fromkeys(table.columns, blank)
        return self._put(table, cells | dict(zip(table.key, key, strict=True)))

    def _put(self, table: Table, cells: Cells) -> Cells:
        self._rows.setdefault(table, {})[table.key_of(cells)] = cells
        return cells

    def _request(self, event: Event, _sequence: int) -> None:
        self._order(event)

    def _order(self, event: Event) -> Cells | None:
        order_id = self._order_id(event)
        if not order_id:
            return None
        row = self._row(ORDERS, (self._key, order_id))
        if row is not None:
            return row
        now_ns = self._names.time_ns(event)
        is_ours = int(event["order_sequence"]) > 0
        return self._put(
            ORDERS,
            {
                "state_key": self._key,
                "order_id": order_id,
                "session_id": self._names.document.session_id,
                "client_order_id": self._names.client_order_id(event),
                "venue_order_id": int(event["venue_order_id"]),
                "epoch": self._names.epoch(event) if is_ours else 0,
                "order_sequence": int(event["order_sequence"]),
                "cause_sequence": int(event["cause_sequence"]),
                "instrument": self._names.instrument(event),
                "strategy": self._names.strategy(event),
                "side": int(event["side"]),
                "order_type": int(event["order_type"]),
                "time_in_force": int(event["time_in_force"]),
                "flags": int(event["flags"]) & ~(EVENT_APPLIED | EVENT_DUPLICATE | EVENT_FOREIGN),
                "price_ticks": int(event["price_ticks"]),
                "qty_lots": int(event["qty_lots"]),
                "cum_qty_lots": 0,
                "filled_lots": 0,
                "status": int(event["order_status_after"]) or int(event["order_status"]),
                "reason": 0,
                "created_ns": now_ns,
                "sent_ns": None,
                "updated_ns": now_ns,
            },
        )

    def _order_id(self, event: Event) -> str:
        # Some trade lists name an order by the venue's number alone.
        venue_order_id = int(event["venue_order_id"])
        is_foreign = int(event["flags"]) & EVENT_FOREIGN
        if int(event["order_sequence"]) > 0 or not venue_order_id or is_foreign:
            return self._names.order_id(event)
        instrument = self._names.instrument(event)
        for row in self._rows.get(ORDERS, {}).values():
            if (row["instrument"], row["venue_order_id"]) == (instrument, venue_order_id):
                return str(row["order_id"])
        found = self._stored.order_id(instrument, venue_order_id)
        return found or self._names.order_id(event)

    def _report(self, event: Event, _sequence: int) -> None:
        event_type = int(event["event_type"])
        is_restored = event_type == EventType.RESTORE_ORDER
        if is_restored and int(event["trade_id"]) > 0:
            return  # a trade id that was applied, not an order
        row = self._order(event)
        if row is None:
            return
        if is_restored:
            row["filled_lots"] = max(_int(row["filled_lots"]), int(event["last_qty_lots"]))
        now_ns = self._names.time_ns(event)
        if event_type == EventType.ORDER_SENT and row["sent_ns"] is None:
            row["sent_ns"] = now_ns
        self._merge_order(row, event, now_ns)
        if not is_restored and int(event["reason"]):
            row["reason"] = int(event["reason"])

    def _merge_order(self, row: Cells, event: Event, now_ns: int) -> None:
        # The kernel's word on the status stands; without one (not ours) the venue's does.
        status = int(event["order_status_after"])
        was_filled = row["status"] == OrderStatus.FILLED
        if int(event["flags"]) & EVENT_FOREIGN and not status:
            status = int(event["order_status"])
        if status and status != row["status"]:
            row["status"] = status
            row["updated_ns"] = now_ns
        row["venue_order_id"] = int(event["venue_order_id"]) or row["venue_order_id"]
        if int(event["venue_time_ns"]) and int(event["price_ticks"]):
            row["price_ticks"] = int(event["price_ticks"])  # the venue's word: it may be amended
        is_filled = row["status"] == OrderStatus.FILLED
        filled, said = _int(row["filled_lots"]), int(event["cum_qty_lots"])
        if not (was_filled and is_filled):
            row["qty_lots"] = max(_int(row["qty_lots"]), int(event["qty_lots"]))
        row["qty_lots"] = max(_int(row["qty_lots"]), filled)
        cum = max(_int(row["cum_qty_lots"]), said, filled)
        if said and int(event["order_status"]) == OrderStatus.FILLED:
            row["qty_lots"] = cum  # somebody amended it: it was filled at less than it was sent for
        row["cum_qty_lots"] = row["qty_lots"] if is_filled else cum

    def _fill(self, event: Event, sequence: int) -> None:
        row = self._order(event)
        now_ns = self._names.time_ns(event)
        qty_lots = int(event["last_qty_lots"])
        key = (self._key, self._names.instrument(event), int(event["trade_id"]))
        # A repeated fill may still tell something of its order: both flags, and no fill.
        is_applied = int(event["flags"]) & (EVENT_APPLIED | EVENT_DUPLICATE) == EVENT_APPLIED
        is_news = bool(qty_lots) and is_applied and self._row(FILLS, key) is None
        if row is not None:
            if is_news:
                missing = max(_int(row["cum_qty_lots"]) - _int(row["filled_lots"]), 0)
                counted = min(qty_lots, missing) if self._is_covered(event) else qty_lots
                row["filled_lots"] = _int(row["filled_lots"]) + counted
            self._merge_order(row, event, now_ns)
        if is_news:
            self._execution(event, sequence, row, now_ns)

    def _execution(self, event: Event, sequence: int, row: Cells | None, now_ns: int) -> None:
        instrument = self._names.instrument(event)
        self._put(
            FILLS,
            {
                "state_key": self._key,
                "instrument": instrument,
                "trade_id": int(event["trade_id"]),
                "order_id": "" if row is None else row["order_id"],
                "session_id": self._names.document.session_id,
                "sequence": sequence,
                "strategy": self._names.strategy(event) if row is None else row["strategy"],
                "side": int(event["side"]) or (0 if row is None else row["side"]),
                "price_ticks": int(event["last_price_ticks"]),
                "qty_lots": int(event["last_qty_lots"]),
                "fee_e8": int(event["fee_e8"]),
                "realised_pnl_e8": int(event["realised_pnl_e8"]),
                "venue_realised_pnl_e8": int(event["venue_realised_pnl_e8"]),
                "liquidity": int(event["liquidity"]),
                "flags": int(event["flags"]),
                "venue_time_ns": int(event["venue_time_ns"]),
                "time_ns": now_ns,
            },
        )
        realised, fee = int(event["venue_realised_pnl_e8"]), int(event["fee_e8"])
        is_taken_over = self._is_covered(event)
        if not is_taken_over:
            self._change_wallet(realised - fee, now_ns)
        strategy = self._names.strategy(event) if row is None else str(row["strategy"])
        self._post(post_fill(self._names, event, strategy, is_taken_over=is_taken_over))

    def _is_covered(self, event: Event) -> bool:
        covered_ns = self._covered_ns.get(self._names.instrument(event), 0)
        return 0 < int(event["venue_time_ns"]) <= covered_ns

    def _position(self, event: Event, _sequence: int) -> None:
        row = self._position_row(event)
        if int(event["strategy_index"]) >= 0:
            record = self._begun(RECORDS, POSITIONS.key_of(row), 0)
            count_change(record, _int(row["lots"]), event, self._names.time_ns(event))
        row["lots"] = int(event["position_lots"])
        row["cost_e8"] = int(event["position_cost_e8"])
        row["realised_pnl_e8"] = _int(row["realised_pnl_e8"]) + int(event["realised_pnl_e8"])
        row["fee_e8"] = _int(row["fee_e8"]) + int(event["fee_e8"])
        row["updated_ns"] = self._names.time_ns(event)

    def _restored_position(self, event: Event, _sequence: int) -> None:
        # What the brain took over is what it trades on: the first row replaces what was there,
        # later ones of the same column (strategies that are gone share one) add up. A brain that
        # was restarted in place takes over once more in the same session.
        key = (self._key, self._names.instrument(event), self._names.strategy(event))
        before = self._row(POSITIONS, key)
        if self._taken_over is None:
            is_first = before is None or before["session_id"] != self._names.document.session_id
        else:
            is_first = key not in self._taken_over
            self._taken_over.add(key)
        row = self._position_row(event)
        row["lots"] = int(event["position_lots"]) + (0 if is_first else _int(row["lots"]))
        row["cost_e8"] = int(event["position_cost_e8"]) + (0 if is_first else _int(row["cost_e8"]))
        row["updated_ns"] = self._names.time_ns(event)

    def _restored(self, _event: Event, _sequence: int) -> None:
        # What an earlier session held and this one did not take over under that name, it took
        # over under another (a strategy that is gone: EXTERNAL).
        session_id = self._names.document.session_id
        held = {POSITIONS.key_of(row): row for row in self._stored.open_positions()}
        held.update(self._rows.get(POSITIONS, {}))
        for key, row in held.items():
            seen = self._taken_over
            if row["session_id"] != session_id if seen is None else key not in seen:
                self._put(POSITIONS, row | {"lots": 0, "cost_e8": 0, "session_id": session_id})
        self._taken_over = None

    def _position_row(self, event: Event) -> Cells:
        key = (self._key, self._names.instrument(event), self._names.strategy(event))
        row = self._begun(POSITIONS, key, 0)
        row["session_id"] = self._names.document.session_id
        return row

    def _restored_limits(self, event: Event, sequence: int) -> None:
        # The first record of a restore. `qty_lots` says whether cash was ever known. A wallet
        # folded from the journal is exact to the venue's own rounding and stays.
        self._taken_over = set()
        if int(event["qty_lots"]) and self._wallet()["wallet_e8"] is None:
            row = self._wallet()
            row["wallet_e8"] = int(event["cash_e8"])
            row["updated_ns"] = self._names.time_ns(event)
            opening = LedgerAccount.OPENING
            self._post(post_cash(self._names, event, sequence, int(event["cash_e8"]), opening))

    def _balance(self, event: Event, _sequence: int) -> None:
        row = self._wallet()
        row["venue_wallet_e8"] = int(event["wallet_e8"])
        row["available_e8"] = int(event["available_e8"])
        row["updated_ns"] = self._names.time_ns(event)

    def _adjustment(self, event: Event, sequence: int) -> None:
        kind = int(event["reason"])
        now_ns, venue_time_ns = self._names.time_ns(event), int(event["venue_time_ns"])
        if kind in {ADJUSTED_POSITION, WRITTEN_OFF}:
            self.cover(self._names.instrument(event), venue_time_ns)
        elif kind in {ADJUSTED_CASH, OPENING_CASH}:
            row = self._wallet()
            change = int(event["wallet_e8"]) - _int(row["wallet_e8"] or 0)
            row["wallet_e8"] = int(event["wallet_e8"])
            row["updated_ns"] = now_ns
            opens = kind == OPENING_CASH
            reason = LedgerAccount.OPENING if opens else LedgerAccount.ADJUSTMENT
            self._post(post_cash(self._names, event, sequence, change, reason))
        if kind == WRITTEN_OFF:
            self._write_off(event, now_ns)

    def _write_off(self, event: Event, now_ns: int) -> None:
        row = self._order(event)
        if row is not None:
            row["filled_lots"] = row["cum_qty_lots"] = int(event["cum_qty_lots"])
            row["status"] = int(event["order_status_after"])
            row["updated_ns"] = now_ns

    def _funding(self, event: Event, _sequence: int) -> None:
        if int(event["flags"]) & EVENT_APPLIED:
            self._change_wallet(int(event["funding_e8"]), self._names.time_ns(event))
            self._post(post_funding(self._names, event))

    def _post(self, postings: list[Cells]) -> None:
        # Before the opening balance, which holds it, nothing is posted.
        if self._wallet()["wallet_e8"] is not None:
            for cells in postings:
                self._put(POSTINGS, cells)

    def _wallet(self) -> Cells:
        row = self._begun(BALANCES, (self._key, self._asset), None)
        row["updated_ns"] = row["updated_ns"] or 0
        return row

    def _change_wallet(self, amount_e8: int, now_ns: int) -> None:
        row = self._wallet()
        if row["wallet_e8"] is not None:  # before the opening balance nothing can be added to
            row["wallet_e8"] = _int(row["wallet_e8"]) + amount_e8
            row["updated_ns"] = now_ns

    def _venue_clock(self, event: Event, _sequence: int) -> None:
        bound_ns = self._clock.bound_ns(event)
        for instrument, covered_ns in self._covered_ns.items():
            self._covered_ns[instrument] = min(covered_ns, bound_ns)


def _int(value: object) -> int:
    assert isinstance(value, int), value
    return value
