"""Which venue an order goes to, and as what: by cost, liquidity, latency and health.

    table of routes, request -> what rules a route out -> all-in price of what is left -> the best

A choice is made once, for an intent that was never sent. An order that was sent stays with its
venue until it is settled: one in UNKNOWN may have been executed, and a second one elsewhere would
double it. What is in doubt counts as filled (`work.account`), so that it is no part of a request;
only the rest of a settled order is. A refusal is a value that says for each venue why not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from engine.domain.execution.algorithms import Hiding, hiding
from engine.domain.execution.parent import PPM, Parent

ROUTES_MAX: Final = 16
NS_PER_MS: Final = 1_000_000
SUBMISSION_NS_MAX: Final = 500_000_000  # from decision to submission, a hard limit
TOUCH_AGE_NS_MAX: Final = 1_000_000_000


class Health(IntEnum):
    """What is known of a venue's order side."""

    READY = 0
    DEGRADED = 1  # answers, but slowly or with errors
    DOWN = 2  # unreachable, halted, or not reconciled


class Way(IntEnum):
    """As what an order is sent."""

    TAKE = 1  # IOC at the far touch
    REST = 2  # post-only at the near touch
    HIDDEN = 3  # the venue hides it
    ICEBERG = 4  # displays, one after the other


class RuledOut(IntEnum):
    """Why a route is not for an order."""

    DOWN = 1
    SLOW = 2
    STALE = 3
    NO_TOUCH = 4
    BEYOND_LIMIT = 5
    NOT_OFFERED = 6
    TOO_SMALL = 7  # the order, or of a hidden one what may be seen
    BOUND = 8  # all that is left was sent, and stays with its venue until it is settled


class Route(NamedTuple):
    """One venue's row; quantities in a lot and prices in a unit that all rows share."""

    venue: str
    health: Health
    ways: frozenset[Way]  # what it offers: TAKE, REST, HIDDEN
    bid_e8: int  # 0: none
    ask_e8: int
    bid_lots: int
    ask_lots: int
    touch_age_ns: int
    latency_ns: int  # p99 from decision to submission
    maker_ppm: int  # of the notional; a rebate is negative
    taker_ppm: int
    impact_ppm: int = 0  # price given up for each quantity of the touch beyond the first
    traded_lots: int = 0  # by the whole market in the time an order may rest, expected
    drift_ppm: int = 0  # what the price moves against an order in that time, expected
    least_lots: int = 1


class Request(NamedTuple):
    """An order before it has a venue."""

    side: int
    qty_lots: int
    limit_e8: int = 0  # 0: any
    ways: frozenset[Way] = frozenset({Way.TAKE, Way.REST})
    display_lots: int = 0  # above 0: no more than this may be seen, so it is hidden or an iceberg


class Terms(NamedTuple):
    """What is not in the price, as a part of it."""

    wait_ppm_per_ms: int = 0  # what a millisecond of latency is worth
    degraded_ppm: int = 100
    latency_ns_max: int = SUBMISSION_NS_MAX
    touch_age_ns_max: int = TOUCH_AGE_NS_MAX


class Table(NamedTuple):
    """What is known of each venue for one instrument, at a moment."""

    rows: tuple[Route, ...]
    tick_e8: int  # what a tick of the instrument is in the rows' unit of price
    terms: Terms = Terms()


class Choice(NamedTuple):
    """Where an order goes, as what, at which price, and what it is reckoned to cost."""

    venue: str
    way: Way
    price_e8: int
    all_in_e8: int  # signed by side: smaller is better
    other_e8: int = 0  # the same of the next best; 0: there is no other


class Refusal(NamedTuple):
    """No venue, and why not, for each."""

    reasons: tuple[tuple[str, RuledOut], ...]


def route(routes: Sequence[Route], request: Request, terms: Terms) -> Choice | Refusal:
    """Return the best venue and way for an intent that was never sent; of equals the first row.

    What must not be seen whole goes where a venue hides it, whatever a display would cost.
    """
    assert len(routes) <= ROUTES_MAX, len(routes)
    assert request.side in {-1, 1}, request
    found: list[Choice] = []
    reasons: list[tuple[str, RuledOut]] = []
    for row in routes:
        answers = list(_choices(row, request, terms))
        found += [answer for answer in answers if isinstance(answer, Choice)]
        reasons += [(row.venue, answer) for answer in answers if isinstance(answer, RuledOut)]
    native = [choice for choice in found if choice.way is Way.HIDDEN]
    ranked = sorted(native or found, key=lambda choice: choice.all_in_e8)
    if not ranked:
        return Refusal(tuple(dict.fromkeys(reasons)))
    best, *others = ranked
    return best._replace(other_e8=others[0].all_in_e8) if others else best


