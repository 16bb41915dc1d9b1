"""What takes its time to find is found by a thread, and taken without waiting for it."""

from __future__ import annotations

import threading

from engine.processes.shown import Picture, Shown
from tests.engine_process import wait_for


def test_there_is_a_picture_before_the_thread_runs() -> None:
    assert Shown(lambda: Picture({}, {}, 7)).picture.rss_bytes == 7


def test_who_looks_waits_for_nobody_and_gets_the_newest() -> None:
    looks: list[int] = []
    let = threading.Event()

    def look() -> Picture:
        looks.append(len(looks))
        if looks[-1] > 0:
            let.wait()
        return Picture({}, {}, looks[-1])

    shown = Shown(look)
    shown.start()
    wait_for("a look that hangs", lambda: len(looks) > 1)
    assert shown.picture.rss_bytes == 0
    let.set()
    wait_for("the newest", lambda: shown.picture.rss_bytes > 1)
