"""Counter pages and latency histograms: arithmetic, layout, and the view of another process."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuffer import counters, kernels
from ringbuffer.counters import BUCKET_COUNT, CounterPage, CountersSegment, summarise
from ringbuffer.errors import SegmentLayoutError
from ringbuffer.ring import Ring
from ringbuffer.segment import unlink
from tests.ring_builders import ROOT, unique_name

LONGEST_NS = (1 << 43) - 1  # the largest value with a bucket of its own


@pytest.fixture
def segment() -> Iterator[CountersSegment]:
    made = CountersSegment.create(unique_name("counters"), 4)
    yield made
    unlink(made.segment.name)


@given(st.integers(0, LONGEST_NS))
def test_a_bucket_holds_its_value_and_is_narrow(value_ns: int) -> None:
    index = counters.bucket_index(value_ns)
    upper = counters.bucket_upper_ns(index)
    lower = counters.bucket_upper_ns(index - 1) + 1 if index else 0
    assert lower <= value_ns <= upper
    assert upper - lower <= lower / 16


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_buckets_keep_the_order_of_values(one_ns: int, other_ns: int) -> None:
    low, high = sorted((one_ns, other_ns))
    assert counters.bucket_index(low) <= counters.bucket_index(high) < BUCKET_COUNT


@given(st.integers(-(1 << 62), 1 << 62))
def test_compiled_and_plain_python_choose_the_same_bucket(value_ns: int) -> None:
    assert kernels.bucket_of(value_ns) == counters.bucket_index(value_ns)


def test_extreme_values_have_a_bucket() -> None:
    assert counters.bucket_index(-5) == 0
    assert counters.bucket_index(0) == 0
    assert counters.bucket_index(LONGEST_NS) == BUCKET_COUNT - 1
    assert counters.bucket_index((1 << 63) - 1) == BUCKET_COUNT - 1


@given(st.lists(st.integers(0, LONGEST_NS), min_size=1, max_size=200))
def test_percentiles_bound_the_exact_ones(values_ns: list[int]) -> None:
    page = CounterPage(memoryview(bytearray(8 * counters.PAGE_WORDS)).cast("q"))
    for value_ns in values_ns:
        page.record(3, value_ns)
    found = page.percentiles(3)
    ordered = sorted(values_ns)
    assert found.sample_count == len(values_ns)
    assert found.max_ns == ordered[-1]
    assert found.mean_ns == pytest.approx(sum(values_ns) / len(values_ns))
    shown = (found.p50_ns, found.p90_ns, found.p99_ns, found.p999_ns)
    for quantile, value_ns in zip(counters.QUANTILES, shown, strict=True):
        rank = next(i for i in range(1, len(ordered) + 1) if i >= quantile * len(ordered))
        exact = ordered[rank - 1]
        assert exact <= value_ns <= max(exact * 17 / 16, exact)
    assert list(shown) == sorted(shown)


def test_an_empty_histogram_summarises_to_zeros(segment: CountersSegment) -> None:
    assert segment.page(0).percentiles(0) == (0, 0.0, 0, 0, 0, 0, 0)


def test_the_difference_of_two_copies_is_an_interval(segment: CountersSegment) -> None:
    page = segment.page(1)
    page.record(0, 1_000_000)
    before = page.histogram(0)
    for _ in range(10):
        page.record(0, 100)
    interval = [new - old for new, old in zip(page.histogram(0), before, strict=True)]
    interval[counters.HISTOGRAM_MAX] = 1_000_000
    found = summarise(interval)
    assert (found.sample_count, found.mean_ns) == (10, 100.0)
    assert 100 <= found.p999_ns <= 106


def test_counters_add_store_and_stay_on_their_page(segment: CountersSegment) -> None:
    page, neighbour = segment.page(1), segment.page(2)
    page.add(511)
    page.add(511, 4)
    page.store(0, 99)
    page.record(15, 7)
    assert (page.counter(511), page.counter(0), page.counter(1)) == (5, 99, 0)
    copy = page.counters(counters.COUNTERS_MAX)
    assert copy == [page.counter(index) for index in range(counters.COUNTERS_MAX)]
    assert page.counters(2) == copy[:2]
    assert not any(neighbour.counter(i) for i in range(counters.COUNTERS_MAX))
    assert neighbour.histogram(0) == [0] * counters.HISTOGRAM_WORDS
    assert page.histogram(14) == [0] * counters.HISTOGRAM_WORDS


@pytest.mark.parametrize("index", [-1, 512])
def test_a_counter_outside_the_page_is_an_invariant_broken(
    segment: CountersSegment, index: int
) -> None:
    page = segment.page(0)
    for use in (page.add, page.counter, lambda i: page.store(i, 1)):
        with pytest.raises(AssertionError):
            use(index)
    with pytest.raises(AssertionError):
        page.record(16, 1)
    with pytest.raises(AssertionError):
        segment.page(4)


def test_kernels_and_python_write_the_same_words(segment: CountersSegment) -> None:
    page, other = segment.page(0), segment.page(1)
    values_ns = [0, 1, 15, 16, 17, 1_000, 123_456, 10**9, 1 << 50]
    words = page.histogram_words(2)
    for value_ns in values_ns:
        kernels.record_latency(words, value_ns)
        other.record(2, value_ns)
    assert page.histogram(2) == other.histogram(2)
    counts = page.counter_words()
    counts[7] += 3
    assert page.counter(7) == 3
    del words, counts
    page.release()
    other.release()
    segment.close()


def test_another_process_reads_without_numpy(segment: CountersSegment) -> None:
    page = segment.page(3)
    page.add(5, 42)
    page.record(1, 1_000)
    code = (
        "import sys; from ringbuffer.counters import CountersSegment as C; "
        "p = C.attach(sys.argv[1]).page(3); "
        "print(p.counter(5), p.percentiles(1).max_ns, 'numpy' in sys.modules)"
    )
    command = [sys.executable, "-c", code, segment.segment.name]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output == "42 1000 False\n"


def test_attach_refuses_pages_that_are_not_there(segment: CountersSegment) -> None:
    segment.segment.buffer[counters.OFFSET_PAGE_COUNT] = 5
    with pytest.raises(SegmentLayoutError, match="5 pages"):
        CountersSegment.attach(segment.segment.name)


def test_attach_refuses_a_ring() -> None:
    with Ring.create(unique_name(), 8, 64) as ring, pytest.raises(SegmentLayoutError):
        CountersSegment.attach(ring.name)


def test_words_for_kernels_have_the_documented_shape(segment: CountersSegment) -> None:
    page = segment.page(0)
    assert page.counter_words().shape == (512,)
    assert page.histogram_words(0).shape == (648,)
    assert page.counter_words().dtype == np.int64