def _choices(row: Route, request: Request, terms: Terms) -> Iterator[Choice | RuledOut]:
    reason = _ruled_out(row, request, terms)
    if reason is not None:
        yield reason
    elif request.display_lots > 0:
        way = _hidden_way(row, request)
        yield _priced(row, request, way, terms) if isinstance(way, Way) else way
    else:
        offered = sorted(request.ways & row.ways & {Way.TAKE, Way.REST})
        yield from (_priced(row, request, way, terms) for way in offered)
        if not offered:
            yield RuledOut.NOT_OFFERED


def _ruled_out(row: Route, request: Request, terms: Terms) -> RuledOut | None:
    if row.health is Health.DOWN:
        return RuledOut.DOWN
    if row.latency_ns > terms.latency_ns_max:
        return RuledOut.SLOW
    if row.touch_age_ns > terms.touch_age_ns_max:
        return RuledOut.STALE
    if not 0 < row.bid_e8 < row.ask_e8 or min(row.bid_lots, row.ask_lots) <= 0:
        return RuledOut.NO_TOUCH
    return RuledOut.TOO_SMALL if request.qty_lots < row.least_lots else None


def _hidden_way(row: Route, request: Request) -> Way | RuledOut:
    whole = Parent(request.side, request.qty_lots, least_lots=row.least_lots)
    how = hiding(whole, request.display_lots, is_native=Way.HIDDEN in row.ways)
    if how is Hiding.NATIVE:
        return Way.HIDDEN
    if how is Hiding.REFUSED:
        return RuledOut.TOO_SMALL
    return Way.ICEBERG if Way.REST in row.ways else RuledOut.NOT_OFFERED


def _priced(row: Route, request: Request, way: Way, terms: Terms) -> Choice | RuledOut:
    is_buy = request.side > 0
    near_e8, far_e8 = (row.bid_e8, row.ask_e8) if is_buy else (row.ask_e8, row.bid_e8)
    if way is Way.TAKE:
        price_e8, extra_ppm = far_e8, _taking_ppm(row, request)
    else:
        price_e8, extra_ppm = near_e8, _resting_ppm(row, request, near_e8, far_e8)
    if request.limit_e8 and (price_e8 - request.limit_e8) * request.side > 0:
        if way is Way.TAKE:
            return RuledOut.BEYOND_LIMIT
        price_e8 = request.limit_e8
    extra_ppm += terms.wait_ppm_per_ms * row.latency_ns // NS_PER_MS
    extra_ppm += terms.degraded_ppm if row.health is Health.DEGRADED else 0
    return Choice(row.venue, way, price_e8, price_e8 * request.side + price_e8 * extra_ppm // PPM)


def _taking_ppm(row: Route, request: Request) -> int:
    touch_lots = row.ask_lots if request.side > 0 else row.bid_lots
    beyond = max(request.qty_lots - touch_lots, 0)
    return row.taker_ppm + row.impact_ppm * beyond // touch_lots


def _resting_ppm(row: Route, request: Request, near_e8: int, far_e8: int) -> int:
    """Return the fee of an order that rests, and what it is reckoned to lose by not taking.

    It stands behind the touch, and half of what trades comes to its side: of `ahead` and as much
    as comes, the part `ahead` is not filled and is taken after all, at the other price and fee.
    """
    taking_e8 = far_e8 * (request.side * PPM + _taking_ppm(row, request))
    resting_e8 = near_e8 * (request.side * PPM + row.maker_ppm)
    saved_ppm = -((resting_e8 - taking_e8) // near_e8)
    ahead = request.qty_lots + (row.bid_lots if request.side > 0 else row.ask_lots)
    missed_ppm = -(-max(saved_ppm, 0) * ahead // (ahead + row.traded_lots // 2))
    return row.maker_ppm + row.drift_ppm + missed_ppm
