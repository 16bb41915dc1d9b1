"""What a paper account says: reports as a real venue's, in the kernel's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.clock import NS_PER_MS, VenueClock
from engine.domain.client_id import ClientId, encode_client_id, whole_epoch
from engine.domain.codes import EventType
from engine.venues.order_records import Command, Report
from engine.venues.paper.account import PaperAccount
from engine.venues.paper.order import PaperOrder
from engine.venues.paper.queue import QueueModel


class PaperTerms(NamedTuple):
    """What a paper account costs, and how far away it is."""

    taker_fee_ppm: int
    maker_fee_ppm: int
    latency_ns: int
    wallet_e8: int
    engine_tag: str
    epoch: int
    queue: QueueModel = QueueModel.TRADES
    is_latency_measured: bool = False  # drawn from round trips; `latency_ns` until there are some
    maintenance_ppm: int = 25_000  # of notional at mark; equity below it is liquidated


class PaperReports:
    """Makes the reports of one account's orders."""

    def __init__(self, terms: PaperTerms, clock: VenueClock) -> None:
        """Keep the names orders are told under, and the clock they are dated by."""
        self._terms = terms
        self._clock = clock

    @property
    def venue_ns(self) -> int:
        """Return the venue's time."""
        return self._clock.now_ms() * NS_PER_MS

    def of(
        self, order: PaperOrder, event_type: EventType, command: Command | None = None
    ) -> Report:
        """Return a report about an order as it is; of a command, with when it was decided."""
        epoch = whole_epoch(self._terms.epoch, order.epoch_low)
        identity = ClientId(epoch, order.strategy_index, order.order_sequence, order.cause_sequence)
        return Report(
            event_type,
            order.instrument_index,
            order.strategy_index,
            venue_time_ns=self.venue_ns,
            flags=order.flags,
            side=order.side,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            order_status=0 if event_type == EventType.ORDER_SENT else order.order_status,
            order_sequence=order.order_sequence,
            cause_sequence=order.cause_sequence,
            price_ticks=order.price_ticks,
            qty_lots=order.qty_lots,
            cum_qty_lots=order.cum_qty_lots,
            venue_order_id=order.venue_order_id,
            epoch_low=order.epoch_low,
            word_0=command.cause_receive_time_ns if command else 0,
            word_1=command.decision_time_ns if command else 0,
            text=order.name or encode_client_id(self._terms.engine_tag, identity),
        )


def picture(
    account: PaperAccount,
    reports: PaperReports,
    resting: Iterable[PaperOrder],
    since: Iterable[Report],
    command: Command,
) -> Iterator[Report]:
    """Yield the account as a fetch shows it: orders, positions, wallet, then what happened.

    Args:
        account: positions and wallet.
        reports: makes those of orders.
        resting: open orders.
        since: fills and payments; those before the command's time are left out.
        command: the fetch.
    """
    venue_ns = reports.venue_ns
    yield Report(EventType.FETCH_BEGIN, venue_time_ns=venue_ns)
    for order in list(resting):
        yield reports.of(order, EventType.VENUE_ORDER)
    for index, position in account.positions.items():
        if position.lots:
            yield Report(
                EventType.VENUE_POSITION,
                index,
                venue_time_ns=venue_ns,
                position_lots=position.lots,
                position_cost_e8=position.cost_e8,
            )
    yield Report(EventType.VENUE_BALANCE, word_0=account.wallet_e8, word_1=account.wallet_e8)
    for report in list(since):
        if report.venue_time_ns >= command.since_venue_time_ns:
            yield report
    yield Report(EventType.FETCH_END, venue_time_ns=venue_ns)
