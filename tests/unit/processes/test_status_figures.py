"""Figures of /status that are computed: results after fees, rates, one declaration per metric."""

from __future__ import annotations

import re
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Lock
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import TradingState
from engine.processes.control import RolePage, RoleState
from engine.processes.role_counters import EDGE_FIRST, EDGE_LAST, PAGES, Counters, edges
from engine.processes.status import RATE_SAMPLES_MAX, RATE_WINDOW_S, StatusBoard
from ringbuffer.counters import (
    HISTOGRAM_BUCKETS,
    HISTOGRAM_SUM,
    HISTOGRAM_WORDS,
    Percentiles,
    bucket_index,
)

E8 = 100_000_000
READY = RoleState.READY
VALUES_NS = (0, 100, 127, 128, 1_000, 60_000, 60_000, 20_000_000_000)
MONEY = st.integers(-(10**15), 10**15)


class Page:
    """A role's counters in ordinary memory."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}

    def counter(self, word: int) -> int:
        return self.words.get(word, 0)

    def counters(self, count: int) -> list[int]:
        return [self.counter(word) for word in range(count)]

    def histogram(self, _place: int) -> list[int]:
        words = [0] * HISTOGRAM_WORDS
        for value_ns in VALUES_NS:
            words[HISTOGRAM_BUCKETS + bucket_index(value_ns)] += 1
        words[HISTOGRAM_SUM] = sum(VALUES_NS)
        return words

    def percentiles(self, _place: int) -> Percentiles:
        return Percentiles(3, 60.0, 10, 20, 30, 40, 50)


def counters() -> tuple[Counters, dict[str, Page]]:
    pages = {role: Page() for role in PAGES}
    return Counters(pages), pages  # type: ignore[arg-type]


def put(pages: dict[str, Page], role: str, name: str, number: int) -> None:
    names = [row.name for row in PAGES[role][1]]
    pages[role].words[names.index(name)] = number


def board() -> tuple[StatusBoard, dict[str, Page]]:
    made = object.__new__(StatusBoard)
    made.counters, pages = counters()
    made._rates = deque(maxlen=RATE_SAMPLES_MAX)
    made._rates_lock = Lock()
    made._run = SimpleNamespace(started_ns=lambda: 0)  # type: ignore[assignment]
    return made, pages


def test_without_an_order_the_reason_is_what_the_roles_wait_for() -> None:
    made, _ = board()
    said = {RolePage.FEED: "fetching instruments: the venue does not list it"}
    roles = [
        SimpleNamespace(row=SimpleNamespace(name=page.name.lower(), page=page), state=lambda s=s: s)
        for page, s in ((RolePage.ORCHESTRATOR, READY), (RolePage.FEED, RoleState.ATTACHED))
    ]
    made._run = SimpleNamespace(roles=roles)  # type: ignore[assignment]
    made._control = SimpleNamespace(  # type: ignore[assignment]
        trading_state=lambda: int(TradingState.ENABLED), progress=lambda page: said.get(page, "")
    )
    assert made.why_idle() == f"not ready: feed attached: {said[RolePage.FEED]}"
    roles.pop()
    assert made.why_idle() == "no market record has arrived"


@given(realised=MONEY, fees=MONEY, funding=MONEY)
def test_what_is_called_realised_is_after_fees_and_funding(
    realised: int, fees: int, funding: int
) -> None:
    made, pages = board()
    put(pages, "brain", "realised_pnl_e8", realised)
    put(pages, "brain", "fees_e8", fees)
    put(pages, "brain", "funding_e8", funding)
    shown = made.pnl()
    assert shown["realised"] == (realised - fees + funding) / E8
    assert shown["fees"] == fees / E8


@given(steps=st.lists(st.tuples(st.floats(0.01, 3.0), st.integers(0, 10_000)), min_size=2))
def test_rates_are_those_of_the_window(steps: list[tuple[float, int]]) -> None:
    made, pages = board()
    now_s, records = 100.0, 0
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.processes.status.time.monotonic", lambda: now_s)
        for wait_s, more in steps:
            now_s += wait_s
            records += more
            put(pages, "brain", "records_total", records)
            seen.append((now_s, records))
            rate = made._measure_rates()["records_per_s"]
            # Never more than the fastest stretch that lies in the window could give.
            recent = [entry for entry in seen if now_s - entry[0] <= RATE_WINDOW_S]
            stretches = [
                (later[1] - earlier[1]) / (later[0] - earlier[0])
                for earlier, later in pairwise(recent)
            ]
            if stretches:
                assert rate <= max(stretches) + 0.1


def test_many_readers_measure_at_once() -> None:
    made, _ = board()
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(lambda: [made._measure_rates() for _ in range(2_000)]) for _ in range(8)
        ]
    for job in jobs:
        assert job.result()


def test_each_metric_is_declared_once_and_its_samples_stand_together() -> None:
    made, pages = counters()
    put(pages, "feed", "records_total", 7)
    put(pages, "brain", "records_total", 9)
    put(pages, "brain", "refused_trading_state_total", 3)
    lines = made.exposition()
    declared = Counter(line.split()[2] for line in lines if line.startswith("# HELP"))
    assert set(declared.values()) == {1}
    assert 'aegis_records_total{role="feed"} 7' in lines
    assert 'aegis_records_total{role="brain"} 9' in lines
    refused = 'aegis_refusal_reasons_total{role="brain",reason="trading_state"} 3'
    assert refused in lines, "an aggregate over names has none: a reason is a label"
    families = [
        name for line in lines if not line.startswith("#") for name in re.findall(r"^\w+", line)
    ]
    left: set[str] = set()
    for before, name in pairwise(["", *families]):
        if name != before:
            assert name not in left, name
            left.add(name)


NO_BASE_UNIT = re.compile(r"_(ns|us|ms|mb|kb|ppb|e8|minutes|hours)$")


def test_each_metric_is_in_base_units_and_says_what_it_is() -> None:
    made, pages = counters()
    put(pages, "brain", "equity_e8", 123 * E8 + E8 // 2)
    put(pages, "feed", "clock_rate_ppb", -1_500)
    put(pages, "orchestrator", "memory_mb", 2)
    board = SimpleNamespace(
        counters=made,
        _build={"version": "1", "commit": "abc"},
        _control=SimpleNamespace(trading_state=lambda: TradingState.HALTED),
        _run=SimpleNamespace(
            roles=[SimpleNamespace(row=SimpleNamespace(name="brain"), state=lambda: READY)]
        ),
        sources=lambda: {"connections": [{"name": "a", "state": "up", "lag_ms": {"p50": 2.0}}]},
    )
    board._connection_lines = lambda: StatusBoard._connection_lines(board)  # type: ignore[arg-type]
    lines = StatusBoard.metrics(board).splitlines()  # type: ignore[arg-type]
    kinds = dict(line.split()[2:] for line in lines if line.startswith("# TYPE"))
    shown = {name for line in lines if line[0] != "#" for name in re.findall(r"^\w+", line)}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == set(kinds)
    assert [name for name in kinds if NO_BASE_UNIT.search(name)] == []
    assert {n for n, kind in kinds.items() if kind == "counter"} == {
        name for name in kinds if name.endswith("_total")
    }
    for line in (
        'aegis_equity_quote{role="brain"} 123.5',
        'aegis_clock_rate_ratio{role="feed"} -1.5e-06',
        'aegis_memory_bytes{role="orchestrator"} 2097152.0',
        'aegis_build_info{version="1",commit="abc"} 1',
        "aegis_trading_state 3",
        'aegis_role_state{role="brain"} 6',
        'aegis_connection_up{connection="a"} 1',
        'aegis_connection_lag_seconds{connection="a",kind="p50"} 0.002',
    ):
        assert line in lines


def test_reasons_leave_out_the_sum_and_what_never_happened() -> None:
    made, pages = counters()
    put(pages, "brain", "refusals_total", 3)
    put(pages, "brain", "refused_trading_state_total", 3)
    put(pages, "feed", "rejected_total", 2)
    assert made.by_reason("brain", "refused_") == {"trading_state": 3}
    assert made.by_reason("feed", "rejected_") == {}


@given(values=st.lists(st.integers(0, 2**40), max_size=50))
def test_what_is_below_an_edge_is_counted_exactly(values: list[int]) -> None:
    words = [0] * HISTOGRAM_WORDS
    for value_ns in values:
        words[HISTOGRAM_BUCKETS + bucket_index(value_ns)] += 1
    assert edges(words) == [
        (1 << power, sum(value_ns < 1 << power for value_ns in values))
        for power in range(EDGE_FIRST, EDGE_LAST + 1)
    ]


def test_a_latency_is_a_prometheus_histogram() -> None:
    lines = [line for line in counters()[0].exposition() if "aegis_tick_to_order_seconds" in line]
    kinds = [line for line in lines if line.startswith("#")]
    assert kinds[1] == "# TYPE aegis_tick_to_order_seconds histogram"
    buckets = [int(line.rpartition(" ")[2]) for line in lines if "_bucket{" in line]
    assert buckets == sorted(buckets)
    assert buckets[0] == 3, "128 ns"
    assert f'le="+Inf"}} {len(VALUES_NS)}' in lines[-3]
    assert lines[-1].endswith(f"}} {len(VALUES_NS)}")
    assert float(lines[-2].rpartition(" ")[2]) == pytest.approx(sum(VALUES_NS) / 1e9)


def test_each_latency_has_its_percentiles_and_its_counts() -> None:
    board: StatusBoard = SimpleNamespace(counters=counters()[0])  # type: ignore[assignment]
    found = StatusBoard.latency(board)
    assert set(found) >= {"decode", "lag", "decide", "decision_to_order", "tick_to_order"}
    for each in found.values():
        assert each["us"] == {"p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.1, "count": 3}
        assert each["below_ns"][-1][1] == len(VALUES_NS) - 1  # one is above the last edge
