"""`aegis report --execution`: what orders cost to execute, together and the dearest.

Slippage in bps of its benchmark, more is worse; markouts in bps of the fill's price, below 0 the
market went away from the fill; fees in bps of what was traded. Averages are by notional over the
orders of which the figure is known; `-` where it is known of none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from engine.cli_views import table
from engine.domain.instrument_row import E8
from engine.processes.known_sessions import Known
from engine.store.errors import StoreError
from engine.store.execution_costs import BPS, MARKOUTS_S, Costs
from engine.store.order_costs import WorkedOrder, session_costs

WORST_SHOWN: Final = 5
Row = tuple[WorkedOrder, Costs]


def _markout(after_s: int) -> Callable[[Costs], float | None]:
    return lambda costs: costs.markouts_bps[after_s]


FIGURES: Final[dict[str, Callable[[Costs], float | None]]] = {
    "arrival": lambda costs: costs.arrival_bps,
    "vwap": lambda costs: costs.vwap_bps,
    "spread": lambda costs: costs.spread_bps,
    **{f"after_{after_s}s": _markout(after_s) for after_s in MARKOUTS_S},
}
COLUMNS: Final = ("name", "orders", "traded", "filled", "rested", "fees", *FIGURES)
PARENT_COLUMNS: Final = tuple(column for column in COLUMNS if column != "orders")


def execution_report(known: Known) -> dict[str, Any]:
    """Return what the orders of some sessions cost, as plain values; ratios from 0 to 1."""
    rows: list[Row] = []
    parents: list[Row] = []
    problems: list[str] = []
    left_out = 0
    for facts in known.facts:
        try:
            found = session_costs(facts.directory)
        except StoreError as error:
            problems.append(str(error))
            continue
        rows += found.orders
        parents += found.parents
        left_out += found.fills_left_out
    asked = [row for row in rows if row[1].arrival_bps is not None]
    worst = sorted(asked, key=_money_lost, reverse=True)[:WORST_SHOWN]
    return {
        "all": costs_row("all", rows) if rows else None,
        "by_strategy": _grouped(rows, "strategy"),
        "by_instrument": _grouped(rows, "instrument"),
        "parents": [costs_row(_parent_name(order), [(order, costs)]) for order, costs in parents],
        "worst": [_worst(row) for row in worst],
        "fills_left_out": left_out,
        "unreadable": problems,
    }


def costs_row(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return one line of the report: what these orders cost together."""
    traded_e8 = sum(order.notional_e8 for order, _ in rows)
    filled = sum(costs.filled_lots for _, costs in rows)
    fees_e8 = sum(costs.fee_e8 for _, costs in rows)
    return {
        "name": name,
        "orders": len(rows),
        "traded": traded_e8 / E8,
        "filled": filled / sum(costs.wanted_lots for _, costs in rows),
        "rested": sum(costs.maker_lots for _, costs in rows) / filled,
        "fees": fees_e8 / traded_e8 * BPS,
        **{figure: _mean(rows, of) for figure, of in FIGURES.items()},
    }


def execution_text(found: dict[str, Any]) -> str:
    """Return the report as a person reads it."""
    lines = ["execution (bps; slippage: more is worse; markouts: below 0 the market went away)"]
    if found["all"] is None:
        lines.append("  no order with a fill")
    for title in ("by_strategy", "by_instrument"):
        rows = found[title] + ([found["all"]] if title == "by_strategy" and found["all"] else [])
        if rows:
            lines += ["", title.replace("_", " "), *table([_shown(row) for row in rows], COLUMNS)]
    if found["parents"]:
        lines += ["", "parent orders, whole (their children are in the tables above)"]
        lines += table([_shown(row) for row in found["parents"]], PARENT_COLUMNS)
    if found["worst"]:
        columns = tuple(found["worst"][0])
        lines += ["", "dearest against arrival"]
        lines += table([_shown(row) for row in found["worst"]], columns)
    if found["fills_left_out"]:
        lines += ["", f"{found['fills_left_out']:,} fills are of orders that are not kept here"]
    return "\n".join([*lines, *(f"unreadable: {problem}" for problem in found["unreadable"])])


def _mean(rows: Sequence[Row], of: Callable[[Costs], float | None]) -> float | None:
    parts = [(of(costs), order.notional_e8) for order, costs in rows]
    known = [(figure, weight) for figure, weight in parts if figure is not None]
    total = sum(weight for _, weight in known)
    return sum(figure * weight for figure, weight in known) / total if total else None


def _grouped(rows: Sequence[Row], field: str) -> list[dict[str, Any]]:
    name_of = attrgetter(field)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(name_of(row[0]), []).append(row)
    found = [costs_row(name, group) for name, group in groups.items()]
    return sorted(found, key=lambda row: (-row["traded"], row["name"]))


def _parent_name(order: WorkedOrder) -> str:
    side = "buy" if order.side > 0 else "sell"
    return f"{order.client_order_id} {order.strategy} {side} {order.instrument}"


def _money_lost(row: Row) -> float:
    order, costs = row
    return (costs.arrival_bps or 0.0) * order.notional_e8 / BPS


def _worst(row: Row) -> dict[str, Any]:
    order, costs = row
    return {
        "order": order.client_order_id,
        "instrument": order.instrument,
        "strategy": order.strategy,
        "lost": _money_lost(row) / E8,
        **{figure: of(costs) for figure, of in FIGURES.items()},
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its numbers as short text."""
    texts = {name: "-" if cell is None else cell for name, cell in row.items()}
    return {
        name: f"{cell:,.2f}" if isinstance(cell, float) else cell for name, cell in texts.items()
    }
