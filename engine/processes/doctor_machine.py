"""What `aegis doctor` finds of the machine: cores, memory, shared memory, clock, disk, build."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.processes.finding import Finding
from engine.processes.segments import RING_ROWS
from engine.processes.time_slice import PATH_NS
from native_ext import _native, build
from ringbuffer.segment import available_bytes

DISK_FLOOR_BYTES: Final = 1_000_000_000
CORES_WANTED: Final = 2
MEMORY_WANTED_BYTES: Final = 600_000_000  # the budget of all roles at 300 instruments
CLOCK_SOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
MEMORY: Final = Path("/proc/meminfo")
CONTAINER: Final = Path("/sys/fs/cgroup")  # version 2: limit and use of this container


def look_at_machine(config: Config) -> list[Finding]:
    """Return what the machine gives the engine, and whether the engine's own parts load."""
    return [*_machine(), *_home(config), _extension()]


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0))
    wanted = sum(slots * slot_bytes for _, slots, slot_bytes, _ in RING_ROWS) + 1_000_000
    free = available_bytes()
    source = CLOCK_SOURCE.read_text().strip() if CLOCK_SOURCE.exists() else "unknown"
    return [
        Finding(
            "cores",
            cores >= CORES_WANTED,
            f"{cores} usable",
            f"give the engine {CORES_WANTED}; with fewer, roles take turns",
        ),
        time_slices(),
        memory(free_memory_bytes(MEMORY, CONTAINER)),
        Finding(
            "shared memory",
            free >= wanted,
            f"{free / 1e6:,.0f} MB free, {wanted / 1e6:,.0f} MB needed",
            "docker run --shm-size=128m, or free /dev/shm",
            fatal=True,
        ),
        Finding("clock", source == "tsc", source, "time stamps cost a system call on this host"),
        Finding(
            "python",
            sys.version_info >= (3, 11),
            sys.version.split()[0],
            "install Python 3.11, 3.12 or 3.13, then `make setup`",
            fatal=True,
        ),
    ]


def time_slices() -> Finding:
    """Return whether threads of the path may have short time slices."""
    with ThreadPoolExecutor(1) as other:  # a slice is a thread's: this one keeps its own
        granted_ns = other.submit(_native.set_time_slice, PATH_NS).result()
    return Finding(
        "time slices",
        granted_ns == PATH_NS,
        "short ones for feed and brain" if granted_ns == PATH_NS else "the usual one for all",
        "Linux 6.12 has short ones; where cores are shared, feed and brain wait for others",
    )


def memory(free_bytes: int) -> Finding:
    """Return whether so much free memory holds every role."""
    return Finding(
        "memory",
        free_bytes >= MEMORY_WANTED_BYTES,
        f"{free_bytes / 1e6:,.0f} MB free, {MEMORY_WANTED_BYTES / 1e6:,.0f} MB for 300 instruments",
        "give the machine or container more, or lower instruments_max",
    )


def free_memory_bytes(meminfo: Path, container: Path) -> int:
    """Return the memory that may still be used: the machine's, or less where a container bounds it.

    Args:
        meminfo: the kernel's table, `MemAvailable: N kB` in it; unreadable: 0.
        container: folder of the control group, version 2; no bound is written there as `max`.
    """
    try:
        rows = dict(row.split(":", 1) for row in meminfo.read_text("ascii").splitlines())
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return 0
    try:
        limit = (container / "memory.max").read_text("ascii").strip()
        used = int((container / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return free
    return min(free, max(int(limit) - used, 0)) if limit.isdecimal() else free


def _home(config: Config) -> list[Finding]:
    home = Path(config.home)
    existing = next((path for path in (home, *home.parents) if path.exists()), Path("/"))
    usage = shutil.disk_usage(existing)
    return [
        Finding(
            "AEGIS_HOME",
            _takes_files(existing),
            str(home),
            "choose a directory you can write",
            fatal=True,
        ),
        Finding(
            "disk",
            usage.free >= DISK_FLOOR_BYTES,
            f"{usage.free / 1e9:,.1f} GB free",
            "the journal needs room; trading halts below its floor",
        ),
    ]


def _takes_files(folder: Path) -> bool:
    """Return whether a file can be made there; its mode alone may say so falsely, as /proc does."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _extension() -> Finding:
    if found := build.difference():
        return Finding("extension", good=False, found=found, remedy="make native", fatal=True)
    return Finding("extension", good=True, found="native_ext loads")


def kernels(config: Config) -> Finding:
    """Return whether the kernels of this build are compiled for this machine."""
    from engine.processes import kernel_cache, kernel_image

    # The image is written last, after it ran once.
    is_warm = (kernel_cache.cache_directory(config.home) / kernel_image.FILE_NAME).exists()
    return Finding(
        "kernels",
        good=is_warm,
        found="compiled" if is_warm else "not compiled for this build and machine",
        remedy="the next start takes a minute or two longer; `aegis doctor --warm` does it now",
    )


def warm_kernels(config: Config) -> Finding:
    """Compile the kernels, with the progress on standard error."""
    from engine.processes import kernel_cache

    started = time.monotonic()

    def report(done: int, total: int, name: str) -> None:
        """Show how far the compiler is, on one line."""
        text = f"\rkernels  {done}/{total} {name:<40}"
        print(text, end="", file=sys.stderr, flush=True)  # noqa: T201

    directory = kernel_cache.warm(config.home, report)
    print("\r" + " " * 64 + "\r", end="", file=sys.stderr)  # noqa: T201
    found = f"{directory.name} warm after {time.monotonic() - started:.1f} s"
    return Finding("kernels", good=True, found=found)
