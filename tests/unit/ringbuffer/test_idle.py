"""The choice of an idle strategy by core count."""

import os

import pytest

from ringbuffer import idle
from ringbuffer.errors import SegmentError, SpinRefusedError
from ringbuffer.idle import IdleKind, choose
from ringbuffer.ring import Consumer, Observer, Producer
from tests.ring_builders import payload, scratch_ring


class RecordedWaiter:
    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def wait(self, spin_ns: int, timeout_ns: int, /) -> bool:
        self.calls.append((spin_ns, timeout_ns))
        return True


@pytest.mark.parametrize(("spinner_count", "core_count"), [(1, 1), (2, 2), (3, 2), (4, 4)])
def test_pure_spin_is_refused_without_a_core_to_spare(spinner_count: int, core_count: int) -> None:
    with pytest.raises(SpinRefusedError, match=f"need {spinner_count + 1} cores") as caught:
        choose(IdleKind.SPIN, spinner_count=spinner_count, cores=lambda: core_count)
    assert f"there are {core_count}" in str(caught.value)
    assert isinstance(caught.value, SegmentError)


@pytest.mark.parametrize(("spinner_count", "core_count"), [(1, 2), (2, 3), (3, 16)])
def test_pure_spin_never_sleeps_where_it_has_a_core(spinner_count: int, core_count: int) -> None:
    chosen = choose(IdleKind.SPIN, spinner_count=spinner_count, cores=lambda: core_count)
    assert chosen.spin_ns == chosen.timeout_ns > 0


def test_hybrid_spins_for_a_time_and_then_sleeps() -> None:
    chosen = choose(IdleKind.HYBRID, spinner_count=1, spin_ns=20_000, cores=lambda: 2)
    assert (chosen.kind, chosen.spin_ns) == (IdleKind.HYBRID, 20_000)
    assert chosen.timeout_ns > chosen.spin_ns


def test_the_default_spin_is_between_20_and_50_us() -> None:
    assert 20_000 <= choose(IdleKind.HYBRID, spinner_count=1, cores=lambda: 8).spin_ns <= 50_000


def test_hybrid_does_not_spin_on_one_core() -> None:
    chosen = choose(IdleKind.HYBRID, spinner_count=1, cores=lambda: 1)
    assert chosen.spin_ns == 0
    assert "one core" in chosen.reason


def test_auto_starts_as_hybrid_and_says_that_load_decides() -> None:
    chosen = choose(IdleKind.AUTO, spinner_count=1, spin_ns=20_000, cores=lambda: 2)
    hybrid = choose(IdleKind.HYBRID, spinner_count=1, spin_ns=20_000, cores=lambda: 2)
    assert (chosen.spin_ns, chosen.timeout_ns) == (hybrid.spin_ns, hybrid.timeout_ns)
    assert chosen.kind is IdleKind.AUTO
    assert "load" in chosen.reason


def test_auto_has_nothing_to_choose_on_one_core() -> None:
    chosen = choose(IdleKind.AUTO, spinner_count=1, cores=lambda: 1)
    assert (chosen.kind, chosen.spin_ns) == (IdleKind.HYBRID, 0)


@pytest.mark.parametrize("core_count", [1, 2, 64])
def test_yield_never_sleeps_and_is_refused_nowhere(core_count: int) -> None:
    chosen = choose(IdleKind.YIELD, spinner_count=core_count + 1, cores=lambda: core_count)
    assert chosen.spin_ns == chosen.timeout_ns > 0
    assert "yields" in chosen.reason


@pytest.mark.parametrize("core_count", [1, 2, 64])
def test_sleep_never_spins_on_any_machine(core_count: int) -> None:
    assert choose(IdleKind.SLEEP, spinner_count=9, cores=lambda: core_count).spin_ns == 0


def test_the_cores_counted_are_those_this_process_may_use() -> None:
    assert idle.available_cores() == len(os.sched_getaffinity(0))


def test_idle_hands_its_numbers_to_the_waiter() -> None:
    waiter = RecordedWaiter()
    chosen = choose(IdleKind.HYBRID, spinner_count=1, spin_ns=25_000, cores=lambda: 2)
    assert chosen.idle(waiter)
    assert waiter.calls == [(25_000, chosen.timeout_ns)]


def test_consumers_and_observers_can_be_waited_on() -> None:
    with scratch_ring(gating=(0,)) as ring:
        producer, consumer, observer = Producer(ring), Consumer(ring, 0), Observer(ring)
        chosen = choose(IdleKind.SLEEP, spinner_count=1)
        assert not chosen.idle(consumer)
        assert not chosen.idle(observer)
        producer.try_publish(payload(0))
        assert chosen.idle(consumer)
        assert chosen.idle(observer)
