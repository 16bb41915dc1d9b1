"""The venue's name does not resolve any more: what a whole engine says, does, and how it recovers.

The engine lives in a mount namespace of its own, whose hosts file is the test's: the lookups are
real ones, and the name leaves and comes back under the running process.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import Channel, RecordType
from engine.store.journal import SOURCE_MARKET
from engine.store.reader import read_records
from tests.engine_process import Engine, entry_states, fetch, wait_for
from tests.exchange_process import PracticeExchange

pytestmark = pytest.mark.slow  # a whole engine

NAME = "practice.test"
INSTRUMENTS = 2
MOUNT = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


def namespace(folder: Path) -> list[str]:
    """Return the words before a command that make the folder's two files its names."""
    hosts, servers = folder / "hosts", folder / "resolv.conf"
    hosts.write_text(f"127.0.0.1 localhost {NAME}\n", "utf-8")
    servers.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "utf-8")
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(hosts), str(servers)]
    try:
        probe = subprocess.run([*words, "true"], capture_output=True, timeout=10, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if probe.returncode != 0:
        pytest.skip(f"no namespace can be made here: {probe.stderr.decode().strip()}")
    return words


class Nameless:
    """An engine whose venue lost its name for a while, and what it left."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        """Start, take the name away with every connection, give it back, stop."""
        self.hosts = folder / "hosts"
        before = namespace(folder)
        words = ("--generate", str(INSTRUMENTS), "--seed", "11", "--control-port", "0")
        self.exchange = PracticeExchange(*words)
        ending.callback(self.exchange.stop)
        url = f"http://{NAME}:{self.exchange.port}"
        assert self.exchange.process.stdout is not None
        way_in = int(self.exchange.process.stdout.readline().split()[1])
        self.exchange.url = f"http://127.0.0.1:{way_in}"  # no fault cuts it
        self.engine = Engine(folder / "home", "--exchange", url, "--json", before=before)
        ending.callback(self.engine.kill)
        self.engine.wait_ready()
        self.wait_live()
        names = self.hosts.read_text("utf-8")
        self.hosts.write_text("127.0.0.1 localhost\n", "utf-8")
        self.exchange.fault("disconnect", category="all")
        self.refusals = wait_for("its sentence", self.refused)
        self.states = [entry_states(row) for row in self.engine.instruments()]
        self.health = fetch(self.engine.url, "/health")
        self.hosts.write_text(names, "utf-8")
        self.wait_live()
        self.code, output, _ = self.engine.terminate()
        self.summary: dict[str, Any] = json.loads(output)
        self.records = read_records(self.engine.journal(), SOURCE_MARKET)

    def wait_live(self) -> None:
        """Wait until every quote, trade and book is live."""
        wait_for(
            "a live market",
            lambda: set().union(*map(entry_states, self.engine.instruments())) == {"LIVE"},
        )

    def refused(self) -> set[str]:
        """Return what every connection that is down was told, once all of them are."""
        status = self.engine.status() or {}
        rows = status.get("sources", {}).get("connections", [])
        down = {row["refusal"] for row in rows if row["state"] == "down"}
        return down if rows and all(row["refusal"] for row in rows) else set()


@pytest.fixture(scope="module")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nameless]:
    with ExitStack() as ending:
        yield Nameless(tmp_path_factory.mktemp("names"), ending)


def test_the_operator_reads_that_the_name_does_not_resolve(nameless: Nameless) -> None:
    assert len(nameless.refusals) == 1
    (sentence,) = nameless.refusals
    assert sentence.startswith(f"{NAME}: the name does not resolve")
    assert "look at DNS" in sentence


def test_without_its_venue_the_engine_lives_and_holds_entries(nameless: Nameless) -> None:
    assert nameless.health is not None
    assert all("LIVE" not in states for states in nameless.states)


def test_the_name_back_everything_goes_on_and_no_trade_is_missing(nameless: Nameless) -> None:
    assert nameless.code == 0
    assert nameless.summary["exchange_agrees"] is True, nameless.summary["differences"]
    gaps = nameless.records[nameless.records["record_type"] == RecordType.GAP]
    assert not (gaps["aux"] == Channel.TRADE).any()
    trades = nameless.records[nameless.records["record_type"] == RecordType.TRADE]
    for index in range(INSTRUMENTS):
        ids = trades[trades["instrument_index"] == index]["trade_id"]
        assert len(ids) > 20
        assert (np.diff(ids) == 1).all()
