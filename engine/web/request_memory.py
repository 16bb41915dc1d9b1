"""Requests that were answered, by the name their sender gave them: done once, answered again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from engine.web.bodies import Effect

REQUESTS_MAX: Final = 1_024  # of more, the one answered longest ago is forgotten


class Answered(NamedTuple):
    """What was asked, and what came of it."""

    asked: str
    status: int
    effect: Effect


class RequestMemory:
    """The last answers; any thread."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, str], Answered] = OrderedDict()

    def recall(self, caller: str, request_id: str) -> Answered | None:
        """Return what this caller was answered under this name; None: nothing is known of it."""
        with self._lock:
            return self._answers.get((caller, request_id))

    def keep(self, caller: str, request_id: str, answered: Answered) -> None:
        """Remember an answer."""
        with self._lock:
            self._answers[(caller, request_id)] = answered
            if len(self._answers) > REQUESTS_MAX:
                self._answers.popitem(last=False)
