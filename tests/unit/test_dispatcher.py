"""The dispatcher: bounded, most urgent first, full as a value, faults reported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.processes.dispatcher import SHARES, Dispatcher, Priority

DEADLINE_S = 10.0


def _no_fault(name: str, error: BaseException) -> None:
    message = f"{name}: {error!r}"
    raise AssertionError(message)


def _appender(order: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def job() -> None:
        order.append(name)

    return job


def test_urgent_classes_run_first_and_arrival_order_holds_inside_a_class() -> None:
    async def scenario() -> list[str]:
        order: list[str] = []
        dispatcher = Dispatcher(_no_fault, workers=1)
        submitted = [
            (Priority.MAINTENANCE, "vacuum"),
            (Priority.RECONCILE, "reconcile"),
            (Priority.ORDER, "order 1"),
            (Priority.CANCEL, "cancel 1"),
            (Priority.ORDER, "order 2"),
            (Priority.CANCEL, "cancel 2"),
        ]
        for priority, name in submitted:
            assert dispatcher.submit(priority, name, _appender(order, name))
        dispatcher.start()
        assert await dispatcher.drain(DEADLINE_S)
        await dispatcher.close()
        return order

    assert asyncio.run(scenario()) == [
        "cancel 1",
        "cancel 2",
        "order 1",
        "order 2",
        "reconcile",
        "vacuum",
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(list(Priority)), max_size=60), st.integers(8, 32))
def test_every_accepted_job_runs_once_in_class_order(
    classes: list[Priority], capacity: int
) -> None:
    async def scenario() -> None:
        order: list[tuple[int, int]] = []
        accepted: list[tuple[int, int]] = []
        dispatcher = Dispatcher(_no_fault, capacity=capacity, workers=1)
        for arrival, priority in enumerate(classes):

            async def job(entry: tuple[int, int] = (priority, arrival)) -> None:
                order.append(entry)

            if dispatcher.submit(priority, "job", job):
                accepted.append((priority, arrival))
        assert len(accepted) <= capacity
        assert len(accepted) + dispatcher.refused_count == len(classes)
        dispatcher.start()
        assert await dispatcher.drain(DEADLINE_S)
        await dispatcher.close()
        assert order == sorted(accepted)

    asyncio.run(scenario())


def test_full_is_a_value_and_a_cancel_still_finds_room() -> None:
    async def scenario() -> None:
        order: list[str] = []
        dispatcher = Dispatcher(_no_fault, capacity=16, workers=1)
        maintenance_room = SHARES[Priority.MAINTENANCE]
        for _ in range(maintenance_room):
            assert dispatcher.submit(Priority.MAINTENANCE, "m", _appender(order, "m"))
        assert not dispatcher.submit(Priority.MAINTENANCE, "m", _appender(order, "m"))
        while dispatcher.submit(Priority.ORDER, "o", _appender(order, "o")):
            pass
        assert dispatcher.submit(Priority.CANCEL, "c", _appender(order, "c"))
        assert dispatcher.refused_count == 2
        await dispatcher.close()

    asyncio.run(scenario())


def test_a_faulty_job_is_reported_and_the_next_one_runs() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        order: list[str] = []
        faults: list[str] = []
        dispatcher = Dispatcher(lambda name, error: faults.append(f"{name}: {error}"), workers=1)

        async def broken() -> None:
            message = "no route"
            raise OSError(message)

        dispatcher.submit(Priority.ORDER, "fetch", broken)
        dispatcher.submit(Priority.ORDER, "next", _appender(order, "next"))
        dispatcher.start()
        assert await dispatcher.drain(DEADLINE_S)
        await dispatcher.close()
        return faults, order

    faults, order = asyncio.run(scenario())
    assert faults == ["fetch: no route"]
    assert order == ["next"]


def test_slow_work_leaves_workers_to_cancels_and_keeps_its_order() -> None:
    async def scenario() -> list[str]:
        order: list[str] = []
        dispatcher = Dispatcher(_no_fault, workers=4)
        released = asyncio.Event()

        def slow(name: str) -> Callable[[], Awaitable[None]]:
            async def job() -> None:
                order.append(f"{name} begins")
                await released.wait()
                order.append(f"{name} ends")

            return job

        dispatcher.start()
        for number in range(6):
            assert dispatcher.submit(Priority.RECONCILE, "fetch", slow(f"fetch {number}"))
        while len(order) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        cancelled = asyncio.Event()

        async def cancel() -> None:
            order.append("cancel")
            cancelled.set()

        assert dispatcher.submit(Priority.CANCEL, "cancel", cancel)
        await asyncio.wait_for(cancelled.wait(), DEADLINE_S)
        assert dispatcher.waiting_count == 4
        released.set()
        assert await dispatcher.drain(DEADLINE_S)
        await dispatcher.close()
        return order

    order = asyncio.run(scenario())
    assert order[:3] == ["fetch 0 begins", "fetch 1 begins", "cancel"]
    begun = [entry for entry in order if entry.endswith("begins")]
    assert begun == [f"fetch {number} begins" for number in range(6)]


def test_blocking_work_leaves_the_loop() -> None:
    async def scenario() -> None:
        threads: list[str] = []
        dispatcher = Dispatcher(_no_fault)
        dispatcher.start()
        dispatcher.submit_blocking(
            Priority.MAINTENANCE,
            "where",
            lambda: threads.append(threading.current_thread().name),
        )
        assert await dispatcher.drain(DEADLINE_S)
        await dispatcher.close()
        assert threads[0].startswith("dispatcher")

    asyncio.run(scenario())


def test_drain_says_when_the_deadline_came_first() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(_no_fault)
        never = asyncio.Event()

        async def wait_for_ever() -> None:
            await never.wait()

        dispatcher.submit(Priority.ORDER, "stuck", wait_for_ever)
        dispatcher.start()
        assert not await dispatcher.drain(0.05)
        assert not dispatcher.submit(Priority.CANCEL, "late", wait_for_ever)
        await dispatcher.close()

    asyncio.run(scenario())


def test_close_cancels_running_jobs() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(_no_fault)
        started, stopped = asyncio.Event(), asyncio.Event()

        async def wait_for_ever() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        dispatcher.submit(Priority.ORDER, "stuck", wait_for_ever)
        dispatcher.start()
        await asyncio.wait_for(started.wait(), DEADLINE_S)
        await dispatcher.close()
        await asyncio.wait_for(stopped.wait(), DEADLINE_S)

    asyncio.run(scenario())


@pytest.mark.parametrize(("capacity", "workers", "threads"), [(3, 1, 1), (16, 0, 1), (16, 1, 0)])
def test_bounds_are_asserted(capacity: int, workers: int, threads: int) -> None:
    with pytest.raises(AssertionError):
        Dispatcher(_no_fault, capacity=capacity, workers=workers, threads=threads)
