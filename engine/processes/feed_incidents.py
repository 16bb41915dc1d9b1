"""What became of each loss: when it began, how long it lasted, what was healed, what is a gap.

An incident is open until every channel that was live before it is live again and no hole in trade
ids is left. Then it is a line of the log and a row of the board: the reconciliation of what the
venue sent with what readers of the ring have. What was counted meanwhile is the whole feed's, so
incidents at the same time share it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from engine.domain.codes import Channel, Liveness
from engine.telemetry import CORE_COUNTERS
from native_ext._feed import Core

KEPT_MAX: Final = 32
OPEN_MAX: Final = 64
OPEN_NS_MAX: Final = 600_000_000_000  # ten minutes: what has not come back by then, may never
COUNTED: Final = {
    "trades_healed": "trades_healed_total",
    "trades_lost": "trades_lost_total",
    "gaps": "gaps_total",
    "duplicates": "duplicates_total",
    "books_fetched_again": "book_resyncs_total",
}
_WORD: Final = {row.name: word for word, row in enumerate(CORE_COUNTERS)}


class Incidents:
    """Opens, follows and closes incidents."""

    def __init__(self, core: Core, report: Callable[[dict[str, Any]], None]) -> None:
        """Follow on `core`; `report(row)` hears about each that is closed."""
        self._core = core
        self._report = report
        self._open: list[_Incident] = []
        self.closed: deque[dict[str, Any]] = deque(maxlen=KEPT_MAX)
        self.total = 0
        self.recovered_ms_last = 0
        self.recovered_ms_max = 0
        self.bars_healed = 0
        self.trades_found = 0  # after the last one, by request: no hole showed that they lack
        self.requests_failed = 0

    def open(
        self,
        source: str,
        what: str,
        reason: str,
        is_over: Callable[[], bool],
        began_ns: int,
    ) -> int:
        """Open an incident, unless the source has one of that name open.

        Args:
            source: the plan.
            what: happened.
            reason: as the other side, or the clock, has it.
            is_over: asked until it says so; a hole in trade ids keeps every incident open.
            began_ns: monotonic; when the last good word came.

        Returns:
            Its number; 0: none was opened.
        """
        if any((row.source, row.what) == (source, what) for row in self._open):
            return 0
        if len(self._open) >= OPEN_MAX:
            return 0
        self.total += 1
        counts = self._counts()
        incident = _Incident(self.total, source, what, reason, is_over, began_ns, counts)
        self._open.append(incident)
        return self.total

    def open_number(self, source: str) -> int:
        """Return the number of an incident of a source that is open; 0: none is."""
        return next((row.number for row in self._open if row.source == source), 0)

    def until_live(self, places: Sequence[tuple[int, Channel]]) -> Callable[[], bool]:
        """Return what is over when those of some channels that are live now are so again."""
        wanted = [place for place in places if self._is_live(place)]

        def is_over() -> bool:
            return all(self._is_live(place) or self._is_given_up(place) for place in wanted)

        return is_over

    @property
    def open_count(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def follow(self, now_ns: int) -> None:
        """Close what is over."""
        if not self._open:
            return
        has_hole = bool(self._core.holes())
        still = []
        for incident in self._open:
            is_back = not has_hole and incident.is_over()
            if is_back or now_ns - incident.began_ns > OPEN_NS_MAX:
                self._close(incident, now_ns, is_back=is_back)
            else:
                still.append(incident)
        self._open = still

    def rows(self) -> list[dict[str, Any]]:
        """Return the incidents that are open, and the last ones that are closed."""
        now_ns = time.monotonic_ns()
        return [self._row(incident, now_ns, "open") for incident in self._open] + list(self.closed)

    def _close(self, incident: _Incident, now_ns: int, *, is_back: bool) -> None:
        row = self._row(incident, now_ns, "recovered" if is_back else "not recovered")
        self.closed.appendleft(row)
        if is_back:
            self.recovered_ms_last = int(row["lasted_ms"])
            self.recovered_ms_max = max(self.recovered_ms_max, self.recovered_ms_last)
        self._report(row)

    def _row(self, incident: _Incident, now_ns: int, state: str) -> dict[str, Any]:
        counts = self._counts()
        return {
            "number": incident.number,
            "source": incident.source,
            "what": incident.what,
            "reason": incident.reason[:200],
            "state": state,
            "began_unix_ms": incident.began_unix_ms,
            "lasted_ms": round((now_ns - incident.began_ns) / 1e6, 1),
        } | {name: counts[name] - incident.counts[name] for name in counts}

    def _counts(self) -> dict[str, int]:
        numbers = self._core.counters()
        counts = {name: numbers[_WORD[counter]] for name, counter in COUNTED.items()}
        counts["trades_healed"] += self.trades_found
        return counts | {
            "bars_healed": self.bars_healed,
            "requests_failed": self.requests_failed,
        }

    def _is_live(self, place: tuple[int, Channel]) -> bool:
        # Held by somebody, a channel is invalid however well its stream does.
        return self._core.channel(*place)[0] in {Liveness.LIVE, Liveness.INVALID}

    def _is_given_up(self, place: tuple[int, Channel]) -> bool:
        return self._core.channel(*place)[0] == Liveness.UNSUPPORTED


class _Incident:
    def __init__(
        self,
        number: int,
        source: str,
        what: str,
        reason: str,
        is_over: Callable[[], bool],
        began_ns: int,
        counts: dict[str, int],
    ) -> None:
        self.number = number
        self.source = source
        self.what = what
        self.reason = reason
        self.is_over = is_over
        self.began_ns = began_ns
        self.began_unix_ms = (time.time_ns() - time.monotonic_ns() + began_ns) // 1_000_000
        self.counts = counts
