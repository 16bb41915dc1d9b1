"""Connections that break under a whole engine: what its journal, status, metrics and log say after.

The journal holds what was decided from. Trade ids in it rise by one, or a gap record names those
between; while data was late no entry was approved.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import EVENT_ENTRY, Channel, EventType, Liveness, RecordType
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_EVENTS_FEED, SOURCE_MARKET
from engine.store.reader import read_records
from tests.engine_process import attached, entry_states, fetch, wait_for
from tests.exchange_process import PracticeExchange

pytestmark = pytest.mark.slow  # a whole engine

INSTRUMENTS = 4


class Suffered:
    """An engine that went through three losses, and what it left."""

    def __init__(self, home: Path) -> None:
        """Start, lose, stop."""
        self.home = home
        self.exchange = PracticeExchange("--generate", str(INSTRUMENTS), "--seed", "11")
        settings = '[sources]\nbackup = "off"\nlag_limit_ms = 300\n'
        self.engine = attached(home, self.exchange.url, settings)
        self.wait_live()
        for _ in range(2):
            self.lose(kind="disconnect", category="market")
        self.lose(kind="shape", category="*", latency_ms=900, duration_ms=3_000)
        self.status = self.engine.status() or {}
        with urllib.request.urlopen(f"{self.engine.url}/metrics", timeout=10) as answer:
            self.metrics = answer.read().decode()
        self.code, output, _ = self.engine.terminate()
        self.summary: dict[str, Any] = json.loads(output)
        self.journal = self.engine.journal()

    def incidents(self, state: str) -> list[dict[str, Any]]:
        """Return the losses that the engine reports."""
        status = fetch(self.engine.url, "/status") or {}
        rows = status.get("sources", {}).get("incidents", [])
        return [row for row in rows if row["state"] == state]

    def wait_live(self) -> None:
        """Wait until every quote, trade and book is live."""

        def live() -> bool:
            return set().union(*map(entry_states, self.engine.instruments())) == {"LIVE"}

        wait_for("a live market", live)

    def lose(self, **order: object) -> None:
        """Order a fault and wait until the engine says that it is over."""
        known = len(self.incidents("recovered"))
        self.exchange.fault(str(order.pop("kind")), **order)
        wait_for("its report", lambda: len(self.incidents("recovered")) > known)
        wait_for("its end", lambda: not self.incidents("open"))
        self.wait_live()

    def records(self, source: str) -> np.ndarray[Any, Any]:
        """Return what the journal has of a source."""
        return read_records(self.journal, source)


@pytest.fixture(scope="module")
def suffered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suffered]:
    found = Suffered(tmp_path_factory.mktemp("losses"))
    yield found
    found.engine.kill()
    found.exchange.stop()


def test_it_ends_in_order_and_its_books_are_the_exchanges(suffered: Suffered) -> None:
    assert suffered.code == 0
    assert suffered.summary["exchange_agrees"] is True, suffered.summary["differences"]


def test_no_trade_is_missing_in_the_journal(suffered: Suffered) -> None:
    records = suffered.records(SOURCE_MARKET)
    trades = records[records["record_type"] == RecordType.TRADE]
    for index in range(INSTRUMENTS):
        ids = trades[trades["instrument_index"] == index]["trade_id"]
        assert len(ids) > 20
        assert (np.diff(ids) == 1).all()
    gaps = records[records["record_type"] == RecordType.GAP]
    assert not (gaps["aux"] == Channel.TRADE).any()


def test_the_report_counts_what_was_healed(suffered: Suffered) -> None:
    rows = suffered.status["sources"]["incidents"]
    assert {row["state"] for row in rows} == {"recovered"}
    assert sum(row["trades_healed"] for row in rows) > 0
    assert sum(row["trades_lost"] for row in rows) == 0
    late = {row["source"] for row in rows if row["what"] == "late"}
    assert len(late) == 2, "both plans; more than once where the machine was busy"
    log = (suffered.home / "logs" / "feed.log").read_text("utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    told = [line for line in lines if line["event"] == "RECONCILIATION"]
    assert len(told) >= len(rows)
    assert {"source", "what", "lasted_ms", "trades_healed", "gaps"} <= set(told[0])


def test_metrics_name_each_connection(suffered: Suffered) -> None:
    assert 'aegis_connection_up{connection="public-0a"} 1' in suffered.metrics
    assert 'aegis_connection_lag_seconds{connection="market-1a",kind="p99"}' in suffered.metrics
    assert "aegis_channels_live{" in suffered.metrics
    assert "aegis_clock_bound_seconds{" in suffered.metrics


def test_while_data_was_late_no_entry_was_approved(suffered: Suffered) -> None:
    records = suffered.records(SOURCE_MARKET)
    changes = records[(records["record_type"] == RecordType.LIVENESS) & (records["aux"] == 0)]
    spans = []
    for index in range(INSTRUMENTS):
        mine = changes[changes["instrument_index"] == index]
        held = mine[mine["liveness"] == Liveness.INVALID]["sequence"].tolist()
        free = mine[mine["liveness"] == Liveness.LIVE]["sequence"]
        assert held
        spans.append([(began, int(free[free > began][0])) for began in held])
    events = suffered.records(SOURCE_EVENTS_BRAIN)
    entries = events[
        (events["event_type"] == EventType.ORDER_REQUEST) & (events["flags"] & EVENT_ENTRY > 0)
    ]
    for entry in entries:
        for began, ended in spans[int(entry["instrument_index"])]:
            assert not began < int(entry["cause_sequence"]) < ended


def test_the_journal_has_the_feeds_own_word_of_it(suffered: Suffered) -> None:
    events = suffered.records(SOURCE_EVENTS_FEED)
    texts = [bytes(text) for text in events[events["event_type"] == EventType.ROLE_FAULT]["text"]]
    assert any(b" late: " in text for text in texts)
    assert any(b" in time: " in text for text in texts)
    assert sum(b" ms" in text for text in texts) >= 3
