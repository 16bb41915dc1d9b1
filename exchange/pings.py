"""Pings sent to one client and the pongs that answer them. No socket, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

PINGS_KEPT = 8  # unanswered pings whose payload a pong may still repeat
PING_PERIOD_S = 180.0
PONG_TIMEOUT_S = 600.0


@dataclass(slots=True)
class Pings:
    """The pings of one connection that nobody has answered."""

    unanswered: dict[bytes, float] = field(default_factory=dict)  # payload: when sent, oldest first

    def send(self, now_s: float) -> bytes:
        """Return the payload of the next ping, which counts as unanswered from now on."""
        payload = str(int(now_s * 1000)).encode()
        self.unanswered.setdefault(payload, now_s)
        if len(self.unanswered) > PINGS_KEPT:
            # The oldest keeps its time: forgetting it would give a silent client longer.
            oldest, sent_s = next(iter(self.unanswered.items()))
            del self.unanswered[oldest]
            following = next(iter(self.unanswered))
            self.unanswered[following] = sent_s
        return payload

    def answered(self, payload: bytes) -> None:
        """Take a pong: it answers its ping and all before; any other pong is unsolicited."""
        if payload not in self.unanswered:
            return
        for sent in list(self.unanswered):
            del self.unanswered[sent]
            if sent == payload:
                return

    def overdue(self, now_s: float, timeout_s: float) -> bool:
        """Tell whether the oldest unanswered ping has waited too long."""
        for sent_s in self.unanswered.values():
            return now_s - sent_s > timeout_s
        return False
