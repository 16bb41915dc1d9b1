"""Which journals are played for a record, through which rows, since when, and what is summed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.domain.strategy_table import StrategyError, StrategyKind, StrategyRow
from engine.processes import onboard_played, onboard_record
from engine.processes.onboard_played import RecordAsked, played
from engine.processes.onboard_record import records
from engine.processes.onboard_rules import SessionRecord
from engine.processes.strategy_shadow import ShadowRun, shadow_row, shadow_run
from tests.store_builders import write_session

START_NS = 1_700_000_000_000_000_000
ROW = {"exits": 2, "entries": 3, "traded": 500.0, "net": 1.5, "peak": 2.0, "fall": 0.5}
ROWS = (
    StrategyRow(name="orderflow", kind=StrategyKind.ORDERFLOW),
    StrategyRow(name="maker", kind=StrategyKind.MAKING),
    StrategyRow(name="hand", kind=StrategyKind.OUTSIDE),
)


class Player:
    """Remembers what was played; a session has no market where a test says so."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[str], str, int]] = []
        self.empty: set[str] = set()

    def __call__(
        self,
        directory: Path,
        rows: Sequence[StrategyRow],
        _fee_bps: float,
        *,
        symbol: str,
        since_ns: int,
    ) -> ShadowRun:
        self.told.append((directory.name, [row.name for row in rows], symbol, since_ns))
        if directory.name in self.empty:
            raise LookupError("no market record was journaled")
        return ShadowRun(directory.name, 1, 0, 5.0, [dict(ROW) for _ in rows])


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Player:
    made = Player()
    monkeypatch.setattr(onboard_record, "shadow_run", made)
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return an account of four sessions an hour apart; the third keeps no market."""
    for k, market in enumerate(("all", "all", "off", "all")):
        write_session(
            tmp_path,
            session_id=f"s{k}",
            epoch=k + 1,
            started_realtime_ns=START_NS + k * 3_600 * 10**9,
            market_journal=market,
            strategies=ROWS,
        )
    return tmp_path


def asked(state: Path, **words: Any) -> RecordAsked:  # noqa: ANN401  fields of the question
    given: dict[str, Any] = {
        "state_dir": str(state),
        "session_id": "s3",
        "home": "",
        "name": "orderflow",
        "is_symbol": False,
        "since_ns": START_NS,
    }
    return RecordAsked(**(given | words))


def test_every_session_that_was_not_over_is_played_but_those_that_are_known(
    state: Path, player: Player
) -> None:
    found = records(asked(state))
    assert list(found) == ["s0", "s1", "s3"]
    assert player.told[0] == ("s0", ["orderflow"], "", START_NS)
    assert found["s3"] == SessionRecord(
        trades=2, fills=5, traded=500.0, net=1.5, peak=2.0, fall=0.5
    )
    assert list(records(asked(state, known=("s0",)))) == ["s1", "s3"]
    later = START_NS + 3_600 * 10**9
    assert list(records(asked(state, since_ns=later))) == ["s1", "s3"]
    assert list(records(asked(state, since_ns=later + 1))) == ["s1", "s3"]
    assert list(records(asked(state, since_ns=START_NS + 10**18))) == ["s3"], "this run's always"


def test_a_symbol_is_played_through_every_strategy_that_can_be(state: Path, player: Player) -> None:
    found = records(asked(state, name="BTCUSDT", is_symbol=True))
    assert player.told[0] == ("s0", ["orderflow"], "BTCUSDT", START_NS)
    assert found["s0"].trades == 2


def test_a_session_without_market_is_left_out_and_this_run_s_is_waited_for(
    state: Path, player: Player
) -> None:
    player.empty = {"s0"}
    assert list(records(asked(state))) == ["s1", "s3"]
    player.empty = {"s3"}
    with pytest.raises(LookupError, match="no market record"):
        records(asked(state))


def test_a_strategy_that_left_the_table_has_no_record(state: Path, player: Player) -> None:
    with pytest.raises(StrategyError):
        records(asked(state, name="nobody"))
    assert player.told == []


def test_an_instrument_a_session_did_not_have_is_not_played(state: Path) -> None:
    with pytest.raises(LookupError, match="had no instrument 'DOGEUSDT'"):
        shadow_run(state / "journal" / "s0", ROWS[:1], 5.0, symbol="DOGEUSDT")


def test_a_shadow_row_has_what_a_record_needs() -> None:
    names = ("exit_count", "entry_count", "win_count", "traded_e8", "gross_e8", "fee_e8")
    record = dict.fromkeys((*names, "held_ns", "peak_e8", "fall_e8"), 10**8)
    assert set(ROW) <= set(shadow_row("orderflow", record, 0))


@pytest.mark.parametrize(
    ("status", "said", "found"),
    [
        (200, msgspec.json.encode({"s": SessionRecord(trades=1)}), ({"s": 1}, "")),
        (404, b"aegis: no market", ({}, "no market")),
        (503, b"not done: TimeoutExpired", ({}, "not done: TimeoutExpired")),
    ],
)
def test_what_came_of_it_is_records_or_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    state: Path,
    status: int,
    said: bytes,
    found: tuple[dict[str, int], str],
) -> None:
    monkeypatch.setattr(onboard_played, "run_beside", lambda *_, **__: (status, said))
    told, failure = played(asked(state))
    assert ({name: row.trades for name, row in told.items()}, failure) == found
