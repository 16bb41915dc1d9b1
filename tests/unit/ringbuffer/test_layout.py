"""The numbers C and Python agree on, and the failure when they do not."""

import numpy as np
import pytest

from native_ext import _native
from ringbuffer import layout
from ringbuffer.errors import SegmentLayoutError


def constants() -> dict[str, object]:
    return {name: number for name, number in vars(layout).items() if name.isupper()}


def test_c_exports_the_same_number_for_every_name() -> None:
    assert layout.differences(constants(), _native.layout()) == []


def test_c_exports_every_offset_that_python_uses() -> None:
    python_only = {"KIND_CONTROL", "KIND_COUNTERS"}  # kinds that C never opens
    assert set(constants()) - python_only == set(_native.layout())


@pytest.mark.parametrize("name", sorted(_native.layout()))
def test_any_changed_number_is_found(name: str) -> None:
    theirs = _native.layout()
    theirs[name] += 8
    assert layout.differences(constants(), theirs) == [
        f"{name} is {theirs[name]} in C and {constants()[name]} in layout.py"
    ]


def test_a_name_that_python_lacks_is_found() -> None:
    assert layout.differences({}, {"OFFSET_X": 1}) == [
        "OFFSET_X is 1 in C and missing in layout.py"
    ]


def test_import_fails_on_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {**_native.layout(), "OFFSET_SLOTS": 4160}
    monkeypatch.setattr(_native, "layout", lambda: wrong)
    with pytest.raises(SegmentLayoutError, match="OFFSET_SLOTS is 4160 in C and 4096"):
        layout._compare_with_native()


def test_words_of_different_writers_are_128_bytes_apart() -> None:
    starts = [layout.OFFSET_PUBLISHED, layout.OFFSET_PRODUCER, layout.OFFSET_WAIT]
    starts += [layout.OFFSET_READERS + k * layout.READER_STRIDE for k in range(layout.READER_COUNT)]
    assert all(start % 128 == 0 for start in starts)
    assert np.all(np.diff(starts) >= 128)
    assert starts[-1] + layout.READER_STRIDE <= layout.OFFSET_SLOTS


def test_ring_size_counts_header_and_slots() -> None:
    assert layout.ring_size_bytes(1024, 64) == 4096 + 65536
    assert layout.ring_size_bytes(2, 256) == 4096 + 512


@pytest.mark.parametrize("capacity", [-8, 0, 1, 3, 1000, 1025])
def test_capacity_must_be_a_power_of_two(capacity: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        layout.ring_size_bytes(capacity, 64)


@pytest.mark.parametrize("slot_size", [-64, 0, 8, 63, 65, 100])
def test_slot_size_must_be_whole_cache_lines(slot_size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        layout.ring_size_bytes(8, slot_size)
