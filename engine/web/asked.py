"""What a command says of itself: who asks, what for in one line, and whether it is too late."""

from __future__ import annotations

import time
from typing import Final

from engine.web.bodies import (
    CancelBody,
    CommandBody,
    CostsBody,
    ExecuteBody,
    FeedLineBody,
    GapsBody,
    HeldBody,
    ModuleBody,
    NoteBody,
    OnboardBody,
    OrderBody,
    PartBody,
    TickBody,
)
from engine.web.panel import command_of
from engine.web.sessions import Caller

ORDER_MARKS: Final = ("post_only", "immediate", "fill_or_kill", "reduce_only")
SELF_NAMED: Final = frozenset({"local", "guest"})  # on this machine: they say who they are
HALT: Final = "halt"


def too_late(name: str, asked: CommandBody) -> str:
    """Return why a command is not carried out any more; empty: it is. A HALT always is.

    A process that stood still finds requests in its socket whose callers went long ago: a resume
    among them would re-arm an engine that somebody believes to be halted.
    """
    if asked.expires_ms is None or command_of(name, asked) == HALT:
        return ""
    late_s = time.time() - asked.expires_ms / 1_000
    return f"not carried out: its caller gave up {late_s:.1f} s ago" if late_s > 0 else ""


def who_asks(asked: CommandBody, caller: Caller) -> str:
    """Return who asks: as admitted; on this machine, as it says."""
    return asked.who if caller.name in SELF_NAMED else caller.name


def words_of(name: str, asked: CommandBody) -> str:
    """Return what was asked in one line: the same for the same request."""
    if isinstance(asked, ModuleBody):
        return f"{name} {asked.module} {asked.state}"
    if isinstance(asked, OnboardBody):
        return f"{name} {asked.part}"
    if isinstance(asked, PartBody):
        return f"{name} {asked.module}"
    if isinstance(asked, HeldBody):
        return f"{name} {asked.number}"
    if isinstance(asked, FeedLineBody):
        return f"{name} {asked.line}"
    if isinstance(asked, TickBody):
        return f"{name} {asked.symbol} {asked.side} {asked.quantity} at {asked.price}"
    if isinstance(asked, GapsBody):
        return f"{name} {asked.symbol or 'all'}"
    if isinstance(asked, NoteBody):
        return f"{name} {asked.decision}: {asked.note}"
    if isinstance(asked, CostsBody | CancelBody):
        return f"{name} {asked.order}"
    if isinstance(asked, ExecuteBody):
        words = (asked.method, asked.symbol, asked.side, asked.quantity)
        return " ".join([name, *words, f"in {asked.minutes:g} min"])
    if isinstance(asked, OrderBody):
        price = f"at {asked.limit_price}" if asked.limit_price else "at market"
        marks = [mark for mark in ORDER_MARKS if getattr(asked, mark)]
        if asked.good_till_ms is not None:
            marks.append(f"good_till {asked.good_till_ms}")
        return " ".join([name, asked.symbol, asked.side, asked.quantity, price, *marks])
    return name


def memory_key(words: str, reason: str) -> str:
    """Return what makes two requests of one id the same."""
    return f"{words} because {reason}"
