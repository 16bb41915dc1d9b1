"""`aegis order` and `aegis cancel`: a person's orders to a running engine, through the API."""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine import exit_codes
from engine.api_client import call, find

Add = Callable[[str, str, str], argparse.ArgumentParser]
ORDER_EXAMPLE: Final = """\
example: aegis order BTCUSDT buy 0.002 --reason "hedge"
         aegis order BTCUSDT sell 0.002 --limit 61800.5 --post-only --reason "hedge"

The order passes every gate, as a strategy's does, under the name `hand`. It closes only what orders
by hand hold; `aegis flatten` closes everything. Asked again with the same --request-id it is
answered again and sent once.
Exit code 0: it was sent; 1: a gate refused it, or the engine did not answer; 2: it is no order.
"""
CANCEL_EXAMPLE: Final = """\
example: aegis cancel 3-41 --reason "changed my mind"
         aegis cancel a3-4-15-0

An order is named by its client order id, or by EPOCH-NUMBER as the tables have it.
Exit code 0: the venue is asked; 1: it is settled, or not known; 2: it names no order.
"""


def add_order_commands(add: Add) -> None:
    """Add the parsers of these commands."""
    order = add("order", "Send an order by hand, through every gate.", ORDER_EXAMPLE)
    order.add_argument("symbol", help="BTCUSDT, or as people write it: btc, BTC/USDT ...")
    order.add_argument("side", choices=("buy", "sell"))
    order.add_argument("quantity", help="decimal, in whole lots")
    order.add_argument("--limit", default="", metavar="PRICE", help="limit price (at market)")
    how = order.add_mutually_exclusive_group()
    how.add_argument("--post-only", action="store_true", help="rest, or be refused by the venue")
    how.add_argument("--ioc", action="store_true", help="what does not fill at once expires")
    order.add_argument(
        "--reduce-only", action="store_true", help="only take back what orders by hand hold"
    )
    order.add_argument("--request-id", default=None, help="name of the request (a new one)")
    cancel = add("cancel", "Cancel one order of this engine.", CANCEL_EXAMPLE)
    cancel.add_argument("order", metavar="ID", help="client order id, or EPOCH-NUMBER")
    for parser in (order, cancel):
        parser.add_argument("--reason", default="command line", help="why; it is journaled")
        parser.add_argument("--name", default="main", help="instance name (main)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def order_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Send an order to a running engine; return a documented exit code."""
    body = {
        "symbol": options.symbol,
        "side": options.side,
        "quantity": options.quantity,
        "limit_price": options.limit,
        "post_only": options.post_only,
        "immediate": options.ioc,
        "reduce_only": options.reduce_only,
        "request_id": options.request_id or secrets.token_hex(8),
    }
    return tell(options, environment, "submit_order", body)


def cancel_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Cancel one order of a running engine; return a documented exit code."""
    return tell(options, environment, "cancel_order", {"order": options.order})


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
        text = f"the API of {engine.name!r} does not answer: nothing is known{again}"
        return exit_codes.fail(text, exit_codes.ROLE_DIED)
    if "error" in answer:
        code = exit_codes.CHECK_FAILED if "effect" in answer else exit_codes.USAGE
        return exit_codes.fail(str(answer["error"]), code)
    print(json.dumps(answer) if options.json else answer["effect"])  # noqa: T201
    return exit_codes.DONE
