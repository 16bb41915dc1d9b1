"""A loss is open until everything is back, counted once, and reported with what it cost."""

from __future__ import annotations

from typing import Any

from engine.domain.codes import Channel, Liveness
from engine.processes import feed_incidents
from engine.processes.feed_incidents import OPEN_MAX, OPEN_NS_MAX, Incidents
from tests.feed_rig import MS, FeedRig, Frames, S

QUOTE = (0, Channel.QUOTE)


def live_quotes() -> tuple[FeedRig, Frames, Incidents, list[dict[str, Any]]]:
    rig, frames = FeedRig(), Frames()
    rig.core.subscribed(*QUOTE, rig.now_ns)
    rig.decode(frames.book_ticker(rig.venue_ms))
    said: list[dict[str, Any]] = []
    return rig, frames, Incidents(rig.core, said.append), said


def test_a_loss_lasts_until_what_was_live_is_live_again() -> None:
    rig, frames, incidents, said = live_quotes()
    incidents.open("public-0", "down", "cut", incidents.until_live([QUOTE]), rig.now_ns)
    rig.core.disconnected(*QUOTE, rig.now_ns)
    incidents.follow(rig.now_ns + 100 * MS)
    assert (incidents.open_count, said) == (1, [])
    rig.now_ns += 400 * MS
    rig.decode(frames.book_ticker(rig.venue_ms))
    incidents.follow(rig.now_ns)
    (row,) = said
    assert (row["state"], row["lasted_ms"], row["reason"]) == ("recovered", 400.0, "cut")
    assert row["gaps"] == 1, "quotes after a reconnect follow a hole of unknown size"
    assert (row["trades_lost"], row["trades_healed"]) == (0, 0)
    assert (incidents.recovered_ms_last, incidents.open_count) == (400, 0)


def test_what_was_not_live_before_need_not_be_afterwards() -> None:
    rig, _, incidents, said = live_quotes()
    other = (1, Channel.QUOTE)
    assert rig.liveness(*other) is Liveness.CONNECTING
    incidents.open("public-0", "down", "cut", incidents.until_live([QUOTE, other]), rig.now_ns)
    incidents.follow(rig.now_ns)
    assert len(said) == 1


def test_a_hole_in_trade_ids_keeps_it_open_and_its_end_is_in_the_report() -> None:
    rig, frames, incidents, said = live_quotes()
    rig.core.set_healing(S)
    rig.decode(frames.agg_trade(rig.venue_ms))
    first = frames.trade_id
    incidents.open("market-1", "down", "cut", lambda: True, rig.now_ns)
    rig.decode(frames.agg_trade(rig.venue_ms, a=first + 3))
    incidents.follow(rig.now_ns)
    assert said == []
    rig.decode(frames.agg_trade(rig.venue_ms, a=first + 1))
    rig.core.give_up(0, rig.now_ns)
    incidents.follow(rig.now_ns)
    assert (said[0]["trades_healed"], said[0]["trades_lost"], said[0]["gaps"]) == (1, 1, 1)


def test_one_source_has_one_incident_of_a_name_and_there_is_a_bound() -> None:
    rig, _, incidents, _ = live_quotes()
    for _ in range(3):
        incidents.open("public-0", "down", "cut", lambda: False, rig.now_ns)
    assert (incidents.open_count, incidents.total) == (1, 1)
    for number in range(OPEN_MAX + 5):
        incidents.open(f"public-{number}", "silent", "", lambda: False, rig.now_ns)
    assert incidents.open_count == OPEN_MAX


def test_what_never_comes_back_is_said_to_have_not() -> None:
    rig, _, incidents, said = live_quotes()
    incidents.open("public-0", "down", "cut", lambda: False, rig.now_ns)
    incidents.follow(rig.now_ns + OPEN_NS_MAX + 1)
    assert said[0]["state"] == "not recovered"
    assert incidents.recovered_ms_max == 0


def test_rows_are_the_open_ones_and_the_last_that_are_over() -> None:
    rig, _, incidents, _ = live_quotes()
    for number in range(feed_incidents.KEPT_MAX + 3):
        incidents.open("public-0", f"cut {number}", "", lambda: True, rig.now_ns)
        incidents.follow(rig.now_ns)
    incidents.open("public-0", "late", "", lambda: False, rig.now_ns)
    rows = incidents.rows()
    assert [row["state"] for row in rows] == ["open", *["recovered"] * feed_incidents.KEPT_MAX]
    assert rows[1]["what"] == f"cut {feed_incidents.KEPT_MAX + 2}", "the latest first"
