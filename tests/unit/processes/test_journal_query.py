"""Questions to a journal: the vectors a plain reader would pick, and what an order cost."""

from __future__ import annotations

import json
import math
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config import Config
from engine.processes import beside, journal_page
from engine.processes.feature_files import FeatureStoreError
from engine.processes.journal_page import CostsAsked, FeaturesAsked, JournalPage
from engine.processes.journal_query import NoAnswerError, costs, features
from engine.store.order_costs import session_costs
from tests.engine_process import DEADLINE_S
from tests.store_builders import as_bytes, open_features, write_session
from tests.store_events import fill, request
from tests.vector_builders import PLAN, random_vectors

SESSION = "20260101T000000-1"
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def journal_of(state: Path, vectors: np.ndarray, segment_bytes: int = 1 << 26) -> Path:
    directory = write_session(state, session_id=SESSION)
    writer = open_features(directory, segment_bytes=segment_bytes)
    for first in range(0, len(vectors), 37):
        writer.append(first, as_bytes(vectors[first : first + 37]))
    writer.close(is_end=False)
    return directory


def asked(directory: Path, index: int = 0, **words: Any) -> FeaturesAsked:  # noqa: ANN401
    known: dict[str, Any] = {"timeframe_s": 60, "names": (), "after": -1, "limit": 0}
    return FeaturesAsked(directory=str(directory), symbol=SYMBOLS[index], **(known | words))


def picked(vectors: np.ndarray, index: int, timeframe_s: int) -> list[int]:
    own = (vectors["instrument_index"] == index) & (vectors["timeframe_s"] == timeframe_s)
    return [int(sequence) for sequence in vectors["sequence"][own]]


@pytest.mark.parametrize("segment_bytes", [1 << 26, 1 << 18])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("timeframe_s", [1, 60])
def test_the_newest_vector_is_the_last_one_of_its_kind(
    tmp_path: Path, segment_bytes: int, index: int, timeframe_s: int
) -> None:
    vectors = random_vectors(400, 3)
    directory = journal_of(tmp_path, vectors, segment_bytes)
    found = features(asked(directory, index, timeframe_s=timeframe_s), PLAN)
    (row,) = found["rows"]
    assert row["sequence"] == found["after"] == picked(vectors, index, timeframe_s)[-1]
    assert found["plan"] == PLAN.plan_hash
    vector = vectors[row["sequence"] - 1]
    assert row["close_ticks"] == vector["close_ticks"]
    for place, name in enumerate(PLAN.names):
        value, expected = row["values"][name], float(vector["values"][place])
        assert value == expected or (math.isnan(value) and math.isnan(expected))


@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_pages_one_after_the_other_are_all_there_is_once(tmp_path: Path, limit: int) -> None:
    vectors = random_vectors(300, 4)
    directory = journal_of(tmp_path, vectors, 1 << 18)
    seen: list[int] = []
    after = -1
    while True:
        page = features(asked(directory, 1, after=after, limit=limit), PLAN)
        if not page["rows"]:
            break
        assert len(page["rows"]) <= limit
        seen += [row["sequence"] for row in page["rows"]]
        after = page["after"]
    assert seen == picked(vectors, 1, 60)
    assert page["after"] == after


def test_only_the_columns_that_are_named_are_told(tmp_path: Path) -> None:
    directory = journal_of(tmp_path, random_vectors(60, 1))
    (row,) = features(asked(directory, names=(PLAN.names[2],)), PLAN)["rows"]
    assert list(row["values"]) == [PLAN.names[2]]
    with pytest.raises(NoAnswerError, match=r"'trend\.none'"):
        features(asked(directory, names=("trend.none",)), PLAN)


def test_what_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    directory = journal_of(tmp_path, random_vectors(60, 1))
    nobody = FeaturesAsked(directory=str(directory), symbol="NOSUCH", timeframe_s=60)
    with pytest.raises(NoAnswerError, match="NOSUCH"):
        features(nobody, PLAN)
    with pytest.raises(NoAnswerError, match="300 s yet"):
        features(asked(directory, timeframe_s=300), PLAN)
    assert features(asked(directory, timeframe_s=300, limit=5), PLAN)["rows"] == []


