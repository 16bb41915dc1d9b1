"""Whether a resume has the account fetched: not where the venue has just shown it to be ours."""

import pytest

from engine.domain.codes import EventType
from engine.domain.fetch import AGREED_NS_MAX, BUSY_ROUNDS_MAX, NOT_QUIET
from engine.domain.words import FetchState, Tally, Word
from tests.desk_rig import DeskRig, S

T = EventType
NEW_S = AGREED_NS_MAX / S


@pytest.fixture
def rig() -> DeskRig:
    rig = DeskRig()
    rig.connect()
    return rig


def compare(rig: DeskRig, **told: object) -> None:
    """Fetch the account and hear what the venue says of it."""
    rig.control(T.CONTROL_RECONCILE)
    assert rig.word(Word.FETCH_STATE) == FetchState.ASKED
    rig.fetch(**told)  # type: ignore[arg-type]


def asked_by_resume(rig: DeskRig) -> int:
    """Return how many fetches a resume asked for, at once or a moment later."""
    before = rig.tally(Tally.FETCHES)
    rig.control(T.CONTROL_RESUME)
    rig.wait(0.01)
    return rig.tally(Tally.FETCHES) - before


def test_a_resume_right_after_a_comparison_asks_for_none(rig: DeskRig) -> None:
    rig.control(T.CONTROL_HALT)
    compare(rig)
    rig.wait(NEW_S - 1)
    assert asked_by_resume(rig) == 0
    rig.order(1, 1)


def test_a_comparison_that_is_old_is_made_anew(rig: DeskRig) -> None:
    compare(rig)
    rig.wait(NEW_S)
    assert asked_by_resume(rig) == 1


def test_a_venue_that_differs_is_asked_again_at_once(rig: DeskRig) -> None:
    compare(rig)
    compare(rig, positions={0: (5, 0)})
    assert asked_by_resume(rig) == 1


def test_books_that_were_just_adjusted_are_compared_once_more(rig: DeskRig) -> None:
    compare(rig)
    for _ in range(2):
        compare(rig, positions={0: (5, 0)})
    assert rig.tally(Tally.ADJUSTMENTS) > 0
    assert rig.word(Word.SYNCED) == 1
    assert asked_by_resume(rig) == 1


def test_a_comparison_that_was_put_off_is_none(rig: DeskRig) -> None:
    """The account moved in each of its turns: the interval is awaited, but nothing was compared."""
    compare(rig)
    rig.wait(NEW_S)
    rig.control(T.CONTROL_RECONCILE)
    while rig.word(Word.FETCH_STATE) == FetchState.ASKED:
        rig.report(T.FETCH_FAILED, reason=NOT_QUIET)
        rig.wait(5)
    assert rig.tally(Tally.FETCHES) == 2 + BUSY_ROUNDS_MAX
    assert asked_by_resume(rig) == 1


@pytest.mark.parametrize("failed", [1, 3])
def test_a_fetch_that_failed_since_is_made_good(rig: DeskRig, failed: int) -> None:
    compare(rig)
    rig.control(T.CONTROL_RECONCILE)
    for _ in range(failed):
        rig.report(T.FETCH_FAILED)
        rig.control(T.CONTROL_RECONCILE)
    rig.report(T.FETCH_FAILED)
    assert asked_by_resume(rig) == 1


def test_a_fetch_under_way_is_followed_by_another(rig: DeskRig) -> None:
    compare(rig)
    rig.control(T.CONTROL_RECONCILE)
    assert asked_by_resume(rig) == 0
    rig.fetch()
    rig.wait(0.01)
    assert rig.word(Word.FETCH_STATE) == FetchState.ASKED


def test_a_connection_that_was_lost_since_is_compared_when_it_is_back(rig: DeskRig) -> None:
    compare(rig)
    rig.report(T.VENUE_DISCONNECTED)
    assert asked_by_resume(rig) == 0, "there is nobody to ask"
    rig.report(T.VENUE_CONNECTED)
    assert rig.word(Word.FETCH_STATE) == FetchState.ASKED
    assert asked_by_resume(rig) == 0
    rig.fetch()
    rig.wait(0.01)
    assert rig.word(Word.FETCH_STATE) == FetchState.ASKED, "the resume came before its answer"
