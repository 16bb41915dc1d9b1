"""One call brings a symbol or a strategy through the gate to live in a running engine, and off."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import RecordType
from engine.store.journal import SOURCE_MARKET
from engine.store.reader import read_records
from engine.store.session import read_document
from tests.engine_process import Engine, aegis, attached, entry_states, fetch, wait_for
from tests.exchange_process import PracticeExchange

pytestmark = pytest.mark.slow  # a whole engine

REPLAY_S = 300.0
CANDIDATE = "quote_imbalance"
# A gate that whatever was traded passes: what is asked here is the way, not the rule.
GATE = """
[onboard]
trades_min = 1
net_bps_min = -1000000
fall_ratio_max = 1000000
look_s = 2
bad_data_s = 60
candidates = ["quote_imbalance"]
"""


def stage_of(engine: Engine, part: str) -> str:
    """Return the stage of a part, as everybody may read it."""
    found = fetch(engine.url, "/v1/onboarding") or {"rows": []}
    rows: dict[str, dict[str, Any]] = {row["part"]: row for row in found["rows"]}
    return str(rows[part]["stage"]) if part in rows else "none"


def roles_of(engine: Engine) -> dict[str, int]:
    """Return the processes of the roles."""
    return {row["name"]: row["pid"] for row in (engine.status() or {"roles": []})["roles"]}


class Session:
    """An engine of one named instrument that was given another one, and lost it again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.exchange = PracticeExchange("--generate", "3", "--seed", "5")
        with urllib.request.urlopen(f"{self.exchange.url}/fapi/v1/exchangeInfo", timeout=10) as got:
            self.symbols = [row["symbol"] for row in json.load(got)["symbols"]]
        named, comes = self.symbols[0], self.symbols[2]
        self.part = f"instrument:{comes}"
        settings = f'instruments = ["{named}"]\nstrategies = ["orderflow"]\n'
        self.engine = attached(home, self.exchange.url, settings + GATE)

    def play(self) -> None:
        """Bring it in, let it go live, take it off, and end."""
        self.roles = roles_of(self.engine)
        comes, named = self.symbols[2], self.engine.name
        self.first = [row["symbol"] for row in self.engine.instruments()]
        self.word = aegis(self.home, "onboard", comes, "--reason", "asked for", "--name", named)
        wait_for("its market", lambda: self.row() and entry_states(self.row()) == {"LIVE"})
        self.begun_modes = fetch(self.engine.url, "/v1/modes")
        strategy = aegis(self.home, "onboard", CANDIDATE, "--reason", "asked for", "--name", named)
        self.said = strategy.stdout
        self.stages = [self.wait_stage("live")]
        wait_for(CANDIDATE, lambda: stage_of(self.engine, f"strategy:{CANDIDATE}") == "live")
        wait_for("its entry", lambda: self.entries() > 0)
        self.taken_off = aegis(self.home, "offboard", comes, "--reason", "enough", "--name", named)
        wait_for("its quotes held", lambda: "INVALID" in entry_states(self.row()))
        self.stages.append(stage_of(self.engine, self.part))
        self.roles_after = roles_of(self.engine)
        self.audit = (fetch(self.engine.url, "/v1/fetch_audit_trail?limit=1000") or {})["rows"]
        self.code, _, _ = self.engine.terminate()
        self.journal = self.engine.journal()

    def close(self) -> None:
        """End what is left."""
        self.engine.kill()
        self.exchange.stop()

    def row(self) -> dict[str, Any]:
        return next(
            (row for row in self.engine.instruments() if row["symbol"] == self.symbols[2]), {}
        )

    def entries(self) -> int:
        """Return how many fills the candidate has."""
        rows = (fetch(self.engine.url, "/v1/get_trade_journal?limit=1000") or {"rows": []})["rows"]
        return sum(row["strategy"] == CANDIDATE for row in rows)

    def wait_stage(self, stage: str) -> str:
        wait_for(stage, lambda: stage_of(self.engine, self.part) == stage)
        return stage


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("onboard"))
    try:
        made.play()
        yield made
    finally:
        made.close()


def test_it_came_with_its_market_while_everything_ran_on(session: Session) -> None:
    assert session.word.returncode == 0, session.word.stderr
    assert "the feed is asked to bring it" in session.word.stdout
    assert session.first == session.symbols[:1]
    assert session.roles_after == session.roles, "no role was started again"
    named = [row.symbol for row in read_document(session.journal).instruments]
    assert named == [session.symbols[0], session.symbols[2]]
    records = read_records(session.journal, SOURCE_MARKET)
    came = records[records["instrument_index"] == 1]
    assert {RecordType.QUOTE, RecordType.TRADE} <= set(came["record_type"].tolist())


def test_it_was_shadow_then_live_by_its_own_record_then_off(session: Session) -> None:
    assert session.stages == ["live", "offboarded"]
    assert session.taken_off.returncode == 0
    steps = [
        (row["before"], row["after"])
        for row in session.audit
        if row["what"] == f"onboarding {session.part}"
    ]
    assert steps == [("bootstrap", "shadow"), ("shadow", "passed"), ("passed", "live")]
    assert session.code == 0


def test_a_candidate_was_off_then_shadow_then_live_and_traded_with_no_new_start(
    session: Session,
) -> None:
    (held,) = (row for row in (session.begun_modes or {})["rows"] if "strategy:" in row["part"])
    assert (held["part"], held["mode"]) == (f"strategy:{CANDIDATE}", "off")
    assert f"strategy:{CANDIDATE} is at stage shadow" in session.said
    assert "next start" not in session.said
    steps = [row["after"] for row in session.audit if row["what"].endswith(CANDIDATE)]
    assert steps == ["shadow", "passed", "live"]


def test_the_session_decides_the_same_when_it_is_run_again(session: Session) -> None:
    done = aegis(session.home, "replay", str(session.journal), limit_s=REPLAY_S)
    assert done.returncode == 0, done.stdout + done.stderr
