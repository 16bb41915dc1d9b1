"""`aegis order`, `execute`, `executions` and `cancel`: a person's orders, through the API."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any, Final

from engine import exit_codes
from engine.api_client import call, find, refused, silent
from engine.cli_tapes import seconds as number
from engine.cli_views import table

METHODS: Final = ("twap", "vwap", "pov", "iceberg", "shortfall", "peg", "best", "hidden")
COLUMNS: Final = (
    "order", "instrument", "method", "side", "quantity", "filled", "children", "state", "reason",
    "curve", "taken_up", "route",
)  # fmt: skip
ROUTE_COLUMNS: Final = (
    "instrument", "venue", "health", "bid", "ask", "touch_age_ms", "latency_p99_ms", "maker_bps",
    "taker_bps", "buy", "sell", "why",
)  # fmt: skip
DURATION: Final = re.compile("([0-9]{1,5})([mhd])")
UNIT_S: Final = {"m": 60, "h": 3_600, "d": 86_400}
MS_PER_S: Final = 1_000
Add = Callable[[str, str, str], argparse.ArgumentParser]
ORDER_EXAMPLE: Final = """\
example: aegis order BTCUSDT buy 0.002 --reason "hedge"
         aegis order BTCUSDT sell 0.002 --limit 61800.5 --post-only --reason "hedge"
         aegis order BTCUSDT buy 0.002 --limit 61800.5 --good-till 2h
         aegis order BTCUSDT buy 0.002 --limit 61800.5 --good-till 2026-11-24T12:00Z

The order passes every gate, as a strategy's does, under the name `hand`. It closes only what orders
by hand hold; `aegis flatten` closes everything. Asked again with the same --request-id it is
answered again and sent once. The venue takes dates more than ten minutes ahead, in whole seconds.
Exit code 0: it was sent; 1: a gate refused it, or the engine did not answer; 2: it is no order.
"""
CANCEL_EXAMPLE: Final = """\
example: aegis cancel 3-41 --reason "changed my mind"
         aegis cancel a3-4-15-0

An order is named by its client order id, or by EPOCH-NUMBER as the tables have it.
Exit code 0: the venue is asked; 1: it is settled, or not known; 2: it names no order.
"""


EXECUTE_EXAMPLE: Final = """\
example: aegis execute twap BTCUSDT buy 0.5 --minutes 30 --reason "build up"
         aegis execute pov ETHUSDT sell 40 --rate 0.05 --minutes 120
         aegis execute iceberg BTCUSDT buy 2 --limit 61800 --display 0.1 --minutes 240
         aegis execute peg BTCUSDT sell 0.2 --behind 2 --minutes 15
         aegis execute best BTCUSDT buy 0.2 --minutes 5 --reason "no hurry, no method"

twap and vwap follow time and volume, shortfall is fast at first, pov is a part of what trades, an
iceberg shows a part, a peg stays at the touch. What is due rests at the touch for --patience, then
is taken. best has the router choose for each child: all that is left is taken, or rests, as is
cheaper by price, fee, size, latency and health (`aegis routes`); at the end what is left is taken.
Each child passes every gate; HALT ends a parent order, PAUSE holds it, `aegis cancel` stops it. It
ends with the engine. No venue here hides an order whole: `hidden` works as an iceberg that shows
--display, by the router as best does, and is refused without one.
Exit code 0: it works; 1: refused, or the engine did not answer; 2: it is no order.
"""


ROUTES_EXAMPLE: Final = """\
example: aegis routes
         aegis routes --json

