"""An instrument's chart, drawn by `research.chart` in a process of its own when somebody asks.

The engine does not import research: this only starts it, one at a time, and keeps what it drew for
a few seconds.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.domain.bar_sizes import BarSizeError, bar_size
from engine.extras import lacking
from engine.processes.beside import run_beside

KEEP_S: Final = 10.0
SYMBOL_LENGTH_MAX: Final = 24


class ChartPage:
    """Draws charts of one run; any thread may ask."""

    def __init__(self, config: Config) -> None:
        """Draw from this run's journal."""
        self._home = config.home
        self._journal = f"{config.state_dir}/journal/{config.session_id}"
        self._lock = threading.Lock()
        self._drawn: tuple[tuple[str, str], float, bytes] = (("", ""), 0.0, b"")

    def draw(self, symbol: str, bars: str = "") -> tuple[int, bytes]:
        """Return an HTTP status and a page, or why there is none.

        Args:
            symbol: of the instrument.
            bars: what ends a bar, as `bar_size` reads it; empty: the clock.
        """
        if not (symbol.isascii() and symbol.isalnum() and len(symbol) <= SYMBOL_LENGTH_MAX):
            return 404, b"no such instrument"
        try:
            length = ("--bars", bars) if bars and bar_size(bars) else ()
        except BarSizeError as error:
            return 400, str(error).encode()
        if missing := lacking("plotly", "research"):
            return 404, missing.encode()  # at once: the process would take seconds to say it
        if not self._lock.acquire(blocking=False):
            return 503, b"another chart is being drawn"
        try:
            drawn, at_s, page = self._drawn
            if drawn == (symbol, bars) and time.monotonic() - at_s < KEEP_S:
                return 200, page
            status, page = self._run(symbol, *length)
            if status == 200:
                self._drawn = ((symbol, bars), time.monotonic(), page)
            return status, page
        finally:
            self._lock.release()

    def _run(self, symbol: str, *length: str) -> tuple[int, bytes]:
        with tempfile.TemporaryDirectory(prefix="aegis-chart-") as folder:
            output = Path(folder) / "chart.html"
            words = ("--home", self._home, "--session", self._journal, "--output", str(output))
            status, said = run_beside("research.chart", symbol, *length, *words)
            return status, output.read_bytes() if status == 200 else said
