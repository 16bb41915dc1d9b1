"""What a status shows that takes its time to find, found a few times a second by a thread.

Whoever looks takes what was found last: a status waits for no database and for no thread, so that
`/status` is answered by the thread that was asked. Standard library only: main reads here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

PERIOD_S: Final = 0.2  # the projection itself is a tenth of a second behind


class Picture(NamedTuple):
    """What was found at one time."""

    rows: dict[str, list[dict[str, Any]]]  # of the projection: open orders, positions, decisions
    latency_us: dict[str, dict[str, float]]
    rss_bytes: int  # of all processes


class Shown:
    """The newest picture; any thread may take it."""

    def __init__(self, look: Callable[[], Picture]) -> None:
        """Look at nothing yet; after `start` a thread looks on until the process ends."""
        self._look = look
        self._thread = threading.Thread(target=self._look_on, name="aegis-shown", daemon=True)
        self._picture: Picture | None = None

    @property
    def picture(self) -> Picture:
        """Return what was found last; who comes before the thread looks himself.

        Raises:
            RuntimeError: a look failed; what was found before it is not shown as new.
        """
        if self._thread.ident is not None and not self._thread.is_alive():
            raise RuntimeError("nobody looks any more at what a status shows")
        if self._picture is None:
            self._picture = self._look()
        return self._picture

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _look_on(self) -> None:
        while True:
            self._picture = self._look()
            time.sleep(PERIOD_S)
