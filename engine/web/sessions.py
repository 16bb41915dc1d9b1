"""Who is logged in on the page: bounded, in memory, gone with the engine.

The cookie holds a random name that only its SHA-256 is kept of. A page that changes something must
send the session's second word in a header, which no foreign page can read.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from engine.web.operations import Scope

CSRF_HEADER: Final = "x-aegis-csrf"
SESSIONS_MAX: Final = 64
LIFE_S: Final = 12 * 3_600.0
IDLE_S: Final = 3_600.0


class Caller(NamedTuple):
    """Who asks, and what they may."""

    name: str
    role: str
    scopes: frozenset[Scope]
    token_id: str = ""  # empty: not by a token of an account


class Session(NamedTuple):
    """One page that is logged in."""

    caller: Caller
    csrf: str
    ends_s: float


class Sessions:
    """Every page that is logged in; one thread only."""

    def __init__(self, engine: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            engine: instance name, in the cookie's: a browser has one jar for all ports of a host.
            clock: seconds.
        """
        self.cookie_name = f"aegis_session_{engine}"
        self._clock = clock
        self._sessions: OrderedDict[str, tuple[Session, float]] = OrderedDict()

    def open(self, caller: Caller) -> tuple[str, Session]:
        """Return a new session's cookie and itself; of too many the longest unused goes."""
        cookie = secrets.token_urlsafe(32)
        now_s = self._clock()
        session = Session(caller, secrets.token_urlsafe(24), now_s + LIFE_S)
        self._sessions[_key(cookie)] = (session, now_s)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """Return a session that is still open, and keep it open; None: there is none."""
        now_s = self._clock()
        found = self._sessions.pop(_key(cookie), None)
        if found is None:
            return None
        session, used_s = found
        if now_s >= session.ends_s or now_s - used_s >= IDLE_S:
            return None
        self._sessions[_key(cookie)] = (session, now_s)
        return session

    def is_open(self, cookie: str) -> bool:
        """Return whether a session is open, and leave it as unused as it was."""
        found = self._sessions.get(_key(cookie))
        now_s = self._clock()
        return found is not None and now_s < found[0].ends_s and now_s - found[1] < IDLE_S

    def close(self, cookie: str) -> None:
        """Forget a session."""
        self._sessions.pop(_key(cookie), None)


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
