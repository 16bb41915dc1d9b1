"""`aegis mode` and `aegis approvals`: the options panel, and entries that wait for a word."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from engine import exit_codes
from engine.cli_orders import listed, tell

Add = Callable[[str, str, str], argparse.ArgumentParser]
MODES: Final = ("live", "simulate", "shadow", "off")
MODE_EXAMPLE: Final = """\
example: aegis mode                                       what is not live, by whom and why
         aegis mode strategy:smc_fvg_bos shadow --reason "odd fills"
         aegis mode instrument:BTCUSDT off
         aegis mode regime:wild live --reason "calm again"

Parts: all, module:KIND, strategy:NAME, instrument:SYMBOL, regime:LABEL (trend_down, trend_none,
trend_up, calm, usual, wild). An entry takes the most severe mode of those it belongs to; exits
always go. live; simulate: only where no order leaves for a third party; shadow: the decision is
recorded and nothing is sent; off: not recorded. A milder mode needs a reason.
"""
APPROVALS_EXAMPLE: Final = """\
example: aegis approvals                                  what waits
         aegis approvals approve 3 --reason "as planned"
         aegis approvals reject 3

An approved entry passes every gate again, at that moment's prices, and is sent once.
"""
MODE_COLUMNS: Final = ("part", "mode", "who", "reason")
HELD_COLUMNS: Final = (
    "number",
    "instrument",
    "strategy",
    "side",
    "order_type",
    "price",
    "quantity",
    "notional",
    "expires_s",
)


def add_panel_commands(add: Add) -> None:
    """Add the parsers of these commands."""
    mode = add("mode", "List modes, or give a part of the engine one.", MODE_EXAMPLE)
    mode.add_argument("part", nargs="?", default=None, help="default: list")
    mode.add_argument("mode", nargs="?", default=None, choices=MODES)
    held = add("approvals", "List entries that wait, approve or reject one.", APPROVALS_EXAMPLE)
    held.add_argument("word", nargs="?", default=None, choices=("approve", "reject"))
    held.add_argument("number", nargs="?", default=None, type=int, help="of the entry that waits")
    for parser in (mode, held):
        parser.add_argument("--reason", default="", help="why; it is journaled")
        parser.add_argument("--name", default="main", help="instance name (main)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def mode_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """List modes or give one; return a documented exit code."""
    if options.part is None:
        return listed(options, environment, "modes", MODE_COLUMNS, "everything is live")
    if options.mode is None:
        return exit_codes.fail("mode: name a part and its mode", exit_codes.USAGE)
    body = {"module": options.part, "state": options.mode}
    return tell(options, environment, "set_module_state", body)


def approvals_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """List what waits or say a word on it; return a documented exit code."""
    if options.word is None:
        return listed(options, environment, "held_intents", HELD_COLUMNS, "nothing waits")
    if options.number is None:
        return exit_codes.fail(f"{options.word}: name a number", exit_codes.USAGE)
    return tell(options, environment, f"{options.word}_intent", {"number": options.number})
