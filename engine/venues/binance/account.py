"""Fetching an account as one consistent picture: orders, positions, balances and fills.

REST answers are taken one after the other while the account lives on. A picture is consistent when
the positions read before the fills equal the positions read after them and no fill came through
the stream meanwhile; otherwise it is taken again, a bounded number of times. A picture that cannot
be had is `FETCH_FAILED`, which never means flat.

        openAlgoOrders -> openOrders -> positionRisk (1) -> userTrades per instrument -> balance
                                             |  equal?
                                        positionRisk (2)

Conditional orders are read first, and once however often the rest has to be: one that triggers
meanwhile is seen twice rather than not at all. Fills are read whole by the first attempt, and by
each that follows from shortly before the newest one on. Where a trade id is known up to which the
books hold them, or an old enough picture has seen them, they are asked for from there on, whatever
their stamps say (`fill_marks`); else since a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from engine.domain.codes import EventType
from engine.venues.binance.errors import classify
from engine.venues.binance.fill_marks import FillMarks
from engine.venues.binance.funding import (
    FUNDING_FEE,
    INCOME_PATH,
    PAYMENTS_OVERLAP_MS,
    ROWS_MAX,
    FundingWatch,
    IncomeView,
    funding_report,
)
from engine.venues.binance.order_views import (
    AccountReader,
    AlgoView,
    BalanceView,
    FillView,
    OrderView,
    PositionView,
    SymbolView,
    decode_view,
)
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.order_records import AppliedTrades, Report
from engine.venues.venue import NotExecutedError, VenueError

OPEN_ORDERS_PATH: Final = "/fapi/v1/openOrders"
OPEN_ALGOS_PATH: Final = "/fapi/v1/openAlgoOrders"
POSITIONS_PATH: Final = "/fapi/v3/positionRisk"
BALANCES_PATH: Final = "/fapi/v3/balance"
FILLS_PATH: Final = "/fapi/v1/userTrades"
ORDER_PATH: Final = "/fapi/v1/order"
ATTEMPTS_MAX: Final = 8
RETRY_PAUSE_S: Final = 0.02
FILLS_PAGE: Final = 1_000  # most the venue gives at once
PAGES_MAX: Final = 50
OVERLAP_MS: Final = 120_000  # fills are asked for again over this span; known ones change nothing
# The same between two attempts at one picture. A fill that the venue shows later than this after a
# newer one is missing in it: two fetches must show one difference, and the next looks back whole.
AGAIN_MS: Final = 2_000
WINDOW_MS: Final = 7 * 24 * 3_600 * 1_000 - 1_000  # furthest the venue looks back from one start
KNOWN_ORDERS_MAX: Final = 65_536


async def ask(
    rest: BinanceRest,
    method: str,
    path: str,
    params: Params | None = None,
    *,
    signed: bool = True,
    urgent: bool = False,
) -> bytes:
    """Send a request and return the body of its answer.

    Raises:
        VenueError: by kind.
    """
    response = await rest.request(method, path, params, signed=signed, urgent=urgent)
    error = classify(response)
    if error is not None:
        raise error
    return response.body


Fills = dict[int, dict[int, FillView]]  # by instrument index and trade id


class Picture(NamedTuple):
    """A consistent view of the account, as reports in the order they are told."""

    reports: tuple[Report, ...]
    venue_ms: int  # venue time at which the first answer was asked for


class KnownOrders:
    """Client ids by the venue's order id: fills over REST name only the latter. Bounded."""

    def __init__(self, count_max: int = KNOWN_ORDERS_MAX) -> None:
        """Start empty; the oldest entries go first."""
        self._ids: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._count_max = count_max

    def add(self, symbol: str, venue_order_id: int, client_order_id: str) -> None:
        """Remember one order."""
        if venue_order_id > 0:
            self._ids[symbol, venue_order_id] = client_order_id
            if len(self._ids) > self._count_max:
                self._ids.popitem(last=False)

    def find(self, symbol: str, venue_order_id: int) -> str | None:
        """Return the client id, None when the order is not remembered."""
        return self._ids.get((symbol, venue_order_id))


