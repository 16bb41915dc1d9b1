"""The stages between tick and order, from made-up samples and journal records."""

from __future__ import annotations

import numpy as np
import pytest

from bench.waterfall import SLOWEST, STAGES, by_stage, stages, unfolded
from bench.waterfall_picture import bars
from engine.domain.codes import EventType
from engine.domain.records import EVENT_DTYPE


def sent(name: bytes, received: int, decided: int, wrote: int) -> np.ndarray:
    row = np.zeros(1, EVENT_DTYPE)
    row["event_type"], row["text"] = EventType.ORDER_SENT, name
    row["cause_receive_time_ns"], row["decision_time_ns"] = received, decided
    row["write_time_ns"] = wrote
    return row


def sample(name: str, written_ns: int, interval_ns: int) -> dict[str, object]:
    return {"client_order_id": name, "written_ns": written_ns, "interval_ns": interval_ns}


def test_stages_are_the_gaps_between_the_times_and_sum_to_the_whole() -> None:
    records = np.concatenate([sent(b"a", 11_000, 13_000, 23_000), sent(b"b", 1, 2, 3)])
    table = stages([sample("a", 1_000, 30_000), sample("unknown", 5, 5)], records)
    assert table.tolist() == [[10.0, 2.0, 10.0, 8.0, 30.0]]
    assert table[0, :-1].sum() == table[0, -1]


def test_no_common_order_gives_no_row() -> None:
    assert stages([sample("a", 1, 2)], sent(b"b", 1, 2, 3)).shape == (0, len(STAGES))


def test_the_slowest_are_chosen_by_the_whole() -> None:
    table = np.ones((200, len(STAGES)))
    table[7] = [500.0, 1.0, 1.0, 1.0, 503.0]
    table[8] = [1.0, 400.0, 1.0, 1.0, 403.0]
    table[9] = [9_999.0, 1.0, 1.0, 1.0, 2.0]  # a slow stage of an order that was not slow in all
    found = by_stage(table)
    assert found[f"wire in/{SLOWEST}"] == pytest.approx((500 + 1) / 2)
    assert found[f"ring/{SLOWEST}"] == pytest.approx((1 + 400) / 2)
    assert found["wire in/count"] == 200


def test_passes_become_one_case_per_stage() -> None:
    passes = [by_stage(np.ones((10, len(STAGES)))) | {"foreign cores": 0.5}]
    results = unfolded(passes)
    assert list(results) == list(STAGES)
    assert all(rows[0]["foreign cores"] == 0.5 for rows in results.values())
    assert all(rows[0]["p50"] == 1.0 for rows in results.values())


def test_bars_of_the_picture_start_where_the_one_before_ends() -> None:
    rows = [
        {"case": stage, "metric": metric, "value": float(place + 1)}
        for metric in ("p50", "max")
        for place, stage in enumerate(STAGES)
    ]
    assert bars({"rows": rows}, "p50") == [
        ("wire in", 0.0, 1.0),
        ("ring", 1.0, 2.0),
        ("hand over", 3.0, 3.0),
        ("wire out", 6.0, 4.0),
    ]
