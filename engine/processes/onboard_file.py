"""What is being onboarded, in a file beside the ledger: main writes it, feed and starts read it.

        bootstrap -> shadow -> passed -> live -> offboarded
                        `--------`--------------^   decay, bad data, or a word

A stage is on the disk before its mode is given, and `is_told` after it: whoever dies in between
gives the mode again. Standard library and msgspec only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from engine.domain import typed
from engine.processes.onboard_rules import SessionRecord

ONBOARD_FILE: Final = "onboarding.json"  # in the state directory
ROWS_MAX: Final = 64  # under way, live and offboarded; offboarded ones make room


class Stage(StrEnum):
    """How far a part has come."""

    NONE = "none"
    BOOTSTRAP = "bootstrap"  # a symbol this run does not have
    SHADOW = "shadow"
    PASSED = "passed"  # waits for the next start, or for an operator's second word
    LIVE = "live"
    OFFBOARDED = "offboarded"


class LiveRecord(Struct, frozen=True, kw_only=True):
    """What the account's record said when a part went live, and its peak since; quote currency."""

    trades: int = 0
    net: float = 0.0
    peak: float = 0.0  # of the net since
    fall: float = 0.0  # furthest below it


class OnboardRow(Struct, frozen=True, kw_only=True):
    """One strategy or symbol."""

    part: Annotated[str, Meta(pattern="^(strategy|instrument):.+$")]
    stage: Stage
    who: str
    reason: str
    begun_ns: int  # wall clock; what was before is not out of sample
    stage_ns: int
    why: str = ""  # the last judgement
    is_told: bool = False  # the stage's mode was given
    is_confirmed: bool = False  # an operator said the second word
    sessions: dict[str, SessionRecord] = {}
    live: LiveRecord = LiveRecord()

    @property
    def name(self) -> str:
        """Return the strategy's name, or the symbol."""
        return self.part.partition(":")[2]

    @property
    def is_symbol(self) -> bool:
        """Return whether it is an instrument."""
        return self.part.startswith("instrument:")


class OnboardingUnreadableError(Exception):
    """The file is there and cannot be read; the message is a sentence."""


def read_onboarding(path: Path) -> dict[str, OnboardRow]:
    """Return the rows by part; none where there is no file.

    Raises:
        OnboardingUnreadableError: it cannot be read.
    """
    try:
        rows = typed.decode(path.read_bytes(), list[OnboardRow])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise OnboardingUnreadableError(f"{path}: cannot be read ({error})") from error
    return {row.part: row for row in rows}


def onboarded_symbols(path: Path) -> tuple[str, ...] | None:
    """Return the symbols that are onboarded now; None: the file cannot be read."""
    try:
        rows = read_onboarding(path).values()
    except OnboardingUnreadableError:
        return None
    return tuple(row.name for row in rows if row.is_symbol and row.stage is not Stage.OFFBOARDED)


def write_onboarding(path: Path, rows: Mapping[str, OnboardRow]) -> None:
    """Write all rows, on the disk, all or nothing.

    Raises:
        OSError: the folder cannot be written.
    """
    staged = path.with_suffix(".part")
    with staged.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(list(rows.values())), indent=1))
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
