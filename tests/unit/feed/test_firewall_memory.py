"""Laws of the feed's layer against what was said before: spikes, standstill, bars that shrink."""

from __future__ import annotations

import pytest

from engine.domain.codes import BAR_FINAL, Channel, Liveness, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.venues.binance.market import SPIKE_FLOOR_BPS
from native_ext import _feed
from tests.feed_rig import MS, FeedRig, Frames, S

R = FirewallReason
FROZEN_QUOTES = 32
MINUTE_MS = 60_000


def walked(step_ticks: int, *, moves: int = 200, spike_sigmas: int = 50) -> tuple[FeedRig, Frames]:
    """Return a rig that saw a mid go up and down by so many ticks of 0.1, every 50 ms."""
    rig, frames = FeedRig(spike_sigmas=spike_sigmas), Frames()
    for move in range(moves):
        rig.now_ns += 50 * MS
        frames.mid = 61_800.0 + (move % 2) * step_ticks / 10
        assert rig.decode(frames.trade(rig.venue_ms)) == 0
    frames.mid = 61_800.0
    return rig, frames


def moved(rig: FeedRig, frames: Frames, bps: float) -> int:
    """Decode a trade that lies so far above 61,800."""
    rig.now_ns += 50 * MS
    return rig.decode(frames.trade(rig.venue_ms, p=f"{61_800 * (1 + bps / 10_000):.1f}"))


def test_a_move_below_the_floor_is_never_a_spike() -> None:
    rig, frames = walked(1)
    assert moved(rig, frames, SPIKE_FLOOR_BPS - 1) == 0


def test_a_move_far_beyond_the_streams_own_is_a_spike() -> None:
    rig, frames = walked(1)
    assert moved(rig, frames, 60.0) == R.PRICE_SPIKE
    assert moved(rig, frames, 0.0) == 0, "its neighbour is taken"


def test_the_bound_follows_the_market() -> None:
    wild, frames = walked(200)  # 3.2 bps a move: fifty of them are 160
    assert moved(wild, frames, 120.0) == 0
    assert moved(wild, frames, 900.0) == R.PRICE_SPIKE


def test_a_young_stream_is_not_judged_and_no_sigmas_means_no_law() -> None:
    young, frames = walked(1, moves=20)
    assert moved(young, frames, 90.0) == 0
    lawless, frames = walked(1, spike_sigmas=0)
    assert moved(lawless, frames, 90.0) == 0
    assert moved(lawless, frames, 2_000.0) == R.PRICE_JUMP, "the fixed bound stays"


def test_a_market_that_jumps_to_another_level_is_believed_after_a_run() -> None:
    rig, frames = walked(1)
    results = [moved(rig, frames, 300.0) for _ in range(_feed.RUN_TO_ACCEPT + 2)]
    refused = [result for result in results if result]
    assert refused == [R.PRICE_SPIKE] * len(refused)
    assert 0 < len(refused) < _feed.RUN_TO_ACCEPT
    assert results[-1] == 0


def test_refused_spikes_that_do_not_agree_widen_the_bound_too() -> None:
    rig, frames = walked(1)
    results = [moved(rig, frames, 300.0 if attempt % 2 else -300.0) for attempt in range(20)]
    assert results[0] == R.PRICE_SPIKE
    assert 0 in results, "no market is refused for ever"
    assert results.index(0) <= 14


def test_a_spike_is_no_reference_for_the_next() -> None:
    rig, frames = walked(1)
    assert moved(rig, frames, 80.0) == R.PRICE_SPIKE
    assert moved(rig, frames, 0.5) == 0
    assert rig.rejects() == {R.PRICE_SPIKE: 1}


def test_after_a_minute_of_silence_or_a_reconnect_nothing_is_a_spike() -> None:
    rig, frames = walked(1)
    rig.now_ns += 61 * S
    assert moved(rig, frames, 90.0) == 0
    other, frames = walked(1)
    other.core.disconnected(0, Channel.TRADE, other.now_ns)
    assert moved(other, frames, 90.0) == 0


def repeat_quotes(rig: FeedRig, frames: Frames, count: int, every_ms: int) -> list[int]:
    results = []
    for _ in range(count):
        rig.now_ns += every_ms * MS
        results.append(rig.decode(frames.book_ticker(rig.venue_ms)))
    return results


