"""Log lines of a role: JSON on standard error and in rotating files, WARNING and above.

Nothing on the message path logs. Elsewhere a line is one change of state: an event name, the role,
and whichever of instrument, sequence and request id it concerns; never a secret, never a sentence
built from values. A site that can repeat goes through `RateLimitedSite`: one line per reason and
60 s, carrying how many were suppressed.

        log_decision / warn / fault -> structlog -> root logger -> stderr
                                                               `-> AEGIS_HOME/logs/<role>.log

What was counted instead of written is told when the process ends in order.
"""

from __future__ import annotations

import atexit
import logging
import logging.handlers
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from engine.processes.log_lines import Fold, cap

LOGGER_NAME: Final = "aegis"
FILE_BYTES_MAX: Final = 10_000_000
FILE_COUNT: Final = 5  # rotated files kept beside the one being written
SUPPRESS_NS: Final = 60_000_000_000
REASONS_MAX: Final = 256  # distinct reasons a site remembers; more share one

Clock = Callable[[], int]
Logger = structlog.stdlib.BoundLogger


def configure(role: str, home: Path, *, stderr_level: int = logging.INFO) -> Logger:
    """Send this process's log to standard error and `<home>/logs/<role>.log`; return its logger.

    The root logger stands at WARNING, for every library; our own logger at INFO, where decisions
    are. `stderr_level` keeps those off a terminal. When the file cannot be written the process
    goes on with standard error and says so there.
    """
    handlers, unwritable = _handlers(role, home, stderr_level)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        cap,
    ]
    _replace_root_handlers(handlers, shared)
    logging.getLogger(LOGGER_NAME).setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logger: Logger = structlog.stdlib.get_logger(LOGGER_NAME).bind(role=role)
    if unwritable:
        logger.warning("LOG_FILE_UNWRITABLE", error=unwritable)
    return logger


def _handlers(role: str, home: Path, stderr_level: int) -> tuple[list[logging.Handler], str]:
    """Return standard error and the rotating file; and why there is no file, if there is none."""
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setLevel(stderr_level)
    try:
        folder = home / "logs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            folder / f"{role}.log", maxBytes=FILE_BYTES_MAX, backupCount=FILE_COUNT
        )
    except OSError as error:
        return [stderr], str(error)
    return [stderr, file], ""


def _formatter(handler: logging.Handler, shared: list[Any]) -> logging.Formatter:
    """Return JSON lines; in colours for a person at a terminal."""
    stream = getattr(handler, "stream", None)
    is_person = stream is sys.stderr and stream.isatty()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer() if is_person else structlog.processors.JSONRenderer(),
        ],
    )


def _replace_root_handlers(handlers: list[logging.Handler], shared: list[Any]) -> None:
    root = logging.getLogger()
    for stale in root.handlers[:]:
        root.removeHandler(stale)
        stale.close()
    for handler in handlers:
        handler.setFormatter(_formatter(handler, shared))
        handler.addFilter(Fold(handler))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)


class RateLimitedSite:
    """One place in the code that may log often: one line per reason and 60 s."""

    def __init__(self, logger: Logger, event: str, *, clock: Clock = time.monotonic_ns) -> None:
        """Log `event` through `logger`; `clock` is monotonic, ns."""
        self._logger = logger
        self._event = event
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, tuple[int, int]] = {}  # reason -> (time of last line, suppressed)
        _sites.add(self)

    def warn(self, reason: str, occurrences: int = 1, /, **values: object) -> bool:
        """Log a warning unless this reason had its line already; return whether it was logged.

        Args:
            reason: what is limited by itself.
            occurrences: how many this call stands for; all but one count as suppressed.
            values: what the line says beside them.
        """
        now_ns = self._clock()
        with self._lock:
            if reason not in self._last and len(self._last) >= REASONS_MAX:
                reason = "other"
            last_ns, suppressed = self._last.get(reason, (now_ns - SUPPRESS_NS, 0))
            if now_ns - last_ns < SUPPRESS_NS:
                self._last[reason] = (last_ns, suppressed + occurrences)
                return False
            self._last[reason] = (now_ns, 0)
        suppressed += occurrences - 1
        self._logger.warning(self._event, reason=reason, suppressed_count=suppressed, **values)
        return True

    def flush(self) -> None:
        """Say of each reason how often it came since its last line."""
        with self._lock:
            held = [(reason, count) for reason, (_, count) in self._last.items() if count]
            self._last.clear()
        for reason, count in held:
            self._logger.warning(self._event, reason=reason, suppressed_count=count)


_sites: Final[weakref.WeakSet[RateLimitedSite]] = weakref.WeakSet()


# WHY at import: `logging` closes its handlers at exit too, and what was registered last goes first.
@atexit.register
def tell_held() -> None:
    """Write how often came what was not written again; at the end of a process by itself."""
    for site in list(_sites):
        site.flush()
    for handler in logging.getLogger().handlers:
        for fold in handler.filters:
            if isinstance(fold, Fold):
                fold.flush()


def log_fault(
    logger: Logger,
    event: str,
    error: BaseException,
    *,
    instrument: str | None = None,
    sequence: int | None = None,
    request_id: int | None = None,
    **values: object,
) -> None:
    """Log a caught error with what it concerned; the role is bound to the logger."""
    logger.error(
        event,
        error=f"{type(error).__name__}: {error}",
        instrument=instrument,
        sequence=sequence,
        request_id=request_id,
        **values,
    )
