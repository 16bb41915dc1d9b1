"""What a part would have made since it was onboarded: its journals, played; `onboarding` asks.

A strategy is played over every instrument, a symbol through every strategy of the run that can be
played; the falls of several strategies are added. A process of its own, because numpy and Numba
have no place in main. Nothing is written.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from engine import exit_codes
from engine.config import Config
from engine.domain import typed
from engine.domain.strategy_table import StrategyError, StrategyKind, StrategyRow, select_rows
from engine.processes import kernel_cache
from engine.processes.onboard_played import RecordAsked
from engine.processes.onboard_rules import SessionRecord
from engine.processes.strategy_rows import own_rows
from engine.processes.strategy_shadow import shadow_run
from engine.store.errors import StoreError
from engine.store.session import SessionDocument, read_document, sessions
from native_ext import _native

UNPLAYED: Final = frozenset({StrategyKind.MAKING, StrategyKind.OUTSIDE})


def records(asked: RecordAsked) -> dict[str, SessionRecord]:
    """Return the record of each session that is not known yet; this run's always is among them.

    Raises:
        LookupError: nothing can be played yet.
        StrategyError: the strategy is gone from the table.
        StoreError: a journal cannot be read.
    """
    state = Path(asked.state_dir)
    config = typed.convert(read_document(state / "journal" / asked.session_id).config, Config)
    found: dict[str, SessionRecord] = {}
    for directory, document in _since(state, asked.since_ns):
        if document.session_id in asked.known or document.market_journal == "off":
            continue
        rows = _rows(asked, config, document)
        symbol = asked.name if asked.is_symbol else ""
        fee_bps = config.paper.taker_fee_bps
        try:
            run = shadow_run(directory, rows, fee_bps, symbol=symbol, since_ns=asked.since_ns)
        except LookupError:
            if document.session_id == asked.session_id:
                raise
            continue  # it ended before its market came, or had another market
        found[document.session_id] = _summed(run.strategies)
    return found


def _since(state: Path, since_ns: int) -> list[tuple[Path, SessionDocument]]:
    """Return the sessions that were not over at a time: each ends before the next one starts."""
    found = sessions(state)
    ends = [later.started_realtime_ns for _, later in found[1:]]
    return [
        pair for pair, end_ns in zip(found, [*ends, since_ns + 1], strict=True) if end_ns > since_ns
    ]


def _rows(asked: RecordAsked, config: Config, document: SessionDocument) -> Sequence[StrategyRow]:
    if not asked.is_symbol:
        return select_rows([asked.name], own_rows(config))
    return [row for row in document.strategies if row.kind not in UNPLAYED]


def _summed(rows: Sequence[dict[str, Any]]) -> SessionRecord:
    def total(name: str) -> float:
        return float(sum(row[name] for row in rows))

    return SessionRecord(
        trades=int(total("exits")),
        fills=int(total("entries") + total("exits")),
        traded=total("traded"),
        net=total("net"),
        peak=total("peak"),
        fall=total("fall"),
    )


def main() -> int:
    """Answer the question that the command line holds; return the exit code."""
    _native.set_parent_death_signal(int(signal.SIGKILL))  # nobody would read the answer
    asked = typed.decode(sys.argv[1], RecordAsked)
    kernel_cache.activate(asked.home)
    try:
        found = records(asked)
    except (LookupError, StrategyError, StoreError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    sys.stdout.buffer.write(orjson.dumps(msgspec.to_builtins(found)))
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main())
