"""`aegis top`, `orders` and `positions`: a running engine's status as text.

Every view takes the document of `/status` and returns whole lines, no wider than asked; who shows
them, and how often, is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

ORDER_COLUMNS: Final = (
    "client_order_id",
    "instrument",
    "strategy",
    "side",
    "order_type",
    "price",
    "quantity",
    "filled",
    "status",
)
POSITION_COLUMNS: Final = (
    "instrument",
    "strategy",
    "quantity",
    "average_entry_price",
    "realised_pnl",
    "fees",
)
DECISION_COLUMNS: Final = ("time", "instrument", "strategy", "side", "reason", "score", "outcome")
LIVE: Final = ("LIVE", "UNSUPPORTED")
ROWS_SHOWN: Final = 8  # of each list in `top`
Status = Mapping[str, Any]


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return rows under their column names, numbers to the right, point below point."""
    found = [_column(column, [row.get(column) for row in rows]) for column in columns]
    return ["  ".join(parts).rstrip() for parts in zip(*found, strict=True)]


def _column(name: str, entries: Sequence[object]) -> list[str]:
    title, cells = name.replace("_", " "), [_text(entry) for entry in entries]
    is_number = bool(entries) and all(map(_is_number, entries))
    if is_number:
        tails = [len(cell) - len(cell.partition(".")[0]) for cell in cells]
        cells = [cell + " " * (max(tails) - tail) for cell, tail in zip(cells, tails, strict=True)]
    width = max(map(len, (title, *cells)))
    return [cell.rjust(width) if is_number else cell.ljust(width) for cell in (title, *cells)]


def orders_text(status: Status) -> str:
    """Return the orders that may still fill."""
    rows = status["orders_open"]
    return "\n".join(table(rows, ORDER_COLUMNS)) if rows else "no order is open"


def positions_text(status: Status) -> str:
    """Return the positions, and what was earned where one was closed."""
    rows = status["positions"]
    return "\n".join(table(rows, POSITION_COLUMNS)) if rows else "nothing was traded"


def top_lines(status: Status, width: int, height: int) -> list[str]:
    """Return one screen: state, roles, rates and latencies, then what fits of the lists."""
    lines = [*_head(status), "", *_latencies(status), ""]
    for title, rows, columns in (
        ("positions", status["positions"], POSITION_COLUMNS),
        ("open orders", status["orders_open"], ORDER_COLUMNS),
        ("decisions", status["decisions_recent"], DECISION_COLUMNS),
    ):
        shown = rows[:ROWS_SHOWN]
        more = f" (+{len(rows) - len(shown)})" if len(rows) > len(shown) else ""
        lines += [f"{title}{more}", *(table(shown, columns) if shown else ["  none"]), ""]
    return [line[:width] for line in lines[: max(height, 1)]]


def _head(status: Status) -> list[str]:
    counts, rates, pnl, memory = (status[k] for k in ("counts", "rates", "pnl", "memory"))
    rejected = sum(status["rejected_records"].values())
    roles = "   ".join(
        f"{role['name']} {role['state'].lower()} {_age(role['heartbeat_age_ms'])}"
        for role in status["roles"]
    )
    instruments = status["instruments"]
    quiet = [row["symbol"] for row in instruments if set(row["liveness"].values()) - set(LIVE)]
    watched = f"{len(instruments)} instruments"
    if quiet:
        watched += f", not live: {' '.join(quiet[:ROWS_SHOWN])}"
    title = f"aegis {status['name']}   {status['trading_state']}   up {status['uptime_s']:,.0f} s"
    market = f"{counts['records']:,} records, {rates['records_per_s']:,.0f}/s; {watched}"
    trading = f"{counts['decisions']:,} decisions, {counts['orders']:,} orders"
    result = f"{pnl['realised']:+,.2f} realised after {pnl['fees']:,.2f} fees"
    account = f"{pnl['unrealised']:+,.2f} open, equity {pnl['equity']:,.2f} {pnl['currency']}"
    rss, shared = memory["rss_bytes"] >> 20, memory["shared_bytes"] >> 20
    return [
        f"{title}   {status['mode']['source']}",
        *([status["notice"]] if status["notice"] else []),
        f"roles     {roles}",
        f"market    {market}; {rejected:,} refused by the firewall",
        f"trading   {trading}, {counts['fills']:,} fills, {counts['refusals']:,} refusals",
        f"result    {result}, {account}",
        f"memory    {rss:,} MB, {shared:,} MB shared",
    ]


def _latencies(status: Status) -> list[str]:
    rows = [
        {"latency, us": name.replace("_", " "), **percentiles}
        for name, percentiles in status["latency_us"].items()
    ]
    return table(rows, ("latency, us", "p50", "p99", "p999", "max", "count"))


def _is_number(entry: object) -> bool:
    if isinstance(entry, str):
        return entry.replace(".", "", 1).lstrip("-").isdecimal()
    return isinstance(entry, int | float) and not isinstance(entry, bool)


def _age(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:,.1f} ms"


def _text(entry: object) -> str:
    if entry is None:
        return "-"
    if isinstance(entry, float):
        return f"{entry:,.4f}" if abs(entry) < 100 else f"{entry:,.1f}"
    # What others wrote must not move the cursor of who reads it.
    shown = f"{entry:,}" if isinstance(entry, int) else str(entry)
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
