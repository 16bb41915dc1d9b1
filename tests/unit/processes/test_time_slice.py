"""A role's threads are given a core soon after they wake; what an operator chose is kept."""

import ctypes
import os
import platform
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.config import Config
from engine.config_journal import JournalConfig
from engine.processes import doctor_machine
from engine.processes.control import RolePage
from engine.processes.roles import ROLES
from engine.processes.time_slice import API_NS, ASIDE, OF_ROLE, PATH_NS, USUAL_NS
from native_ext import _native
from tests.orchestrator_rig import OrchestratorRig

SCHEDULING = struct.Struct("IIQiIQQQ")  # of sched_getattr(2); the sixth is the slice
GETATTR = {"x86_64": 315, "aarch64": 275}


def in_a_thread(*slices_ns: int) -> list[int]:
    """Ask for slices one after another in a thread that ends; return the answers."""
    with ThreadPoolExecutor(1) as other:
        return list(other.map(_native.set_time_slice, slices_ns))


NICE_MAX = 19


def own_slice_ns() -> int:
    """Ask the kernel for the slice of this thread, without the engine's own code."""
    answer = ctypes.create_string_buffer(SCHEDULING.size)
    call = GETATTR[platform.machine()]
    assert ctypes.CDLL(None).syscall(call, 0, answer, SCHEDULING.size, 0) == 0
    return int(SCHEDULING.unpack(answer.raw)[5])


@pytest.fixture
def usual_ns() -> int:
    granted_ns, usual_ns = in_a_thread(PATH_NS, USUAL_NS)
    if granted_ns == usual_ns:
        pytest.skip("this kernel has no time slice of a thread's own (Linux 6.12 has)")
    return usual_ns


def test_a_thread_has_the_slice_it_asked_for_and_the_usual_one_again(usual_ns: int) -> None:
    assert in_a_thread(PATH_NS, API_NS, USUAL_NS) == [PATH_NS, API_NS, usual_ns]
    assert PATH_NS < API_NS < usual_ns


def test_threads_to_come_have_it_too_and_others_do_not(usual_ns: int) -> None:
    def ask_a_child() -> int:
        _native.set_time_slice(PATH_NS)
        with ThreadPoolExecutor(1) as child:
            return child.submit(own_slice_ns).result()

    with ThreadPoolExecutor(1) as other:
        assert other.submit(ask_a_child).result() == PATH_NS
    assert own_slice_ns() == usual_ns


def test_a_slice_below_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        _native.set_time_slice(-1)


def test_another_policy_is_kept() -> None:
    def ask() -> tuple[int, int]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return _native.set_time_slice(PATH_NS), os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as other:
        assert other.submit(ask).result() == (0, os.SCHED_BATCH)


def test_every_role_has_a_row_and_the_journal_waits_for_the_path() -> None:
    assert set(OF_ROLE) == {row.page for row in ROLES}
    assert OF_ROLE[RolePage.ORCHESTRATOR] == USUAL_NS


@pytest.mark.parametrize(("durability", "expected"), [("ring", {ASIDE: 1}), ("disk", {})])
def test_the_projector_alone_steps_aside_and_only_where_no_order_waits(
    tmp_path: Path, durability: str, expected: dict[int, int]
) -> None:
    config = Config(name=f"aside-{durability}", journal=JournalConfig(durability=durability))
    with OrchestratorRig(tmp_path, config) as rig:
        rig.start()
        assert rig.process is not None
        threads = [int(task.name) for task in Path(f"/proc/{rig.process.pid}/task").iterdir()]
        own = os.getpriority(os.PRIO_PROCESS, 0)
        found = Counter(os.getpriority(os.PRIO_PROCESS, thread) - own for thread in threads)
        assert rig.stop() == 0
    recorder = 2  # threads: one drains, one syncs
    assert found.pop(0) > recorder
    # A suite that is niced itself leaves less room below.
    assert found == {min(aside, NICE_MAX - own): count for aside, count in expected.items()}


def test_the_doctor_says_what_this_kernel_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "set_time_slice", lambda _: 0)
    finding = doctor_machine.time_slices()
    assert not finding.good
    assert "6.12" in finding.remedy
    monkeypatch.setattr(_native, "set_time_slice", lambda slice_ns: slice_ns)
    assert doctor_machine.time_slices().good
