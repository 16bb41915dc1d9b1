"""The orchestrator journals every record once, in order, and projects it."""

import json
import sqlite3
import subprocess
from pathlib import Path

import numpy as np

from engine.config import Config
from engine.config_journal import JournalConfig
from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.strategy_table import INPUT_NAMES, StrategyKind
from engine.processes.control import RolePage, RoleWord
from engine.store.journal import SOURCE_CONTROL, SOURCE_EVENTS_BRAIN, SOURCE_MARKET, segment_paths
from engine.store.reader import read_records
from engine.store.session import read_document
from engine.store.verify import verify_session
from tests.engine_process import wait_for
from tests.orchestrator_rig import OrchestratorRig
from tests.store_builders import market_records
from tests.store_events import decision, event, fill, opening_cash, request

ROUND = (opening_cash(1_000), decision(), request(1), fill(1, 501, 5))


def table(rig: OrchestratorRig, statement: str) -> list[tuple[object, ...]]:
    path = Path(rig.config.state_dir) / "aegis.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return connection.execute(statement).fetchall()


def test_every_record_is_journaled_projected_and_sealed(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_market(5_000)
        rig.publish_events(*ROUND)
        rig.command(EventType.CONTROL_PAUSE, TradingState.PAUSED)

        assert rig.stop() == 0

        assert np.array_equal(read_records(rig.directory, SOURCE_MARKET), market_records(5_000))
        events = read_records(rig.directory, SOURCE_EVENTS_BRAIN)
        assert events["event_type"].tolist() == [row["event_type"] for row in ROUND]
        assert len(read_records(rig.directory, SOURCE_CONTROL)) == 1
        report = verify_session(rig.directory)
        assert report.is_intact, report.problems
        assert all(source.is_closed for source in report.sources)
        document = read_document(rig.directory)
        assert [row.symbol for row in document.instruments] == ["BTCUSDT", "ETHUSDT"]
        assert document.seals["market"].next_sequence == 5_000
        assert table(rig, "SELECT trade_id, qty_lots FROM fills") == [(501, 5)]
        assert table(rig, "SELECT status FROM order_states") == [(OrderStatus.PARTIALLY_FILLED,)]
        assert table(rig, "SELECT ended_ns > 0 FROM sessions") == [(1,)]


def test_records_wait_in_their_rings_until_instruments_are_known(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.spawn()
        rig.wait_ready()
        rig.publish_market(10)
        rig.command(EventType.CONTROL_PAUSE, TradingState.PAUSED)
        wait_for("the control record", lambda: len(read_records(rig.directory, SOURCE_CONTROL)))
        assert segment_paths(rig.directory, SOURCE_MARKET) == []

        rig.publish_instruments()
        wait_for("the market", lambda: len(read_records(rig.directory, SOURCE_MARKET)) == 10)

        assert len(read_document(rig.directory).instruments) == 2


def test_the_document_is_there_before_the_first_record(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.publish_events(*ROUND)
        rig.publish_market(3)
        rig.start()
        wait_for("events", lambda: len(read_records(rig.directory, SOURCE_EVENTS_BRAIN)) == 4)

        document = read_document(rig.directory)
        assert document.config["venue"]["api_secret"] == ""
        names = [row.name for row in document.strategies]
        assert names == ["smc_fvg_bos", "orderflow", "hand", "execution"]
        assert document.kernel_key


def test_secrets_never_reach_the_journal(tmp_path: Path) -> None:
    secret = "s3cr3t-of-this-test"
    config = Config(name="secret-test", database_url="")
    venue = type(config.venue)(api_key=secret, api_secret=secret)
    with OrchestratorRig(tmp_path, Config(name="secret-test", venue=venue)) as rig:
        rig.start()
        rig.publish_events(*ROUND)
        assert rig.stop() == 0

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_market_off_keeps_no_market_and_holds_nobody_back(tmp_path: Path) -> None:
    config = Config(name="market-off", journal=JournalConfig(market="off"))
    with OrchestratorRig(tmp_path, config) as rig:
        rig.start()
        rig.publish_market(100)
        rig.publish_events(*ROUND)
        assert rig.stop() == 0

        assert segment_paths(rig.directory, SOURCE_MARKET) == []
        assert read_document(rig.directory).market_journal == "off"
        ring = rig.parts.rings["market"]
        assert ring.reader(1).mode == 0


def test_decisions_and_faults_become_log_lines(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        fault = event(EventType.EXECUTOR_FAULT, reason=-1021, text=b"clock", instrument_index=1)
        rig.publish_events(*ROUND, *([fault | {"cause_sequence": 9, "request_id": 4}] * 50))
        assert rig.stop() == 0

        text = (tmp_path / "logs" / "orchestrator.log").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        made = [line for line in lines if line["event"] == "TRADING_DECISION"]
        assert len(made) == 1
        assert made[0]["instrument"] == "BTCUSDT"
        assert made[0]["strategy"] == "smc_fvg_bos"
        assert made[0]["reason"] == "FVG_RETURN"
        assert made[0]["outcome"] == "approved"
        assert made[0]["inputs"][INPUT_NAMES[StrategyKind.SMC][0]] == 1.0
        faults = [line for line in lines if line["event"] == "FAULT"]
        assert [line["suppressed_count"] for line in faults] == [0, 49], "the rest at the end"
        keys = ("role", "faulted_role", "instrument", "sequence", "request_id")
        told = tuple(faults[0][key] for key in keys)
        assert told == ("orchestrator", "brain", "ETHUSDT", 9, 4)


def test_an_evicted_recorder_halts_and_says_what_is_missing(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_market(10)
        wait_for("the market", lambda: len(read_records(rig.directory, SOURCE_MARKET)) == 10)
        rig.parts.rings["market"].evict(1)
        rig.publish_market(7)
        wait_for("HALTED", lambda: rig.trading_state() == TradingState.HALTED)
        assert rig.stop() == 0

        report = verify_session(rig.directory)
        market = next(source for source in report.sources if source.source == SOURCE_MARKET)
        assert (market.record_count, market.lost_count) == (10, 7)
        reason = rig.parts.control.role(RolePage.ORCHESTRATOR, RoleWord.TRADING_STATE_REASON)
        assert reason == 2


def test_a_signal_of_the_group_is_ignored_while_main_lives(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        assert rig.process is not None
        rig.process.terminate()
        rig.publish_events(*ROUND)
        wait_for("events", lambda: len(read_records(rig.directory, SOURCE_EVENTS_BRAIN)) == 4)

        assert rig.process.poll() is None
        assert rig.stop() == 0


def test_a_directory_that_cannot_be_written_is_a_fault_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with OrchestratorRig(tmp_path) as rig:
        rig.spawn(stderr=subprocess.DEVNULL)
        assert rig.process is not None

        assert rig.process.wait(60) == 1
        assert rig.parts.control.progress(RolePage.ORCHESTRATOR) != ""