class AccountFetcher:
    """Takes pictures of one account."""

    def __init__(
        self,
        rest: BinanceRest,
        reader: AccountReader,
        known: KnownOrders,
        fill_count: Callable[[], int],
    ) -> None:
        """Prepare.

        Args:
            rest: the client of the account.
            reader: turns answers into reports.
            known: client ids of orders seen so far.
            fill_count: how many fills the stream has delivered; a change spoils a picture.
        """
        self.applied = AppliedTrades()  # told again they would say nothing, and cost a question
        self._rest = rest
        self._reader = reader
        self._known = known
        self._fill_count = fill_count
        self.funding = FundingWatch()
        self._marks = FillMarks()
        self._payments: dict[tuple[int, int], Report] = {}  # that no picture has told yet
        self._found: list[Report] = []  # orders of others that fills led to, likewise

    async def take_picture(self, traded: Iterable[int], since_ms: int) -> Picture:
        """Return a consistent picture of the account.

        Args:
            traded: instruments whose fills are asked for, besides those in the picture itself.
            since_ms: venue time from which fills are wanted; an overlap is added.

        Raises:
            VenueError: an answer was refused or unreadable, or the account did not hold still.
        """
        algos = decode_view(await ask(self._rest, "GET", OPEN_ALGOS_PATH), list[AlgoView])
        read: Fills = {}
        for _ in range(ATTEMPTS_MAX):
            picture = await self._try_picture(set(traded), since_ms, algos, read)
            if picture is not None:
                return picture
            await asyncio.sleep(RETRY_PAUSE_S)
        raise NotExecutedError(f"the account did not hold still in {ATTEMPTS_MAX} attempts")

    async def instruments_with_orders(self) -> list[int]:
        """Return the instruments of ours that have open orders, conditional ones too.

        Raises:
            VenueError: by kind.
        """
        symbols: set[str] = set()
        for path in (OPEN_ORDERS_PATH, OPEN_ALGOS_PATH):
            body = await ask(self._rest, "GET", path, urgent=True)
            symbols.update(row.symbol for row in decode_view(body, list[SymbolView]))
        found = (self._reader.instrument(symbol) for symbol in symbols)
        return sorted({row.instrument_index for row in found if row is not None})

    async def _try_picture(
        self, traded: set[int], since_ms: int, algos: Sequence[AlgoView], read: Fills
    ) -> Picture | None:
        venue_ms = self._rest.clock.now_ms()
        fills_before = self._fill_count()
        orders = decode_view(await ask(self._rest, "GET", OPEN_ORDERS_PATH), list[OrderView])
        positions = await self._positions()
        named: list[AlgoView | OrderView | PositionView] = [*algos, *orders, *positions]
        for row in named:
            instrument = self._reader.instrument(row.symbol)
            if instrument is not None:
                traded.add(instrument.instrument_index)
        first_ms = _first_ms(since_ms, venue_ms, OVERLAP_MS)
        fills = [
            report
            for index in sorted(traded)
            for report in await self._fills(index, first_ms, read.setdefault(index, {}))
        ]
        balances = decode_view(await ask(self._rest, "GET", BALANCES_PATH), list[BalanceView])
        self.funding.see_wallet(" ".join(row.balance for row in balances))
        await self._look_for_payments(_first_ms(since_ms, venue_ms, PAYMENTS_OVERLAP_MS))
        spoiled = await self._positions() != positions or self._fill_count() != fills_before
        if spoiled:
            return None
        self._marks.note(self._highest(traded, read))
        rest = (*fills, *self._payments.values(), *self._found)
        self._payments.clear()
        self._found.clear()
        waiting = (self._reader.algo_report(algo) for algo in algos)
        conditional = tuple(report for report in waiting if report is not None)
        told = tuple(self._reports(orders, positions, balances))
        return Picture((*conditional, *told, *rest), venue_ms)

    def _reports(
        self,
        orders: Sequence[OrderView],
        positions: Sequence[PositionView],
        balances: Sequence[BalanceView],
    ) -> Iterable[Report]:
        for order in orders:
            self._known.add(order.symbol, order.orderId, order.clientOrderId)
            report = self._reader.order_report(order, EventType.VENUE_ORDER)
            if report is not None:
                yield report
        for position in positions:
            report = self._reader.position_report(position)
            if report is not None and report.position_lots != 0:
                yield report
        yield self._reader.balance_report(balances)

    async def _positions(self) -> list[PositionView]:
        body = await ask(self._rest, "GET", POSITIONS_PATH)
        return decode_view(body, list[PositionView])

    async def _fills(self, index: int, first_ms: int, read: dict[int, FillView]) -> list[Report]:
        """Return the fills of an instrument that the books do not hold; `read` keeps all of them.

        Args:
            index: of the instrument.
            first_ms: venue time from which they are wanted, where no id is known.
            read: what earlier attempts read, by trade id.
        """
        symbol = self._reader.instruments[index].symbol
        for which in self._where_from(index, first_ms, read):
            pages = await fill_pages(self._rest, symbol, which)
            read.update((view.id, view) for view in pages)
        reports = []
        for trade_id in sorted(read):
            if not self.applied.holds(index, trade_id):
                view = read[trade_id]
                report = self._reader.fill_report(view, await self._client_order_id(view))
                if report is not None:
                    reports.append(report)
        return reports

    def _where_from(self, index: int, first_ms: int, read: dict[int, FillView]) -> list[Params]:
        """Return what is asked for so that no fill is missed (`fill_marks`)."""
        if read:
            newest_ms = max(view.time for view in read.values())
            again = (view.id for view in read.values() if view.time >= newest_ms - AGAIN_MS)
            return [{"fromId": min(again)}]
        seen = max(self._marks.settled(index), self.applied.floor(index))
        if seen:
            return [{"fromId": seen + 1}]
        by_time: Params = {"startTime": first_ms}
        waiting = self._marks.waiting(index)
        return [by_time, {"fromId": waiting + 1}] if waiting else [by_time]

    def _highest(self, traded: Iterable[int], read: Fills) -> dict[int, int]:
        highest = {index: max([self.applied.highest(index), *read[index]]) for index in traded}
        return {index: trade_id for index, trade_id in highest.items() if trade_id}

    async def _look_for_payments(self, first_ms: int) -> None:
        if not self.funding.is_due:
            return
        which: Params = {"incomeType": FUNDING_FEE, "startTime": first_ms}
        body = await ask(self._rest, "GET", INCOME_PATH, {**which, "limit": ROWS_MAX})
        views = decode_view(body, list[IncomeView])
        if len(views) < ROWS_MAX:  # else the rest with the next picture
            self.funding.asked()
        for view in views:
            report = funding_report(view, self._reader)
            if report is None or self.applied.holds_payment(
                report.instrument_index, report.trade_id
            ):
                continue
            self._payments[report.instrument_index, report.trade_id] = report

    async def fetch_order_fills(self, symbol: str, venue_order_id: int) -> list[Report]:
        """Return the fills of one order.

        Raises:
            VenueError: by kind.
        """
        views = await fill_pages(self._rest, symbol, {"orderId": venue_order_id})
        named = [
            self._reader.fill_report(view, await self._client_order_id(view)) for view in views
        ]
        return [report for report in named if report is not None]

    async def _client_order_id(self, view: FillView) -> str:
        """Return the client id of the order behind a fill, asking the venue when not remembered."""
        known = self._known.find(view.symbol, view.orderId)
        if known is not None:
            return known
        params: Params = {"symbol": view.symbol, "orderId": view.orderId}
        try:
            order = decode_view(await ask(self._rest, "GET", ORDER_PATH, params), OrderView)
        except VenueError as error:
            if error.code in {-2013, -2011}:
                return ""  # the venue forgets old orders; the fill itself still counts
            raise
        self._known.add(view.symbol, view.orderId, order.clientOrderId)
        report = self._reader.order_report(order, EventType.ORDER_UPDATE)
        if report is not None and self._reader.identity(order.clientOrderId) is None:
            self._found.append(report)  # not ours: its fills alone do not say how it ended
        return order.clientOrderId


