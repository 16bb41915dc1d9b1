"""What takes long and cannot say how far it is tells that it goes on, and for how long."""

import itertools
import threading
from types import SimpleNamespace

import pytest

from engine.processes import progress
from engine.processes.progress import ticking

TICKS = 3


def test_what_takes_long_tells_how_long_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TICK_S", 0.001)
    clock = itertools.count()
    clock_of = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr(progress, "time", clock_of)
    told: list[str] = []
    ticked = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        if len(told) > TICKS:
            ticked.set()

    with ticking(tell, "loading"):
        ticked.wait()
    assert told[: TICKS + 1] == ["loading", *(f"loading: {second} s" for second in (1, 2, 3))]
    with pytest.raises(ValueError, match="broken"), ticking(tell, "again"):
        raise ValueError("broken")
    assert "again" in told
    assert "aegis-ticking" not in {thread.name for thread in threading.enumerate()}
