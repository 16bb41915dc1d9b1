"""Each law of a chaos run finds the one thing it is there to find, and nothing in good books."""

from __future__ import annotations

import copy
import inspect
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.chaos import laws
from bench.chaos.plan import Act, plan_of
from bench.chaos.stage import Stage
from bench.chaos.venue import ChaosVenue
from tests.store_builders import as_bytes, event_records, open_events, write_session
from tests.store_events import decision

Books = dict[str, Any]
LAWS = 8
GOOD: Books = {
    "orders": [
        {
            "clientOrderId": "a1-0-1-2",
            "status": "FILLED",
            "price": "0.00",
            "avgPrice": "100.00",
            "origQty": "2.0",
        }
    ],
    "algoOrders": [{"clientAlgoId": "a1-0-2-2", "algoStatus": "CANCELED"}],
    "trades": [{"id": 7, "symbol": "X", "side": "BUY", "qty": "2.0", "price": "100.00"}],
}


@pytest.fixture
def books() -> Books:
    return copy.deepcopy(GOOD)


def stage_of(*kinds: str, **more: object) -> Stage:
    plan = plan_of(1)._replace(acts=tuple(Act(1, kind, {}) for kind in kinds))
    return cast("Stage", SimpleNamespace(plan=plan, **more))


def test_good_books_break_no_law(books: Books) -> None:
    assert list(laws._nothing_twice(["a1-0-1-2"], books)) == []
    assert list(laws._nothing_open(books)) == []
    assert list(laws._orders_within_limits(books)) == []
    assert list(laws._positions_within_limits(stage_of(), books)) == []


def test_an_id_that_was_sent_twice_is_found(books: Books) -> None:
    (sentence,) = laws._nothing_twice(["a1-0-1-2", "b", "a1-0-1-2"], books)
    assert "a1-0-1-2 was sent 2 times" in sentence


def test_ids_sent_before_the_exchange_was_away_still_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = ChaosVenue.__new__(ChaosVenue)
    venue._sent = ["a"]
    came = {"clientOrderIds": ["b", "c", "c"], "untimely": ["c"]}
    monkeypatch.setattr(venue, "call", lambda *_: came)
    assert venue.sent() == ["a", "b", "c"]


def test_two_orders_of_one_name_are_found_unless_the_venue_named_them(books: Books) -> None:
    books["orders"] *= 2
    assert len(list(laws._nothing_twice([], books))) == 1
    for row in books["orders"]:
        row["clientOrderId"] = "adl_autoclose"
    assert list(laws._nothing_twice([], books)) == []


@pytest.mark.parametrize("status", ["NEW", "PARTIALLY_FILLED"])
def test_an_order_left_at_the_exchange_is_found(books: Books, status: str) -> None:
    books["orders"][0]["status"] = status
    assert len(list(laws._nothing_open(books))) == 1


def test_a_guard_left_waiting_at_the_exchange_is_found(books: Books) -> None:
    books["algoOrders"][0]["algoStatus"] = "NEW"
    (sentence,) = laws._nothing_open(books)
    assert "a1-0-2-2" in sentence


def test_an_order_above_the_limit_is_found_unless_it_is_not_ours(books: Books) -> None:
    books["orders"][0]["origQty"] = "2.7"
    assert len(list(laws._orders_within_limits(books))) == 1
    books["orders"][0]["clientOrderId"] = "web_9"
    assert list(laws._orders_within_limits(books)) == []


def test_a_position_above_the_limit_is_found_unless_a_hand_made_it(books: Books) -> None:
    books["trades"] *= 5
    assert len(list(laws._positions_within_limits(stage_of(), books))) == 1
    assert list(laws._positions_within_limits(stage_of("position_by_hand"), books)) == []


def test_an_end_that_is_no_good_end_is_found() -> None:
    life = SimpleNamespace(summary=dict, said=lambda: "killed")
    found = list(laws._ended_well(stage_of(life=life), 1))
    assert [sentence.split(",")[0] for sentence in found] == [
        "the last stop ended with 1",
        "the last engine ended without a summary: killed",
    ]


def test_a_process_that_is_left_is_found(tmp_path: Path) -> None:
    life = SimpleNamespace(pids={"brain": os.getpid()})
    stage = stage_of(lives=[life], name=f"no-such-engine-{tmp_path.name}")
    assert list(laws._nothing_left(stage)) == [f"brain of a life is left as process {os.getpid()}"]


def test_a_run_is_judged_by_every_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """A law that nobody asks after finds nothing, whatever its own test says."""
    names = [
        name
        for name, law in vars(laws).items()
        if inspect.isgeneratorfunction(law) and law.__module__ == laws.__name__
    ]
    for name in names:
        monkeypatch.setattr(laws, name, lambda *_, name=name: iter([name]))
    venue = SimpleNamespace(ledger=dict, sent=list)
    found = laws.broken_laws(stage_of(venue=venue, home=Path()), 0)
    assert sorted(found) == sorted(names)
    assert len(names) == LAWS


def test_a_run_without_a_journal_is_found(tmp_path: Path, books: Books) -> None:
    assert list(laws._books_agree(tmp_path, books)) == ["no journal was written"]


def test_a_journal_that_was_changed_or_has_no_document_is_found(tmp_path: Path) -> None:
    state = tmp_path / "state" / "practice-practice-paper"
    directory = write_session(state, decision(), decision(), session_id="s1")
    assert list(laws._journals_intact(tmp_path)) == []
    (state / "journal" / "s2").mkdir()
    (state / "journal" / "s2" / "session.json.part").write_bytes(b"")
    assert list(laws._journals_intact(tmp_path)) == [], "a full disk, before the first record"

    document = (directory / "session.json").read_bytes()
    (directory / "session.json").unlink()
    (sentence,) = laws._journals_intact(tmp_path)
    assert "journal s1: no session document" in sentence
    (directory / "session.json").write_bytes(document)
    writer = open_events(directory)  # behind the first segment, which is no torn tail then
    writer.append(writer.next_sequence, as_bytes(event_records(decision(), first_sequence=2)))
    writer.close(is_end=False)
    first = min(directory.glob("*.segment"))
    raw = bytearray(first.read_bytes())
    raw[len(raw) // 2] ^= 1
    first.write_bytes(raw)
    (sentence,) = laws._journals_intact(tmp_path)
    assert "journal s1" in sentence
