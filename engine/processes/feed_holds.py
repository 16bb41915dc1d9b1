"""Who does not let an instrument be entered: an instrument is held while anybody has a reason.

Held means that its quotes are INVALID on the ring whatever arrives (ADR 0019): entries are blocked,
exits pass, and the records go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from engine.domain.codes import Channel

HELD_CHANNEL = Channel.QUOTE  # every entry needs it


class HoldsChannels(Protocol):
    """What a core does for it."""

    def hold(self, index: int, channel: int, now_ns: int, is_held: int, /) -> None:
        """Hold a channel invalid, or let it go."""
        ...

    def flush(self, now_ns: int, /) -> int:
        """Publish what is claimed or waits."""
        ...


class EntryHolds:
    """Counts the reasons of each instrument; the core hears about the first and the last."""

    def __init__(self, core: HoldsChannels) -> None:
        """Hold nothing."""
        self._core = core
        self._reasons: dict[int, set[str]] = {}

    def set(self, why: str, indices: Iterable[int], now_ns: int, *, is_held: bool) -> None:
        """Add or drop one reason for some instruments."""
        for index in indices:
            reasons = self._reasons.setdefault(index, set())
            was_held = bool(reasons)
            if is_held:
                reasons.add(why)
            else:
                reasons.discard(why)
            if bool(reasons) != was_held:
                self._core.hold(index, HELD_CHANNEL, now_ns, int(is_held))
        self._core.flush(now_ns)

    def held(self, why: str) -> list[int]:
        """Return the instruments that a reason holds."""
        return [index for index, reasons in self._reasons.items() if why in reasons]

    def of(self, why: str) -> OneReason:
        """Return a view for whoever has only one reason."""
        return OneReason(self, self._core, why)


class OneReason:
    """Holds channels as a core does, for one reason among others."""

    def __init__(self, holds: EntryHolds, core: HoldsChannels, why: str) -> None:
        """Hold for `why`."""
        self._holds = holds
        self._core = core
        self._why = why

    def hold(self, index: int, channel: int, now_ns: int, is_held: int, /) -> None:
        """Hold an instrument's quotes, or let them go as far as this reason goes."""
        assert channel == HELD_CHANNEL, channel
        self._holds.set(self._why, (index,), now_ns, is_held=bool(is_held))

    def flush(self, now_ns: int, /) -> int:
        """Publish what is claimed or waits."""
        return self._core.flush(now_ns)
