"""A shared-memory mount that is too small: the message, and that nothing is left behind.

The first tests change what the kernel reports (`os.statvfs`, `os.posix_fallocate`); the last one
mounts a real 1 MiB tmpfs over /dev/shm in a mount namespace of its own, where that is allowed.
"""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ringbuffer import segment
from ringbuffer.errors import SegmentSpaceError
from ringbuffer.ring import Ring
from ringbuffer.segment import Segment
from tests.ring_builders import ROOT, unique_name

ISOLATED = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" -c "$1"'
IN_SMALL_MOUNT = """
import os
from ringbuffer.errors import SegmentSpaceError
from ringbuffer.ring import Ring
from ringbuffer.segment import available_bytes
assert available_bytes() == 1 << 20
Ring.create("aegis-small", 1024, 64).close()
try:
    Ring.create("aegis-large", 65536, 64)
except SegmentSpaceError as error:
    print(error.needed_bytes, error.available_bytes, os.listdir("/dev/shm"))
"""


def test_too_little_room_names_both_numbers_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = SimpleNamespace(f_bavail=10, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    name = unique_name()
    with pytest.raises(SegmentSpaceError) as caught:
        Segment.create(name, 1 << 20, kind=16)
    assert (caught.value.needed_bytes, caught.value.available_bytes) == (1 << 20, 40960)
    for part in (name, "1,048,576", "40,960", "--shm-size", "ECS", "Kubernetes", "remount"):
        assert part in str(caught.value)
    assert not (segment.SHM_FOLDER / name).exists()


def test_room_that_goes_between_check_and_reservation_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    name = unique_name()
    with pytest.raises(SegmentSpaceError, match="needs 8,192 bytes"):
        Ring.create(name, 64, 64)
    assert not (segment.SHM_FOLDER / name).exists()


def test_a_real_small_mount() -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    command = [unshare, "--mount", "sh", "-c", ISOLATED, sys.executable, IN_SMALL_MOUNT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no mount namespace for this user: {done.stderr.strip()}")
    assert done.stderr == ""
    needed, available, left = done.stdout.split(maxsplit=2)
    assert int(needed) == 4096 + 65536 * 64
    assert 0 < int(available) < 1 << 20
    assert left.strip() == "['aegis-small']"
