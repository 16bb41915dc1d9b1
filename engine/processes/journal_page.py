"""What the API asks of journals and cannot read itself: feature vectors, and what orders cost.

`engine.processes.journal_query` answers, beside the engine. One question at a time of each kind: a
second one is told to come again, so that readers never take the API's threads away from others.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.config import Config
from engine.processes.beside import run_beside

QUERY: Final = "engine.processes.journal_query"


class FeaturesAsked(msgspec.Struct, frozen=True, kw_only=True, tag="features"):
    """Vectors of one instrument and bar length."""

    directory: str  # of the session's journal
    symbol: str
    timeframe_s: int
    names: tuple[str, ...] = ()  # columns of the catalogue; empty: all
    after: int = -1  # vectors after this sequence
    limit: int = 0  # 0: the newest one alone


class CostsAsked(msgspec.Struct, frozen=True, kw_only=True, tag="costs"):
    """What one order's execution cost."""

    directory: str
    client_order_id: str


class JournalPage:
    """Questions to the journals of one account; any thread may ask."""

    def __init__(self, config: Config) -> None:
        """Ask the journals beside this run's."""
        self._journals = Path(config.state_dir) / "journal"
        self._session_id = config.session_id
        self._locks = {FeaturesAsked: threading.Lock(), CostsAsked: threading.Lock()}

    def features(
        self, symbol: str, timeframe_s: int, names: str, session: str, after: int, limit: int
    ) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status, and vectors or `error`.

        Args:
            symbol: of the instrument.
            timeframe_s: length of the bars.
            names: columns of the catalogue, parted by commas; empty: all.
            session: id; empty: this run's.
            after: vectors after this sequence.
            limit: rows at most; 0: the newest vector alone.
        """
        return self._answer(
            FeaturesAsked(
                directory=self._directory(session),
                symbol=symbol,
                timeframe_s=timeframe_s,
                names=tuple(name.strip() for name in names.split(",") if name.strip()),
                after=after,
                limit=limit,
            )
        )

    def costs(self, client_order_id: str) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status, and what an order of this run cost or `error`."""
        directory = self._directory("")
        return self._answer(CostsAsked(directory=directory, client_order_id=client_order_id))

    def _directory(self, session: str) -> str:
        return str(self._journals / (session or self._session_id))

    def _answer(self, asked: FeaturesAsked | CostsAsked) -> tuple[int, dict[str, Any]]:
        lock = self._locks[type(asked)]
        if not lock.acquire(blocking=False):
            return 503, {"error": "another question to the journals is being answered"}
        try:
            status, said = run_beside(QUERY, msgspec.json.encode(asked).decode())
        finally:
            lock.release()
        if status != 200:
            return status, {"error": said.decode("utf-8", "replace").removeprefix("aegis: ")}
        found: dict[str, Any] = json.loads(said)
        return 200, found
