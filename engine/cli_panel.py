"""`aegis mode`, `approvals`, `onboard`, `offboard`, `lines`, `gaps`: words to a running engine."""

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
ONBOARD_EXAMPLE: Final = """\
example: aegis onboard                                    what is under way, live and taken off
         aegis onboard orderflow --reason "quiet market"
         aegis onboard DOGEUSDT --reason "asked for"

The part is shadow at once: decisions are recorded, nothing is sent. Its market since then is
played through it again and again; a record that passes the gate ([onboard] in the configuration)
makes it live, one that fails makes it off. Where orders leave for a third party it waits, once it
has passed, for `aegis onboard` a second time. A symbol this run does not have is brought by the
feed; a strategy it does not have, and no candidate of [onboard], trades with the next start.
"""
OFFBOARD_EXAMPLE: Final = """\
example: aegis offboard orderflow --reason "odd fills"

The part is off: no entries, exits go. A symbol's streams go with the next start.
"""
LINES_EXAMPLE: Final = """\
example: aegis lines second --reason "works on the first"
         aegis lines first

Each connection plan has a first line and, with sources.backup = "demand", a second one. Both
deliver until the one that is asked for was good for half a minute; nothing is cut.
"""
GAPS_EXAMPLE: Final = """\
example: aegis gaps                                       of all instruments
         aegis gaps BTCUSDT --reason "the chart has a hole"

Holes in trade ids, what was traded after the last trade of who is quiet, bars that closed: asked
of the venue's history. It is an incident; sources.incidents of `/status` says what was healed.
"""
ONBOARD_COLUMNS: Final = ("part", "stage", "trades", "net", "fall", "why", "who")
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
    onboard = add("onboard", "Take a strategy or a symbol to live, or list them.", ONBOARD_EXAMPLE)
    onboard.add_argument("part", nargs="?", default=None, help="strategy or symbol; default: list")
    offboard = add("offboard", "Take a strategy or a symbol off.", OFFBOARD_EXAMPLE)
    offboard.add_argument("part", help="strategy or symbol")
    lines = add("lines", "Have market data carried by its first or second lines.", LINES_EXAMPLE)
    lines.add_argument("line", choices=("first", "second"))
    gaps = add("gaps", "Look for market data that is missing, and heal it.", GAPS_EXAMPLE)
    gaps.add_argument("symbol", nargs="?", default="", help="default: all instruments")
    for parser in (mode, held, onboard, offboard, lines, gaps):
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


def onboard_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """List what is onboarded, or begin with a part; return a documented exit code."""
    if options.part is None:
        none = "nothing is onboarded"
        return listed(options, environment, "onboarding", ONBOARD_COLUMNS, none)
    return tell(options, environment, "onboard", {"part": options.part})


def lines_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Have market data carried by the lines of a name; return a documented exit code."""
    return tell(options, environment, "switch_primary_feeds", {"line": options.line})


def gaps_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Look for what is missing; return a documented exit code."""
    return tell(options, environment, "trigger_reconcile_gap", {"symbol": options.symbol})


def offboard_command(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Take a part off; return a documented exit code."""
    return tell(options, environment, "offboard", {"part": options.part})