A row per instrument and venue: READY, DEGRADED or DOWN and why, touch and its age, p99 from
decision to first byte, fees; and what the router would do with the least order now, resting for
five seconds at most: the way and its cost against the mid in bps, or what rules the venue out.
"""


def add_order_commands(add: Add) -> None:
    """Add the parsers of these commands."""
    _add_execute(add)
    order = add("order", "Send an order by hand, through every gate.", ORDER_EXAMPLE)
    order.add_argument("symbol", help="BTCUSDT, or as people write it: btc, BTC/USDT ...")
    order.add_argument("side", choices=("buy", "sell"))
    order.add_argument("quantity", type=_decimal, help="decimal, in whole lots")
    order.add_argument("--limit", type=_decimal, metavar="PRICE", help="limit price (at market)")
    how = order.add_mutually_exclusive_group()
    how.add_argument("--post-only", action="store_true", help="rest, or be refused by the venue")
    how.add_argument("--ioc", action="store_true", help="what does not fill at once expires")
    how.add_argument("--fok", action="store_true", help="fill whole at once, or expire")
    how.add_argument(
        "--good-till",
        type=_date_ms,
        metavar="WHEN",
        help="rest until then: a date with its zone, or from now: 15m, 2h, 1d",
    )
    order.add_argument(
        "--reduce-only", action="store_true", help="only take back what orders by hand hold"
    )
    order.add_argument("--request-id", default=None, help="name of the request (a new one)")
    cancel = add("cancel", "Cancel one order, or stop a parent order.", CANCEL_EXAMPLE)
    cancel.add_argument("order", metavar="ID", help="client order id, or EPOCH-NUMBER")
    for parser in (order, cancel):
        _add_reason(parser)
    shown = add("executions", "Parent orders and how far they are.", "example: aegis executions")
    _add_instance(shown)
    routes = add("routes", "What the router knows of each venue, now.", ROUTES_EXAMPLE)
    _add_instance(routes)


def _add_execute(add: Add) -> None:
    execute = add("execute", "Start a parent order, which an algorithm works.", EXECUTE_EXAMPLE)
    execute.add_argument("method", choices=METHODS)
    execute.add_argument("symbol", help="BTCUSDT, or as people write it: btc, BTC/USDT ...")
    execute.add_argument("side", choices=("buy", "sell"))
    execute.add_argument("quantity", type=_decimal, help="decimal, in whole lots")
    execute.add_argument("--minutes", type=number, default=10.0, help="from now until its end (10)")
    execute.add_argument("--limit", type=_decimal, metavar="PRICE", help="worst price (any)")
    execute.add_argument("--rate", type=number, default=0.1, help="pov: part of the volume (0.1)")
    execute.add_argument(
        "--display", type=_decimal, metavar="QUANTITY", help="iceberg, best, hidden: what is shown"
    )
    execute.add_argument("--urgency", type=number, default=3.0, help="shortfall: 0 is a TWAP (3)")
    execute.add_argument("--behind", type=int, default=0, metavar="TICKS", help="peg (0)")
    execute.add_argument("--patience", type=number, default=5.0, metavar="SECONDS", help="(5)")
    execute.add_argument("--cap", type=number, default=0.0, help="most of the volume, 0: any (0)")
    execute.add_argument("--request-id", default=None, help="name of the request (a new one)")
    _add_reason(execute)


def _decimal(text: str) -> str:
    from engine.web.bodies import DECIMAL

    if not re.fullmatch(DECIMAL, text):
        raise ValueError(text)
    return text


_decimal.__name__ = "decimal"  # in argparse's sentence


def _date_ms(text: str) -> int:
    found = DURATION.fullmatch(text)
    if found:
        ahead_s = int(found[1]) * UNIT_S[found[2]]
        return (ceil(time.time()) + ahead_s) * MS_PER_S
    date = datetime.fromisoformat(text)
    if date.tzinfo is None:
        raise ValueError(text)  # whose clock?
    return round(date.timestamp() * MS_PER_S)


_date_ms.__name__ = "date with its zone, or duration,"  # in argparse's sentence


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="command line", help="why; it is journaled")
    _add_instance(parser)


def _add_instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="main", help="instance name (main)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def order_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Send an order to a running engine; return a documented exit code."""
    body = {
        "symbol": options.symbol,
        "side": options.side,
        "quantity": options.quantity,
        "limit_price": options.limit or "",
        "post_only": options.post_only,
        "immediate": options.ioc,
        "fill_or_kill": options.fok,
        "reduce_only": options.reduce_only,
        "request_id": options.request_id or secrets.token_hex(8),
    }
    if options.good_till is not None:
        body["good_till_ms"] = options.good_till
    return tell(options, environment, "submit_order", body)


def execute_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Start a parent order in a running engine; return a documented exit code."""
    body = {
        "method": options.method,
        "symbol": options.symbol,
        "side": options.side,
        "quantity": options.quantity,
        "minutes": options.minutes,
        "limit_price": options.limit or "",
        "rate": options.rate,
        "display": options.display or "",
        "urgency": options.urgency,
        "behind_ticks": options.behind,
        "patience_s": options.patience,
        "cap": options.cap,
        "request_id": options.request_id or secrets.token_hex(8),
    }
    return tell(options, environment, "execute_order", body)


def executions_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the parent orders of a running engine; return a documented exit code."""
    none = "no parent order was started"
    return listed(options, environment, "executions", COLUMNS, none, part="rows")


def routes_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the router's table of a running engine; return a documented exit code."""
    none = "the engine has no table yet"
    return listed(options, environment, "routes", ROUTE_COLUMNS, none, part="rows")


def cancel_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Cancel one order of a running engine; return a documented exit code."""
    return tell(options, environment, "cancel_order", {"order": options.order})


def listed(
    options: argparse.Namespace,
    environment: Mapping[str, str],
    name: str,
    columns: Sequence[str],
    none: str,
    *,
    part: str = "",
) -> int:
    """Print the rows of a reading operation; return an exit code.

    Args:
        options: of the command line: name, json.
        environment: of the process.
        name: of the operation.
        columns: of the rows that the table shows.
        none: what to say where there are no rows.
        part: of the answer that is printed as JSON; empty: all of it.
    """
    engine = find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    answer = call(engine, "GET", f"/v1/{name}")
    if answer is None:
        return silent(engine)
    if "error" in answer:
        return exit_codes.fail(str(answer["error"]), exit_codes.USAGE)
    rows = answer["rows"]
    text = "\n".join(table(rows, columns)) if rows else none
    shown = answer[part] if part else answer
    print(json.dumps(shown) if options.json else text)  # noqa: T201  the command's own output
    return exit_codes.DONE


def tell(
    options: argparse.Namespace, environment: Mapping[str, str], name: str, body: dict[str, Any]
) -> int:
    """Give an operation to a running engine and print what came of it; return an exit code."""
    engine = find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    said = {"who": "cli", "reason": options.reason, **body}
    answer = call(engine, "POST", f"/v1/{name}", said)
    if answer is None:
        again = (
            f"; ask again with --request-id {said['request_id']}" if "request_id" in said else ""
        )
        if "good_till_ms" in said:
            from engine.processes.outside_words import moment

            # WHY: a duration would be another date by then, and so another order.
            again += f" --good-till {moment(said['good_till_ms'])}"
        text = f"the API of {engine.name!r} does not answer: nothing is known{again}"
        return exit_codes.fail(text, exit_codes.ROLE_DIED)
    if "error" in answer:
        return refused(answer)
    print(json.dumps(answer) if options.json else answer["effect"])  # noqa: T201
    return exit_codes.DONE
