"""Which modes an operator gave parts of the engine, in a file beside the ledger.

        all   module:KIND   strategy:NAME   instrument:SYMBOL   regime:LABEL

Main alone writes it; a brain begins with what it says. Names last, numbers are one session's: a row
whose name this session does not have waits for one that has. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.domain.codes import Mode, ModeScope, Regime
from engine.domain.strategy_table import StrategyKind

MODES_FILE: Final = "modes.json"  # in the state directory
ALL: Final = "all"
ROWS_MAX: Final = 4096


class ModesUnreadableError(Exception):
    """The file is there and says nothing that can be read; the message is a sentence."""


class ModeRow(NamedTuple):
    """What a part was given, by whom and why."""

    part: str
    mode: Mode
    who: str
    reason: str
    realtime_ns: int

    def document(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return self._asdict() | {"mode": self.mode.name.lower()}


def read_modes(path: Path) -> dict[str, ModeRow]:
    """Return the row of each part that is not LIVE.

    Raises:
        ModesUnreadableError: the file cannot be read, or is no table of modes.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            ModeRow(
                str(row["part"]),
                Mode[str(row["mode"]).upper()],
                str(row["who"]),
                str(row["reason"]),
                int(row["realtime_ns"]),
            )
            for row in stored["modes"]
        ]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModesUnreadableError(f"{path}: cannot be read ({error})") from error
    return {row.part: row for row in rows}


def write_modes(path: Path, rows: Mapping[str, ModeRow]) -> None:
    """Write every row that is not LIVE, all or nothing.

    Raises:
        OSError: the folder cannot be written.
    """
    kept = [row.document() for row in rows.values() if row.mode != Mode.LIVE]
    staged = path.with_suffix(".part")
    staged.write_text(json.dumps({"modes": kept}), encoding="utf-8")
    staged.replace(path)


def place_of(
    part: str, strategies: Mapping[str, int], instruments: Mapping[str, int]
) -> tuple[ModeScope, int] | None:
    """Return what a part is in this session's numbers; None: it has none of that name."""
    if part == ALL:
        return ModeScope.ALL, 0
    scope, _, name = part.partition(":")
    named = _named(strategies, instruments)
    if scope not in named or name not in named[scope][1]:
        return None
    return named[scope][0], named[scope][1][name]


def parts_of(strategies: Mapping[str, int], instruments: Mapping[str, int]) -> list[str]:
    """Return every part that this session has."""
    named = _named(strategies, instruments)
    return [ALL, *(f"{scope}:{name}" for scope, (_, names) in named.items() for name in names)]


def _named(
    strategies: Mapping[str, int], instruments: Mapping[str, int]
) -> dict[str, tuple[ModeScope, Mapping[str, int]]]:
    return {
        "module": (ModeScope.MODULE, {kind.name.lower(): int(kind) for kind in StrategyKind}),
        "strategy": (ModeScope.STRATEGY, strategies),
        "instrument": (ModeScope.INSTRUMENT, instruments),
        "regime": (ModeScope.REGIME, {label.name.lower(): int(label) for label in Regime}),
    }
