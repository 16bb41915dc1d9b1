"""Which frames of a stream go out, how often and in which order: the rules faults are made of.

A rule takes a good frame and gives what is sent instead. It skips the frames before its turn, acts
on a share of the others drawn from its seed, and ends by count or by hand; frames it still holds
then are given back, so that no rule loses what it only meant to delay. Rules of one stream act one
after the other. No socket, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from exchange.errors import ApiError
from exchange.frame_changes import Change

MAX_RULES = 1_000  # per stream

# A stream as the hub knows it; for user data: USER_STREAM, account key, nothing.
RuleKey = tuple[int | str, int | str, str]


class Action(Protocol):
    """What a rule does with the frames it is given."""

    @property
    def holding(self) -> bool:
        """Tell whether one use has begun and is not over: the next frame belongs to it."""

    def send(self, body: bytes) -> Sequence[bytes]:
        """Return the frames to send instead of one."""

    def rest(self) -> Sequence[bytes]:
        """Give back what is held."""


class _Immediate:
    """What is done with a frame as it comes."""

    __slots__ = ()
    holding = False

    def rest(self) -> Sequence[bytes]:
        """Hold nothing."""
        return ()


@dataclass(slots=True)
class _Holder:
    """What keeps up to `span` frames for later."""

    span: int = 1
    _held: list[bytes] = field(default_factory=list)

    @property
    def holding(self) -> bool:
        """Tell whether frames wait."""
        return bool(self._held)

    def rest(self) -> Sequence[bytes]:
        """Give back the frames that wait, in order."""
        held, self._held = self._held, []
        return held


class Drop(_Immediate):
    """Frames that never leave."""

    def send(self, _body: bytes) -> Sequence[bytes]:
        """Send nothing."""
        return ()


@dataclass(slots=True)
class Repeat(_Immediate):
    """Frames that leave several times."""

    copies: int = 1

    def send(self, body: bytes) -> Sequence[bytes]:
        """Send a frame and its copies."""
        return [body] * (1 + self.copies)


@dataclass(slots=True)
class Alter(_Immediate):
    """Frames that lie; `beside` sends the true one first."""

    change: Change
    beside: bool = False

    def send(self, body: bytes) -> Sequence[bytes]:
        """Send the changed frame, after the good one if both are meant."""
        return (body, self.change(body)) if self.beside else (self.change(body),)


@dataclass(slots=True)
class HoldBack(_Holder):
    """A frame that leaves after the `span` frames that follow it."""

    _passed: int = 0

    def send(self, body: bytes) -> Sequence[bytes]:
        """Hold the first frame, let `span` pass, then send it."""
        if not self._held:
            self._held.append(body)
            self._passed = 0
            return ()
        self._passed += 1
        return (body,) if self._passed < self.span else (body, *self.rest())


@dataclass(slots=True)
class Replay:
    """The last `span` frames sent once more, oldest first, as if they were news."""

    span: int = 1
    _seen: list[bytes] = field(default_factory=list)

    @property
    def holding(self) -> bool:
        """Tell whether frames are being remembered."""
        return bool(self._seen)

    def send(self, body: bytes) -> Sequence[bytes]:
        """Let frames pass and remember them; send them again once there are enough."""
        self._seen.append(body)
        if len(self._seen) < self.span:
            return (body,)
        seen, self._seen = self._seen, []
        return (body, *seen)

    def rest(self) -> Sequence[bytes]:
        """Forget: everything remembered was sent."""
        self._seen.clear()
        return ()


class Burst(_Holder):
    """A stall of `span` frames that then leave all at once."""

    __slots__ = ()

    def send(self, body: bytes) -> Sequence[bytes]:
        """Hold frames; send them when there are enough."""
        self._held.append(body)
        return () if len(self._held) < self.span else self.rest()


class Lag(_Holder):
    """A stream that runs `span` frames behind; each frame is one use."""

    __slots__ = ()
    holding = False

    def send(self, body: bytes) -> Sequence[bytes]:
        """Hold the newest frame and send the one of `span` frames ago."""
        self._held.append(body)
        return (self._held.pop(0),) if len(self._held) > self.span else ()


def _nobody() -> None:
    return None


@dataclass(slots=True, eq=False)
class StreamRule:
    """One action on the frames of a stream: when it begins, how often, on which share."""

    action: Action
    count: int  # uses left; a hold, a replay and a burst are one use
    skip: int = 0  # good frames before the first use
    share: float = 1.0
    random: Random = field(default_factory=lambda: Random(1))
    on_end: Callable[[], None] = _nobody
    uses: int = 0

    def send(self, body: bytes) -> Sequence[bytes]:
        """Return the frames to send instead of one."""
        action = self.action
        if not action.holding:
            if self.skip > 0:
                self.skip -= 1
                return (body,)
            if self.share < 1.0 and self.random.random() >= self.share:
                return (body,)
        frames = action.send(body)
        if not action.holding:
            self.uses += 1
            self.count -= 1
            if self.count <= 0:
                return (*frames, *action.rest())
        return frames


@dataclass(slots=True)
class StreamFaults:
    """Armed rules by stream."""

    rules: dict[RuleKey, list[StreamRule]] = field(default_factory=dict)

    def add(self, key: RuleKey, rule: StreamRule) -> None:
        """Arm a rule for a stream.

        Raises:
            ApiError: when the stream has as many rules as it may have.
        """
        if len(self.rules.get(key, ())) >= MAX_RULES:
            raise ApiError(-1000, "too many faults are armed on this stream")
        self.rules.setdefault(key, []).append(rule)

    def add_all(self, armed: Sequence[tuple[RuleKey, StreamRule]]) -> None:
        """Arm rules for several streams, all of them or none.

        Raises:
            ApiError: when one of the streams has as many rules as it may have.
        """
        for place, (key, rule) in enumerate(armed):
            try:
                self.add(key, rule)
            except ApiError:
                for done_key, done in armed[:place]:
                    self.remove(done_key, done)
                raise

    def remove(self, key: RuleKey, rule: StreamRule) -> Sequence[bytes]:
        """Disarm a rule before its time and return what it held; an absent one is no fault."""
        rules = self.rules.get(key, [])
        if rule not in rules:
            return ()
        rules.remove(rule)
        if not rules:
            del self.rules[key]
        return rule.action.rest()

    def tamper(self, key: RuleKey, body: bytes) -> Sequence[bytes]:
        """Return the frames to send instead of one frame."""
        rules = self.rules.get(key)
        if not rules:
            return (body,)
        rule = rules[0]
        frames = rule.send(body)
        if rule.count <= 0:
            rules.pop(0)
            if not rules:
                del self.rules[key]
            rule.on_end()
        return frames
