"""How many orders a second does a whole engine carry, and does it ever pass a venue's limits?

Question: do 500 orders a second go the whole way for a minute (decided, sent, acknowledged, filled,
journaled), and is the venue never asked for more than it allows when it allows its usual 300 orders
in ten seconds? Load: a generated market in which every quote causes an order; the engine's own rate
limits are lifted, so that nothing but the venue's budget holds it back. At the end the engine
closes in order and its books are held against the exchange's.

    orders, fills   a second, over the time that was measured
    over limit      requests and orders the exchange refused with 429 or 418; must be 0
    held back       orders that were not sent because the budget was used up
    unknown         orders whose answer was late or lost
    disagreements   differences between the engine's books and the exchange's at the end; must be 0
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import harness
from bench.chaos.lives import Life
from bench.harness import Bench, Pass
from engine import exit_codes
from tests.engine_process import AEGIS, share_kernels, wait_for, wanting
from tests.order_side import Exchange

INSTRUMENTS: Final = 20
MESSAGES_PER_S: Final = 4_000
SECONDS: Final = 60.0
WARM_UP_S: Final = 3.0
COLD_S: Final = 240.0  # kernels may have to be compiled
LIFTED: Final = 10**9
COUNTERS: Final = {
    "orders": "aegis_orders_total",
    "fills": "aegis_fills_total",
    "unknown": "aegis_orders_unknown_total",
    "refused": "aegis_orders_rejected_total",
}
CONFIG: Final = """
channels = ["bookTicker"]
strategies = ["often"]
reconcile_interval_s = 10
order_timeout_ms = 5000
[limits]
orders_per_10s = 100000
orders_per_10s_instrument = 100000
max_entries_per_day = 100000000
max_order_notional = 10000.0
max_position_notional = 10000.0
max_total_notional = 1000000.0
max_daily_loss_ratio = 1.0
max_drawdown_ratio = 1.0
max_order_size = 1000000.0
max_position_exposure = 1000000.0
max_consecutive_failures = 1000000
decision_latency_ms = 2000
"""
BENCH: Final = Bench(
    name="order_rate",
    question="How many orders a second go the whole way, and are the venue's limits kept?",
    load=f"{INSTRUMENTS} instruments, {MESSAGES_PER_S:,} messages/s, {SECONDS:.0f} s a case",
    worry="below 500 orders/s without limits; anything over a limit or in disagreement",
    units={
        **dict.fromkeys(("orders", "fills"), "1/s"),
        **dict.fromkeys(("over limit", "held back", "unknown"), "orders"),
        "disagreements": "lines",
    },
)


def counters(text: str) -> dict[str, int]:
    """Return the brain's counters of a metrics page that this bench looks at."""
    found = {}
    for name, metric in COUNTERS.items():
        line = re.search(rf'^{metric}\{{role="brain"\}} (\d+)', text, re.MULTILINE)
        found[name] = int(line[1]) if line else 0
    return found


def exchange_words(*, lifted: bool) -> list[str]:
    """Return how the exchange is started; its limits are the venue's own unless lifted."""
    words = ["--generate", str(INSTRUMENTS), "--seed", "7", "--rate", str(MESSAGES_PER_S)]
    words += ["--balance", "100000000", "--autostart"]
    names = ("--weight-limit", "--order-limit-10s", "--order-limit-1m")
    return [*words, *(word for name in names for word in (name, str(LIFTED)) if lifted)]


def warm_kernels(home: Path) -> None:
    """Compile what engines of this bench need: a market that plays meanwhile is their backlog."""
    share_kernels(home)
    words = [*AEGIS, "doctor", "--warm"]  # what else it finds is no concern of ours
    environment = {**os.environ, "AEGIS_HOME": str(home)}
    subprocess.run(words, env=environment, capture_output=True, check=False)


class Rig:
    """A practice exchange, and engines that trade at it from one home, one after the other."""

    def __init__(self, folder: Path, *, lifted: bool) -> None:
        """Start the exchange; no engine runs yet."""
        self.home = folder / "home"
        warm_kernels(self.home)
        file = folder / "aegis.toml"
        file.write_text(CONFIG + wanting(0.02), "utf-8")
        self.venue = Exchange(*exchange_words(lifted=lifted))
        self._words = ["--exchange", self.venue.url, "--config", str(file)]
        self._lives: list[Life] = []

    def start(self) -> Life:
        """Start the next engine; nothing is waited for."""
        self._lives.append(Life(self.home, f"rate{os.getpid()}", len(self._lives), self._words))
        return self._lives[-1]

    def end(self) -> None:
        """Leave no process behind."""
        for life in self._lives:
            life.kill_all()
            life.process.wait()
        self.venue.stop()


@contextmanager
def rigged(*, lifted: bool) -> Iterator[Rig]:
    """Yield a rig in a folder of its own; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="aegis-rate-") as name:
        rig = Rig(Path(name), lifted=lifted)
        try:
            yield rig
        finally:
            rig.end()


def trade(*, lifted: bool, seconds: float) -> Pass:
    """Let an engine trade for a time and return what came of it."""
    with rigged(lifted=lifted) as rig:
        life = rig.start()
        assert life.wait_ready(COLD_S), life.said()
        wait_for("the first reconciliation", lambda: life.ended or life.looks() > 0)
        time.sleep(WARM_UP_S)
        before, began = counters(life.metrics()), time.monotonic()
        time.sleep(seconds)
        after, took_s = counters(life.metrics()), time.monotonic() - began
        life.settle()
        life.wait_looked()
        over_limit = rig.venue.call("GET", "/practice/state")["over_limit"]
        code = life.terminate()
        assert life.summary(), f"exit {code}: {life.said()}"
        return _result(before, after, took_s, over_limit, life.summary(), code)


def _result(
    before: dict[str, int],
    after: dict[str, int],
    took_s: float,
    over_limit: int,
    summary: dict[str, Any],
    code: int,
) -> Pass:
    differences = list(summary["differences"])
    if code != exit_codes.DONE and not differences:
        differences.append(f"exit {code}")
    grown = {name: after[name] - before[name] for name in COUNTERS}
    return {
        "orders": (grown["orders"] - grown["refused"]) / took_s,
        "fills": grown["fills"] / took_s,
        "over limit": float(over_limit),
        "held back": float(grown["refused"]),
        "unknown": float(grown["unknown"]),
        "disagreements": float(len(differences)),
    }


def arguments() -> argparse.Namespace:
    """Parse the command line: as every bench, and for how long."""
    parser = harness.parser(__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"default {SECONDS:.0f}")
    return parser.parse_args()


def main() -> None:
    """Run the bench."""
    asked = arguments()
    about = harness.machine()
    patience = harness.Patience(asked.patience)
    results: dict[str, list[Pass]] = {}
    # A case is a minute long and warms itself up: one of each.
    for case, lifted in (("limits lifted", True), ("the venue's limits", False)):
        run = partial(trade, lifted=lifted, seconds=asked.seconds)
        found, foreign = harness.quiet_pass(run, patience)
        results[case] = [{**found, "foreign cores": foreign}]
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
