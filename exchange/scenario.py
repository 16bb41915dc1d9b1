"""Scenario files: which fault acts when, so that a bad day can be repeated exactly.

    seed = 7                       # of every fault that names none

    [[fault]]
    at_ms = 1500                   # real time since the market began to play,
    kind = "frozen"                # or at_events = 20000: events played, or neither: from the start
    stream = "btcusdt@bookTicker"
    duration_ms = 2000

A row is an order as the control routes take it, with its time. This module reads and checks; what
acts is `exchange.scenario_runner`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from exchange.errors import ApiError, ScenarioError
from exchange.fault_kinds import KINDS, SELF_KINDS
from exchange.fault_orders import DAY_MS, Lasting, parse

MAX_STEPS = 1_000
MAX_FILE_BYTES = 1_048_576
SEED_STRIDE = 1_000_003  # seeds of a file's rows lie this far apart

Moment = Annotated[int, Meta(ge=0, le=2 * DAY_MS)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fault: Annotated[list[dict[str, Any]], Meta(max_length=MAX_STEPS)] = []
    seed: int = 1


class _When(msgspec.Struct, frozen=True):
    at_ms: Moment | None = None
    at_events: Annotated[int, Meta(ge=0, le=2**53)] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One fault and when it acts; without a time it acts from the start."""

    order: dict[str, Any]
    at_ms: int | None = None
    at_events: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """The rows of one file, in its order."""

    steps: tuple[Step, ...] = ()


def load(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises:
        ScenarioError: with a sentence that names the file and the row.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise ScenarioError(f"{path}: {fault.strerror}") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ScenarioError(f"{path}: no TOML ({fault})") from fault
    try:
        return scenario_of(document)
    except ScenarioError as fault:
        raise ScenarioError(f"{path}: {fault}") from fault


def scenario_of(document: dict[str, Any]) -> Scenario:
    """Return the scenario a TOML document describes.

    Raises:
        ScenarioError: with a sentence that names the row.
    """
    try:
        file = msgspec.convert(document, _File)
    except msgspec.ValidationError as fault:
        raise ScenarioError(str(fault)) from fault
    rows = enumerate(file.fault, start=1)
    return Scenario(tuple(_step(row, place, file.seed) for place, row in rows))


def _step(row: dict[str, Any], place: int, seed: int) -> Step:
    order = {name: word for name, word in row.items() if name not in {"at_ms", "at_events"}}
    kind = str(order.get("kind", ""))
    known = KINDS.get(kind)
    if known is None or kind in SELF_KINDS:
        raise ScenarioError(f"fault {place}: unknown kind {kind!r}")
    if issubclass(known.shape, Lasting):
        order.setdefault("seed", seed * SEED_STRIDE + place)
    try:
        when = msgspec.convert(row, _When)
        parse(known.shape, order)
    except (msgspec.ValidationError, ApiError) as fault:
        raise ScenarioError(f"fault {place}: {fault}") from fault
    if when.at_ms is not None and when.at_events is not None:
        raise ScenarioError(f"fault {place}: at_ms and at_events exclude each other")
    return Step(order, when.at_ms, when.at_events)