def _first_ms(since_ms: int, venue_ms: int, overlap_ms: int) -> int:
    return max(since_ms - overlap_ms, venue_ms - WINDOW_MS, 0)


async def fill_pages(rest: BinanceRest, symbol: str, which: Params) -> list[FillView]:
    """Return the fills of an order (orderId) or since a time (startTime), by rising id.

    Raises:
        VenueError: by kind; NotExecutedError for more than PAGES_MAX pages.
    """
    rows: dict[int, FillView] = {}
    to_ask = [which]
    for _ in range(PAGES_MAX):
        asked = to_ask.pop()
        params = {"symbol": symbol, **asked, "limit": FILLS_PAGE}
        page = decode_view(await ask(rest, "GET", FILLS_PATH, params), list[FillView])
        rows.update((view.id, view) for view in page)
        if len(page) == FILLS_PAGE:
            to_ask += _beyond(asked, page)
        if not to_ask:
            return [rows[trade_id] for trade_id in sorted(rows)]
    raise NotExecutedError(f"{symbol}: more than {PAGES_MAX * FILLS_PAGE} fills to fetch")


def _beyond(asked: Params, page: Sequence[FillView]) -> list[Params]:
    """Return what is to be asked after a full page.

    Of which end of a span of time it is the venue does not say: both sides are looked at.
    """
    next_id = max(view.id for view in page) + 1
    if "startTime" not in asked:
        return [{**asked, "fromId": next_id}]
    earlier = {**asked, "endTime": min(view.time for view in page)}
    if "endTime" in asked:
        return [earlier]
    return [{"fromId": next_id}, earlier]  # the venue takes no id beside a time
