"""The orchestrator's word is the most severe reason that holds, and latched ones wait."""

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import TradingState
from engine.processes.guard import LATCHED, SEVERITY, GuardReason, TradingGuard

REASONS = st.sampled_from(sorted(SEVERITY))


def build() -> tuple[TradingGuard, list[tuple[TradingState, int]]]:
    written: list[tuple[TradingState, int]] = []
    return TradingGuard(lambda state, reason: written.append((state, reason))), written


def test_a_refused_append_halts_until_resumed_and_repaired() -> None:
    guard, written = build()

    assert guard.hold(GuardReason.JOURNAL_UNWRITABLE)
    assert not guard.hold(GuardReason.JOURNAL_UNWRITABLE)
    guard.resume()
    assert guard.state == TradingState.HALTED, "the cause is still there"
    guard.release(GuardReason.JOURNAL_UNWRITABLE)
    assert guard.state == TradingState.HALTED, "nobody resumed since"
    guard.resume()

    assert written == [
        (TradingState.HALTED, GuardReason.JOURNAL_UNWRITABLE),
        (TradingState.ENABLED, GuardReason.NONE),
    ]


def test_a_full_disk_pauses_and_lets_go_by_itself() -> None:
    guard, _ = build()

    guard.hold(GuardReason.DISK_SPACE)
    assert guard.state == TradingState.PAUSED
    guard.release(GuardReason.DISK_SPACE)

    assert (guard.state, guard.reason) == (TradingState.ENABLED, GuardReason.NONE)


def test_the_lesser_reason_shows_when_the_greater_goes() -> None:
    guard, _ = build()
    guard.hold(GuardReason.MEMORY)
    guard.hold(GuardReason.RECORDER_EVICTED)
    assert guard.state == TradingState.HALTED

    guard.release(GuardReason.RECORDER_EVICTED)
    guard.resume()

    assert (guard.state, guard.reason) == (TradingState.PAUSED, GuardReason.MEMORY)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["hold", "release", "resume"]), REASONS), max_size=30)
)
def test_the_word_is_always_the_fold_of_what_holds(steps: list[tuple[str, GuardReason]]) -> None:
    guard, _ = build()
    present: set[GuardReason] = set()
    latched: set[GuardReason] = set()
    for action, reason in steps:
        if action == "hold":
            guard.hold(reason)
            present.add(reason)
            latched |= {reason} & LATCHED
        elif action == "release":
            guard.release(reason)
            present.discard(reason)
        else:
            guard.resume()
            latched &= present
        expected = max((SEVERITY[held] for held in present | latched), default=0)
        assert guard.state == expected