def test_another_plan_s_vectors_get_no_names(tmp_path: Path) -> None:
    vectors = random_vectors(60, 1)
    vectors["plan"] = 7
    directory = journal_of(tmp_path, vectors)
    with pytest.raises(FeatureStoreError, match="another plan"):
        features(asked(directory), PLAN)


def test_an_order_s_cost_is_told_and_one_without_a_fill_has_none(tmp_path: Path) -> None:
    at_ns = 5_000_000_000
    arrived = {"decision_time_ns": at_ns, "mid_half_ticks": 1_998}
    directory = write_session(
        tmp_path,
        request(1, **arrived),
        request(2, **arrived),
        request(3, **arrived),
        fill(1, 11, 5, time_ns=at_ns + 1),  # at 1,000 ticks, the mid was 999
        fill(2, 12, 5, time_ns=at_ns + 1, last_price_ticks=1_100),
    )
    whole = {order.client_order_id: spent for order, spent in session_costs(directory).orders}
    assert len(whole) == 2
    for name, spent in whole.items():
        found = costs(CostsAsked(directory=str(directory), client_order_id=name))
        assert (found["order"], found["arrival"]) == (name, spent.arrival_bps)
        assert f"against arrival {spent.arrival_bps:+.2f} bps" in found["text"]
    for nothing in ("no-such", _third(next(iter(whole)))):
        with pytest.raises(NoAnswerError, match="with a fill"):
            costs(CostsAsked(directory=str(directory), client_order_id=nothing))


def _third(name: str) -> str:
    epoch, strategy, _, cause = name.split("-")
    return f"{epoch}-{strategy}-3-{cause}"


@pytest.fixture
def page(tmp_path: Path) -> JournalPage:
    return JournalPage(Config(home=str(tmp_path), session_id=SESSION))


def test_a_question_is_answered_beside_the_engine(
    tmp_path: Path, page: JournalPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, in a process of its own: the journal is of another plan, which it says."""
    # Whatever else runs here: at the lowest priority a busy machine may not come to it in time.
    monkeypatch.setattr(beside, "NICENESS", 0)
    answered = partial(beside.run_beside, deadline_s=DEADLINE_S)
    monkeypatch.setattr(journal_page, "run_beside", answered)
    journal_of(Path(Config(home=str(tmp_path)).state_dir), random_vectors(40, 1))
    status, found = page.features("BTCUSDT", 60, "", "", -1, 0)
    assert status == 404
    assert "another plan" in found["error"]
    status, found = page.features("BTCUSDT", 60, "", "no-session", -1, 5)
    assert (status, "no-session" in found["error"]) == (404, True)


def test_what_is_asked_reaches_the_query_whole(
    page: JournalPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, object]] = []

    def answer(_module: str, words: str) -> tuple[int, bytes]:
        told.append(json.loads(words))
        return 200, b'{"rows": []}'

    monkeypatch.setattr(journal_page, "run_beside", answer)
    assert page.features("X", 5, " a ,b,", "s-1", 4, 9) == (200, {"rows": []})
    assert page.costs("a1") == (200, {"rows": []})
    assert (told[0]["names"], told[0]["after"], told[0]["limit"]) == (["a", "b"], 4, 9)
    assert str(told[0]["directory"]).endswith("journal/s-1")
    assert (told[1]["type"], told[1]["client_order_id"]) == ("costs", "a1")


def test_a_second_question_of_a_kind_is_told_to_come_again(
    page: JournalPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, gate = threading.Event(), threading.Event()

    def slow(_module: str, _words: str) -> tuple[int, bytes]:
        began.set()
        gate.wait(20)
        return 404, b"aegis: nothing"

    monkeypatch.setattr(journal_page, "run_beside", slow)
    first = threading.Thread(target=page.costs, args=("a1",))
    first.start()
    assert began.wait(20)
    assert page.costs("a2")[0] == 503
    gate.set()
    first.join()
    assert page.costs("a2") == (404, {"error": "nothing"})
