"""`aegis verify`: six core checks of the system, by the journal and by trying.

        RL implementation     research.reinforcement, as a program of its own
        trading environment   extension, practice exchange, a market of one instrument
        decision making       decisions in the journal: each explained, each opening order from one
        learning capability   research.learning, as a program of its own
        paper trading         fills and equal books in the journal of a paper session
        memory management     a full ring is a value, its segment goes; memory as journaled

A part that is not built fails by name. One that is built proves itself: `python -m MODULE verify`
ends with 0 and says in its last line what it found.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.domain.codes import EventType
from engine.processes.finding import Finding
from engine.processes.known_sessions import Known, counted
from engine.processes.practice import Market, PracticeError, PracticeExchange
from native_ext import build
from ringbuffer.errors import SegmentError
from ringbuffer.layout import FULL
from ringbuffer.ring import Producer, Ring
from ringbuffer.segment import find_stale, unlink

RL_MODULE: Final = "research.reinforcement"
LEARNING_MODULE: Final = "research.learning"
PART_LIMIT_S: Final = 300.0
RING_SLOTS: Final = 8
TRADE_FIRST: Final = "let it trade first: aegis run --for 60"

Check = Callable[[], Finding]


def core_checks(config: Config, known: Known) -> list[Finding]:
    """Return the six findings, in the order of their names above."""
    checks: tuple[Check, ...] = (
        partial(part_proves_itself, "RL implementation", RL_MODULE),
        trading_environment,
        partial(decision_making, known),
        partial(part_proves_itself, "learning capability", LEARNING_MODULE),
        partial(paper_trading, known),
        partial(memory_management, config, known),
    )
    return [check() for check in checks]


def part_proves_itself(name: str, module: str) -> Finding:
    """Return what a part outside the engine says of itself; one that is not there fails."""
    if not _is_built(module):
        remedy = f"build it: `python -m {module} verify` must end with 0"
        return Finding(name, good=False, found=f"not built: {module}", remedy=remedy, fatal=True)
    command = [sys.executable, "-m", module, "verify"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PART_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        said = f"{module} did not end within {PART_LIMIT_S:.0f} s"
        return Finding(name, good=False, found=said, fatal=True)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    found = lines[-1] if lines else f"{module} ended with {done.returncode}"
    return Finding(name, done.returncode == 0, found, f"`{' '.join(command[1:])}`", fatal=True)


def trading_environment() -> Finding:
    """Return whether a practice exchange starts here and lists what can be traded."""
    name = "trading environment"
    if found := build.difference():
        return Finding(name, good=False, found=found, remedy="make native", fatal=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            exchange = PracticeExchange.start(Market(generate=1), Path(folder) / "ledger")
        except PracticeError as error:
            return Finding(name, good=False, found=str(error), fatal=True)
        try:
            symbols = exchange.fetch("/fapi/v1/exchangeInfo")["symbols"]
        except (PracticeError, KeyError) as error:
            return Finding(name, good=False, found=f"exchangeInfo: {error}", fatal=True)
        finally:
            exchange.stop()
    found = f"extension loads; a practice exchange lists {len(symbols)} instruments"
    return Finding(name, bool(symbols), found, fatal=True)


def decision_making(known: Known) -> Finding:
    """Return whether decisions were made, and each is explained by the journal."""
    name = "decision making"
    count = sum(each.counts[EventType.SIGNAL_GENERATED] for each in known.facts)
    orders = sum(each.counts[EventType.ORDER_REQUEST] for each in known.facts)
    unexplained = [line for each in known.facts for line in each.unexplained]
    if unexplained:
        found = f"{len(unexplained)} of {count:,} are unexplained; {unexplained[0].text}"
        remedy = "keep the journal; `aegis why` tells an order's story"
        return Finding(name, good=False, found=found, remedy=remedy, fatal=True)
    found = f"{count:,} decisions, {orders:,} orders in {counted(len(known.facts))}, each explained"
    return Finding(name, count > 0, found if count else "none yet", TRADE_FIRST, fatal=True)


def paper_trading(known: Known) -> Finding:
    """Return whether paper sessions filled orders and their books agreed with the venue's."""
    fills = sum(len(part) for each in known.paper for part in each.fill_times_ns)
    equal = sum(each.counts[EventType.RECONCILED] for each in known.paper)
    adjusted = [line for each in known.paper for line in each.adjustments]
    found = f"{fills:,} fills, books found equal {equal:,} times in {counted(len(known.paper))}"
    remedy = TRADE_FIRST
    if adjusted:
        found += f"; {len(adjusted)} adjustments: {adjusted[0].text}"
        remedy = "see `aegis audit`; what was done by hand is adjusted too"
    return Finding("paper trading", bool(fills and equal and not adjusted), found, remedy, True)


def memory_management(config: Config, known: Known) -> Finding:
    """Return whether a full ring refuses, its segment goes, and memory stayed in its bound."""
    name = "memory management"
    problem = _ring_problem(f"aegis-verify-{config.name}")
    looks = [each.memory_mb_max for each in known.facts if each.memory_mb_max is not None]
    lost = sum(each.lost_count for each in known.facts)
    limit = config.limits.max_memory_mb
    if problem:
        return Finding(name, good=False, found=problem, remedy="make native", fatal=True)
    if lost:
        said = f"{lost:,} events were lost before they were journaled"
        return Finding(name, good=False, found=said, remedy="see `aegis audit`", fatal=True)
    if not looks:
        said = "memory was never journaled"
        return Finding(name, good=False, found=said, remedy=TRADE_FIRST, fatal=True)
    found = f"a full ring refuses and its segment goes; at most {max(looks):,} of {limit:,} MB used"
    return Finding(name, max(looks) < limit, found, "lower instruments_max", fatal=True)


def _ring_problem(name: str) -> str:
    """Return what a ring of a few slots does wrong; empty: nothing."""
    try:
        ring = Ring.create(name, RING_SLOTS, 64, 1, gating=(0,))
    except SegmentError as error:
        return str(error)
    try:
        producer = Producer(ring)
        answers = [producer.try_publish(bytes(56)) for _ in range(RING_SLOTS + 1)]
        producer.close()
    finally:
        ring.close()
        unlink(name)
    if answers[:-1] != list(range(RING_SLOTS)) or answers[-1] != FULL:
        return f"a ring of {RING_SLOTS} slots answered {answers}"
    left = [segment.name for segment in find_stale(name)]
    return f"segments stayed: {left}" if left else ""


def _is_built(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
