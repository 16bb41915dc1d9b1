"""The feed's own log: opened after the first record, told until then what to write later.

structlog costs tens of ms to import, seconds on a busy disk, so a thread does it when the feed is
ready. Each (event, instrument) is logged once a minute (`engine.processes.logs.RateLimitedSite`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.processes.logs import Logger, RateLimitedSite

UNLOGGED_MAX: Final = 64  # warnings kept until the log is open


class FeedLog:
    """Warnings and reconciliations of one feed."""

    def __init__(self, home: str) -> None:
        """Nothing is opened before `keep`."""
        self._home = home
        self._site: RateLimitedSite | None = None
        self._logger: Logger | None = None
        self._unlogged: list[tuple[str, str, dict[str, object]]] = []

    async def keep(self, left_out: Mapping[str, str]) -> None:
        """Open the log, say which instruments were left out and why, and stay until cancelled."""
        loop = asyncio.get_running_loop()
        self._site = await loop.run_in_executor(None, self._open, dict(left_out))
        for event, reason, values in self._unlogged:
            self.warn(event, reason, **values)
        self._unlogged.clear()
        await asyncio.Event().wait()

    def warn(self, event: str, reason: str, **values: object) -> None:
        """Log a warning, or keep it until there is a log."""
        if self._site is not None:
            self._site.warn(event, text=reason, **values)
        elif len(self._unlogged) < UNLOGGED_MAX:
            self._unlogged.append((event, reason, values))

    def reconciled(self, row: dict[str, Any]) -> None:
        """Write what became of a loss: one line each, whatever its number."""
        if self._logger is not None:
            self._logger.info("RECONCILIATION", **row)

    def _open(self, left_out: Mapping[str, str]) -> RateLimitedSite:
        from engine.processes import logs

        logger = logs.configure("feed", Path(self._home))
        for symbol, why in left_out.items():
            logger.warning("INSTRUMENT_LEFT_OUT", instrument=symbol, reason=why)
        self._logger = logger
        return logs.RateLimitedSite(logger, "FEED_FAULT")
