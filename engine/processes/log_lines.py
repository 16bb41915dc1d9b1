"""What a log may be told: lines of bounded size, and the same line not again and again.

A line whose every value but its time is that of one in the last FOLD_NS is held and counted; when
that time is over, the next line of any kind is preceded by one that says how often it came.
"""

from __future__ import annotations

import copy
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any, Final

FOLD_NS: Final = 10_000_000_000
KEYS_MAX: Final = 128  # different lines remembered; the oldest is forgotten first
TEXT_LENGTH_MAX: Final = 2_000  # characters of one value
VALUES_MAX: Final = 64  # of one line
CUT: Final = "... cut"
TIME: Final = "timestamp"

Line = MutableMapping[str, Any]
Clock = Callable[[], int]


def cap(_logger: object, _name: str, line: Line) -> Line:
    """Return a line of structlog whose values are bounded in size and number."""
    kept = {key: _capped(entry) for key, entry in list(line.items())[:VALUES_MAX]}
    if len(line) > VALUES_MAX:
        kept["values_cut"] = len(line) - VALUES_MAX
    return kept


def _capped(entry: object) -> object:
    if isinstance(entry, str):
        return entry if len(entry) <= TEXT_LENGTH_MAX else entry[:TEXT_LENGTH_MAX] + CUT
    if isinstance(entry, int | float | bool | None):
        return entry
    text = repr(entry)
    return entry if len(text) <= TEXT_LENGTH_MAX else text[:TEXT_LENGTH_MAX] + CUT


class _Held:
    def __init__(self, record: logging.LogRecord, now_ns: int) -> None:
        self.record = record
        self.since_ns = now_ns
        self.count = 0


class Fold(logging.Filter):
    """Lets a line through once in FOLD_NS; one for each handler, called under its lock."""

    def __init__(self, handler: logging.Handler, clock: Clock = time.monotonic_ns) -> None:
        """Fold the lines of `handler`; `clock` is monotonic, ns."""
        super().__init__()
        self._handler = handler
        self._clock = clock
        self._seen: OrderedDict[str, _Held] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; what was folded and is over is written before it."""
        now_ns = self._clock()
        self._tell(now_ns)
        if record.levelno < self._handler.level:
            return False
        key = _key(record)
        held = self._seen.get(key)
        if held is not None:
            held.count += 1
            return False
        self._seen[key] = _Held(record, now_ns)
        if len(self._seen) > KEYS_MAX:
            self._say(self._seen.popitem(last=False)[1])
        return True

    def flush(self) -> None:
        """Write what is held, however lately it came; any thread."""
        self._handler.acquire()
        try:
            while self._seen:
                self._say(self._seen.popitem(last=False)[1])
        finally:
            self._handler.release()

    def _tell(self, now_ns: int) -> None:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if now_ns - oldest.since_ns < FOLD_NS:
                return
            self._say(self._seen.popitem(last=False)[1])

    def _say(self, held: _Held) -> None:
        if not held.count:
            return
        record = copy.copy(held.record)
        if isinstance(record.msg, dict):
            record.msg = {**record.msg, "repeated": held.count}
        else:
            record.msg, record.args = f"{record.getMessage()} (repeated {held.count} times)", ()
        self._handler.emit(record)


def _key(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):
        said = {key: entry for key, entry in record.msg.items() if key != TIME}
        return f"{record.name} {record.levelno} {said!r}"
    return f"{record.name} {record.levelno} {record.getMessage()}"
