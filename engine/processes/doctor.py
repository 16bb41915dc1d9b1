"""`aegis doctor`: look at the machine before trading on it, and say what to do.

Each check returns a finding with a remedy; none changes anything, except that `--warm` compiles the
kernels into the cache (the image build and the first `make run` do that).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from engine import exit_codes
from engine.config import Config
from engine.processes.segments import RING_ROWS
from engine.venues.binance.http import parse_url
from engine.venues.binance.refusals import RETRY_AFTER_S, sentence, socket_error
from ringbuffer.segment import available_bytes

VENUE_TIMEOUT_S = 5.0
DISK_FLOOR_BYTES = 1_000_000_000
CORES_WANTED = 2
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


class Finding(NamedTuple):
    """One thing looked at."""

    name: str
    good: bool
    found: str
    remedy: str = ""
    fatal: bool = False


def examine(config: Config, *, warm: bool, as_json: bool) -> int:
    """Print every finding; return 0, or 3 when something would stop the engine."""
    findings = [*_machine(), *_home(config), _extension(), *look_at_venue(config)]
    findings.append(_warm(config) if warm else _kernels(config))
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))  # noqa: T201
    else:
        for finding in findings:
            mark = "ok  " if finding.good else "FAIL" if finding.fatal else "note"
            tail = f"  -> {finding.remedy}" if finding.remedy and not finding.good else ""
            print(f"{mark}  {finding.name:<14} {finding.found}{tail}")  # noqa: T201
    failed = any(finding.fatal and not finding.good for finding in findings)
    return exit_codes.ENVIRONMENT if failed else exit_codes.DONE


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
        Finding(
            "shared memory",
            free >= wanted,
            f"{free / 1e6:,.0f} MB free, {wanted / 1e6:,.0f} MB needed",
            "docker run --shm-size=128m, or free /dev/shm",
            fatal=True,
        ),
        Finding("clock", source == "tsc", source, "time stamps cost a system call on this host"),
        Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], fatal=True),
    ]


def _home(config: Config) -> list[Finding]:
    home = Path(config.home)
    existing = next((path for path in (home, *home.parents) if path.exists()), Path("/"))
    usage = shutil.disk_usage(existing)
    return [
        Finding(
            "AEGIS_HOME",
            os.access(existing, os.W_OK),
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


def look_at_venue(config: Config) -> list[Finding]:
    """Ask a venue that is named whether it answers this address; nothing is asked of none."""
    if not config.venue.rest_url:
        return []
    endpoint = parse_url(config.venue.rest_url)
    kind = http.client.HTTPSConnection if endpoint.secure else http.client.HTTPConnection
    connection = kind(endpoint.host, endpoint.port, timeout=VENUE_TIMEOUT_S)
    try:
        connection.request("GET", f"{endpoint.path}/fapi/v1/ping")
        answer = connection.getresponse()
        status, wait = answer.status, answer.headers.get("Retry-After", "")
    except (OSError, http.client.HTTPException) as error:
        as_socket = error if isinstance(error, OSError) else OSError(str(error))
        said = str(socket_error(endpoint.host, endpoint.port, as_socket))
        return [Finding("venue", good=False, found=said, remedy="the engine waits until it is")]
    finally:
        connection.close()
    said = sentence(status, float(wait) if wait.isdecimal() else RETRY_AFTER_S)
    found = said or f"{endpoint.host} answers with HTTP {status}"
    return [Finding("venue", good=status == http.client.OK, found=found)]


def _extension() -> Finding:
    try:
        from native_ext import _feed, _native  # noqa: F401  that they load is the check
    except ImportError as error:
        return Finding("extension", good=False, found=str(error), remedy="make native", fatal=True)
    return Finding("extension", good=True, found="native_ext loads")


def _kernels(config: Config) -> Finding:
    from engine.processes import kernel_cache, kernel_image

    # The image is written last, after it ran once.
    is_warm = (kernel_cache.cache_directory(config.home) / kernel_image.FILE_NAME).exists()
    return Finding(
        "kernels",
        good=is_warm,
        found="compiled" if is_warm else "not compiled for this build and machine",
        remedy="the next start takes a minute or two longer; `aegis doctor --warm` does it now",
    )


def _warm(config: Config) -> Finding:
    from engine.processes import kernel_cache

    started = time.monotonic()

    def report(done: int, total: int, name: str) -> None:
        """Show how far the compiler is, on one line."""
        line = f"\rkernels  {done}/{total} {name:<40}"
        print(line, end="", file=sys.stderr, flush=True)  # noqa: T201

    directory = kernel_cache.warm(config.home, report)
    print("\r" + " " * 64 + "\r", end="", file=sys.stderr)  # noqa: T201
    found = f"{directory.name} warm after {time.monotonic() - started:.1f} s"
    return Finding("kernels", good=True, found=found)