def test_a_quote_that_stands_still_while_its_ids_go_on_is_frozen_and_then_stale() -> None:
    rig, frames = FeedRig(), Frames()
    results = repeat_quotes(rig, frames, 100, 100)
    first = results.index(R.QUOTE_FROZEN)
    assert first == FROZEN_QUOTES
    assert set(results[first:]) == {R.QUOTE_FROZEN}
    rig.core.check_liveness(rig.now_ns)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.STALE, "which blocks entries"
    assert rig.decode(frames.book_ticker(rig.venue_ms, B="9.000")) == 0
    assert rig.liveness(0, Channel.QUOTE) is Liveness.LIVE
    assert repeat_quotes(rig, frames, FROZEN_QUOTES, 100) == [0] * FROZEN_QUOTES


def test_many_equal_quotes_in_a_short_time_are_not_frozen() -> None:
    rig, frames = FeedRig(), Frames()
    assert repeat_quotes(rig, frames, 1_900, 1) == [0] * 1_900


def test_one_change_of_quantity_is_life() -> None:
    rig, frames = FeedRig(), Frames()
    for step in range(100):
        rig.now_ns += 100 * MS
        changed = f"{1 + step // 20}.000"
        assert rig.decode(frames.book_ticker(rig.venue_ms, A=changed)) == 0


def test_a_flood_of_one_old_quote_is_a_duplicate_and_leaves_the_live_ones_alone() -> None:
    rig, frames = FeedRig(), Frames()
    old = frames.book_ticker(rig.venue_ms)
    assert rig.decode(old) == 0
    for step in range(100):
        rig.now_ns += 50 * MS
        assert rig.decode(frames.book_ticker(rig.venue_ms, B=f"1.{step:03d}")) == 0
        assert rig.decode(old) == R.ID_OUT_OF_ORDER


def bar(rig: FeedRig, frames: Frames, **changed: object) -> int:
    return rig.decode(frames.kline(rig.venue_ms, None, **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"o": "61801.00"},
        {"h": "61815.00"},
        {"l": "61795.00"},
        {"v": "99.999"},
        {"n": 99},
    ],
    ids=["another open", "a lower high", "a higher low", "less volume", "fewer trades"],
)
def test_a_bar_may_only_grow(changed: dict[str, object]) -> None:
    rig, frames = FeedRig(), Frames()
    assert bar(rig, frames) == 0
    assert bar(rig, frames, **changed) == R.BAR_HISTORY
    assert bar(rig, frames, h="61830.00", l="61700.00", v="100.001", n=101, c="61700.00") == 0


def test_a_final_bar_is_over() -> None:
    rig, frames = FeedRig(), Frames()
    assert bar(rig, frames, x=True) == 0
    assert bar(rig, frames, x=True) == 0, "said twice, it is the same bar"
    assert bar(rig, frames, v="101.000", n=101) == R.BAR_HISTORY
    assert bar(rig, frames, v="101.000", n=101, x=True) == R.BAR_HISTORY


def test_bars_do_not_go_back_but_for_the_end_of_the_one_before() -> None:
    rig, frames = FeedRig(), Frames()
    minute = rig.venue_ms // MINUTE_MS * MINUTE_MS
    assert bar(rig, frames) == 0

    def of(start_ms: int, *, is_final: bool) -> int:
        return bar(rig, frames, t=start_ms, T=start_ms + MINUTE_MS - 1, x=is_final)

    assert of(minute - MINUTE_MS, is_final=False) == R.BAR_HISTORY
    assert of(minute - 2 * MINUTE_MS, is_final=True) in {R.BAR_TIME, R.BAR_HISTORY}
    rig.records()
    assert of(minute - MINUTE_MS, is_final=True) == 0
    (late,) = rig.records(RecordType.BAR)
    assert late["flags"] & BAR_FINAL
    assert bar(rig, frames, v="100.001", n=101) == 0, "and the open one goes on"


def test_a_poisoned_bar_blinds_for_one_run_only() -> None:
    rig, frames = FeedRig(), Frames()
    assert bar(rig, frames, v="9000000.000", n=9_000) == 0
    results = [bar(rig, frames) for _ in range(_feed.RUN_TO_ACCEPT)]
    assert results == [R.BAR_HISTORY] * (_feed.RUN_TO_ACCEPT - 1) + [0]


def test_bars_of_another_interval_are_another_history() -> None:
    rig, frames = FeedRig(), Frames()
    assert bar(rig, frames) == 0
    start = rig.venue_ms // 300_000 * 300_000
    wider = frames.kline(rig.venue_ms, t=start, T=start + 299_999, i="5m", v="1.000", n=1)
    wider["stream"] = "btcusdt@kline_5m"
    assert rig.decode(wider) == 0
