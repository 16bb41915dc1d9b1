"""How long to spin, from what the scheduler's account says and how often there is work."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuffer.load import (
    CALM_NS,
    DISTANCE_MAX_NS,
    SCHEDULER_ACCOUNT,
    WINDOW_NS,
    RunQueueDelay,
    SpinBudget,
)
from tests.ring_builders import wait_until

BASE_NS = 30_000


class Thread:
    """A thread as its budget sees it: windows with a share of waiting and a distance of work."""

    def __init__(self) -> None:
        self.now_ns, self.waited_ns, self.work_count = 5_000, 0, 0
        self.budget = SpinBudget(BASE_NS, lambda: self.waited_ns, self.now_ns)

    def window(self, waiting: float, distance_ns: int = 1_000_000) -> int:
        self.now_ns += WINDOW_NS
        self.waited_ns += round(waiting * WINDOW_NS)
        self.work_count += WINDOW_NS // distance_ns
        return self.budget.decide(self.now_ns, self.work_count)


def test_a_thread_that_others_keep_waiting_sleeps_at_once() -> None:
    thread = Thread()
    assert thread.budget.spin_ns == BASE_NS
    assert thread.window(waiting=0.2) == 0


def test_it_spins_again_when_nobody_kept_it_waiting_for_a_second() -> None:
    thread = Thread()
    thread.window(waiting=0.2)
    windows = CALM_NS // WINDOW_NS
    assert {thread.window(waiting=0.0) for _ in range(windows - 1)} == {0}
    assert thread.window(waiting=0.0) == BASE_NS


def test_while_it_sleeps_a_little_waiting_keeps_it_asleep_but_does_not_begin_it() -> None:
    thread = Thread()
    assert thread.window(waiting=0.03) == BASE_NS
    thread.window(waiting=0.2)
    for _ in range(3 * CALM_NS // WINDOW_NS):
        assert thread.window(waiting=0.03) == 0


def test_work_that_comes_close_is_spun_for_and_work_far_apart_is_not() -> None:
    thread = Thread()
    assert thread.window(waiting=0.0, distance_ns=50_000) == 100_000
    assert thread.window(waiting=0.0, distance_ns=1_000) == BASE_NS, "never less than the base"
    assert thread.window(waiting=0.0, distance_ns=1_000_000) == BASE_NS
    assert thread.window(waiting=0.0, distance_ns=WINDOW_NS) == BASE_NS


def test_a_decision_holds_for_a_window() -> None:
    thread = Thread()
    thread.window(waiting=0.2)
    thread.waited_ns += WINDOW_NS
    assert thread.budget.decide(thread.now_ns + WINDOW_NS - 1, 10**9) == 0
    assert thread.budget.decide(thread.now_ns + WINDOW_NS // 2, 10**9) == 0


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.integers(1_000, 10**9)),
        min_size=1,
        max_size=40,
    )
)
def test_the_spin_is_none_or_between_base_and_twice_the_longest_distance(
    windows: list[tuple[float, int]],
) -> None:
    thread = Thread()
    for waiting, distance_ns in windows:
        spin_ns = thread.window(waiting, distance_ns)
        assert spin_ns == 0 or BASE_NS <= spin_ns <= 2 * DISTANCE_MAX_NS
        assert spin_ns == 0 or waiting <= 0.0501


def test_no_work_at_all_divides_by_nothing() -> None:
    thread = Thread()
    assert thread.window(0.0, 10 * WINDOW_NS) == BASE_NS


# ---- the scheduler's account ----

needs_account = pytest.mark.skipif(
    not Path(SCHEDULER_ACCOUNT).exists(), reason="this kernel keeps no account of waiting"
)


@needs_account
def test_a_thread_on_a_core_that_another_wants_is_seen_to_wait() -> None:
    core = min(os.sched_getaffinity(0))
    burn = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", burn])
    seen: list[int] = []

    def burn_here() -> None:
        os.sched_setaffinity(0, {core})
        delay_ns = RunQueueDelay()
        before_ns = delay_ns()
        wait_until(lambda: delay_ns() - before_ns > 20_000_000, "20 ms in which it had to wait")
        seen.append(delay_ns() - before_ns)
        delay_ns.close()
        assert delay_ns() == 0

    try:
        thread = threading.Thread(target=burn_here)
        thread.start()
        thread.join()
    finally:
        other.kill()
        other.wait()
    assert seen
    assert seen[0] > 20_000_000


@needs_account
def test_the_account_is_that_of_the_thread_that_opened_it() -> None:
    accounts: list[RunQueueDelay] = []
    thread = threading.Thread(target=lambda: accounts.append(RunQueueDelay()))
    thread.start()
    thread.join()
    task = Path(f"/proc/self/task/{thread.native_id}")
    wait_until(lambda: not task.exists(), "the kernel lets go of a thread that Python has joined")
    with pytest.raises(OSError, match="No such process"):
        accounts[0]()
    accounts[0].close()


def test_without_an_account_nobody_seems_to_wait(tmp_path: Path) -> None:
    delay_ns = RunQueueDelay(str(tmp_path / "absent"))
    assert delay_ns() == 0
    delay_ns.close()
