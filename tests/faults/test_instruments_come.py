"""An instrument comes in, changes and goes under a whole engine; the session runs again."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import EventType, Liveness, RecordType
from engine.domain.instrument_row import FILTER_OFFSETS, InstrumentFlag
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET
from engine.store.reader import read_records
from engine.store.session import read_document
from tests.engine_process import aegis, attached, entry_states, wait_for
from tests.exchange_process import PracticeExchange

pytestmark = pytest.mark.slow  # a whole engine

REPLAY_S = 300.0


class Session:
    """An engine of two instruments that was given a third, and one less, before it ended."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.exchange = PracticeExchange("--generate", "3", "--seed", "5")
        self.symbols = self.listed()
        self.exchange.fault("symbol_status", symbol=self.symbols[2], status="PENDING_TRADING")
        self.engine = attached(home, self.exchange.url, "listing_refresh_s = 1\n")
        assert self.shown() == self.symbols[:2]
        self.exchange.fault("clear")
        wait_for("the third, live", lambda: self.states(2) == {"LIVE"})
        self.exchange.fault("filter_change", symbol=self.symbols[2], min_notional="7")
        self.exchange.fault(
            "symbol_status", symbol=self.symbols[0], status="SETTLING", streams=True
        )
        wait_for("the first, closed", lambda: "INVALID" in self.states(0))
        self.wait_decisions(2)
        self.code, _, _ = self.engine.terminate()
        self.journal = self.engine.journal()

    def listed(self) -> list[str]:
        with urllib.request.urlopen(f"{self.exchange.url}/fapi/v1/exchangeInfo", timeout=10) as got:
            return [row["symbol"] for row in json.load(got)["symbols"]]

    def shown(self) -> list[object]:
        return [row["symbol"] for row in self.engine.instruments()]

    def states(self, index: int) -> set[str]:
        """Return the liveness of what an entry needs; nothing for one that is not there yet."""
        return set().union(*map(entry_states, self.engine.instruments()[index : index + 1]))

    def wait_decisions(self, index: int) -> None:
        """Wait until the brain has decided something about an instrument."""

        def decided() -> bool:
            found = list((self.home / "state").glob("*/journal/*"))
            return bool(found) and len(self.decisions(found[0], index)) > 0

        wait_for("a decision about it", decided)

    @staticmethod
    def decisions(journal: Path, index: int) -> np.ndarray:
        events = read_records(journal, SOURCE_EVENTS_BRAIN)
        kind = events["event_type"] == EventType.SIGNAL_GENERATED
        return events[kind & (events["instrument_index"] == index)]

    def market(self, index: int, kind: RecordType) -> np.ndarray:
        records = read_records(self.journal, SOURCE_MARKET)
        return records[(records["instrument_index"] == index) & (records["record_type"] == kind)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("come"))
    yield made
    made.engine.kill()
    made.exchange.stop()


def test_it_is_known_traded_and_named(session: Session) -> None:
    assert session.code == 0
    named = [row.symbol for row in read_document(session.journal).instruments]
    assert named == session.symbols
    assert len(session.decisions(session.journal, 2)) > 0


def test_the_others_lost_nothing_by_it(session: Session) -> None:
    trades = session.market(1, RecordType.TRADE)
    assert (np.diff(trades["trade_id"]) == 1).all()
    assert len(session.market(1, RecordType.GAP)) == 0
    assert Liveness.CONNECTING not in session.market(1, RecordType.LIVENESS)["liveness"][6:]


def test_its_bound_and_the_others_closing_are_in_the_journal(session: Session) -> None:
    bounds, closed = (
        rows[rows["aux"] != FILTER_OFFSETS["open_interest_lots"]]
        for rows in (session.market(2, RecordType.FILTER), session.market(0, RecordType.FILTER))
    )
    assert bounds["aux"].tolist() == [FILTER_OFFSETS["min_notional_e8"]]
    assert closed["aux"].tolist() == [FILTER_OFFSETS["flags"]]
    assert not closed["filter_number"][0] & InstrumentFlag.TRADING


def test_the_session_decides_the_same_when_it_is_run_again(session: Session) -> None:
    done = aegis(session.home, "replay", str(session.journal), limit_s=REPLAY_S)
    assert done.returncode == 0, done.stdout + done.stderr
