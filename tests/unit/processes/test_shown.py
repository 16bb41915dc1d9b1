"""What takes its time to find is found by a thread, and taken without waiting for it."""

from __future__ import annotations

import threading

import pytest

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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_that_fails_shows_nothing_old() -> None:
    looks: list[int] = []

    def look() -> Picture:
        looks.append(len(looks))
        return Picture({}, {}, 7 // (2 - len(looks)))

    shown = Shown(look)
    assert shown.picture.rss_bytes == 7
    shown.start()
    with pytest.raises(RuntimeError, match="nobody looks"):
        wait_for("a look that fails", lambda: shown.picture.rss_bytes == 0)
