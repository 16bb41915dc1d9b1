"""Prometheus itself reads what an engine shows, and its alerts fire when they say and not before.

Debian's package `prometheus` brings both programs; nothing else of a machine is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.processes.role_counters import PAGES, Counters
from ringbuffer.counters import CountersSegment
from tests.architecture.tree import ROOT
from tests.engine_process import Engine, fetch, wait_for, wanting
from tests.ring_builders import unique_name

Ask = Callable[[str], list[float]]
RULES = ROOT / "deploy/watch/alerts.yaml"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine")

# Alert: the series that raises it, its samples every 15 s, and when it fires at the latest.
BUCKET = 'aegis_tick_to_order_seconds_bucket{role="brain",le='
RAISED: dict[str, tuple[dict[str, str], str]] = {
    "AegisAway": ({'up{job="aegis"}': "1x4 0x80"}, "3m"),
    "AegisHalted": ({"aegis_trading_state": "0x4 3x80"}, "3m"),
    "AegisRoleNotReady": ({'aegis_role_state{role="brain"}': "6x4 3x80"}, "6m"),
    "AegisOrdersUnknown": ({'aegis_orders_unknown_total{role="brain"}': "0x4 1x80"}, "3m"),
    "AegisConnectionDown": ({'aegis_connection_up{connection="public-0a"}': "1x4 0x80"}, "4m"),
    "AegisRecordsConflated": ({'aegis_conflated_total{role="feed"}': "0x4 5+5x80"}, "4m"),
    "AegisTickToOrderSlow": (
        {
            BUCKET + '"0.067108864"}': "0x80",
            BUCKET + '"17.179869184"}': "0x4 9+9x80",
            BUCKET + '"+Inf"}': "0x4 9+9x80",
        },
        "12m",
    ),
    "AegisJournalBehind": ({'aegis_journal_lag{role="orchestrator"}': "0x4 20000x80"}, "3m"),
    "AegisDiskLow": (
        {'aegis_disk_free_bytes{role="orchestrator"}': "9000000000x4 1500000000x80"},
        "4m",
    ),
    "AegisClockUnsure": ({'aegis_clock_error_seconds{role="feed"}': "0x4 -0.3x80"}, "4m"),
}

CONFIG = 'strategies = ["often"]'
BOARD = [
    target["expr"]
    for panel in json.loads((ROOT / "deploy/watch/board.json").read_text("utf-8"))["panels"]
    for target in panel.get("targets", [])
]
# What a busy machine, or a full one, may raise without a fault of the engine.
OF_THE_MACHINE = (
    "AegisTickToOrderSlow",
    "AegisRecordsConflated",
    "AegisJournalBehind",
    "AegisDiskLow",
    "AegisClockUnsure",
)


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def promtool(*words: str, told: str = "") -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *words], input=told, capture_output=True, text=True, check=False
    )


def test_each_alert_is_tried() -> None:
    assert set(RAISED) == set(rules())


@needs_promtool
@pytest.mark.parametrize("alert", RAISED)
def test_an_alert_fires_when_it_says_and_not_before(alert: str, tmp_path: Path) -> None:
    series, at = RAISED[alert]
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": said} for name, said in series.items()],
        "alert_rule_test": [
            {"eval_time": "1m", "alertname": alert, "exp_alerts": []},
        ],
    }
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [case]}), "utf-8")
    silent = promtool("test", "rules", str(file))
    assert silent.returncode == 0, silent.stdout + silent.stderr
    case["alert_rule_test"] = [{"eval_time": at, "alertname": alert, "exp_alerts": []}]
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [case]}), "utf-8")
    fired = promtool("test", "rules", str(file))
    assert fired.returncode == 1, "it was expected to be silent, and is not"
    assert f"alertname: {alert}" in fired.stdout + fired.stderr
    assert f'severity="{rules()[alert]["labels"]["severity"]}"' in fired.stdout + fired.stderr


@needs_promtool
def test_the_metrics_of_an_engine_are_a_text_that_prometheus_reads() -> None:
    segment = CountersSegment.create(unique_name("counters"), len(PAGES))
    pages = {role: segment.page(page) for role, (page, _, _) in PAGES.items()}
    try:
        pages["brain"].record(0, 5_000)
        text = "\n".join(Counters(pages).exposition()) + "\n"
    finally:
        for page in pages.values():
            page.release()
        segment.unlink()
        segment.close()
    checked = promtool("check", "metrics", told=text)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on this machine")
def test_prometheus_watches_an_engine_that_trades(tmp_path: Path) -> None:
    """Whatever board and alerts ask has an answer, and nothing fires while nothing is wrong."""
    config = tmp_path / "watched.toml"
    config.write_text(CONFIG + wanting(0.1), "utf-8")
    words = ("--generate", "2", "--seed", "3", "--config", str(config))
    engine = Engine(tmp_path / "home", *words, "--name", f"watched{os.getpid()}")
    try:
        with _prometheus(tmp_path, engine) as ask:
            engine.wait_count("fills", 1)
            wait_for("a scrape", lambda: ask("up") == [1.0])
            wait_for("records", lambda: (ask('aegis_records_total{role="brain"}') or [0])[0] > 0)
            wait_for("the roles", lambda: ask("aegis_role_state") == [6.0] * 3)
            for expression in BOARD:
                curve = expression.replace("$__rate_interval", "1m")
                wait_for(expression, partial(_drawn, ask, curve))
            raised = f'ALERTS{{alertname!~"{"|".join(OF_THE_MACHINE)}"}}'
            wait_for("no alert to be left of the start", lambda: ask(raised) == [])
            assert ask("aegis_memory_bytes > 1e7"), "base units"
            assert ask("aegis_build_info") == [1.0]
            code, output, errors = engine.terminate()
            assert code == 0, f"{output}\n{errors}"
            wait_for("that it is away", lambda: ask('ALERTS{alertname="AegisAway"}') == [1.0])
    finally:
        engine.kill()


def _drawn(ask: Ask, expression: str) -> bool:
    """Return whether a curve has a point; of a market in order nothing is rejected."""
    return bool(ask(expression)) or "rejection" in expression


@contextlib.contextmanager
def _prometheus(folder: Path, engine: Engine) -> Iterator[Ask]:
    """Run Prometheus as `deploy/watch` has it; yield what asks for the samples of an expression."""
    host = engine.url.removeprefix("http://")
    token = engine.home / "run" / f"{engine.name}.token"
    config = yaml.safe_load((RULES.parent / "prometheus.yaml").read_text("utf-8"))
    config |= {"rule_files": [str(RULES)], "global": dict.fromkeys(config["global"], "1s")}
    (job,) = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [host]}]
    (folder / "token").write_text(token.read_text("ascii"), "ascii")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    words = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/samples"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    assert PROMETHEUS is not None

    def ask(expression: str) -> list[float]:
        query = urllib.parse.urlencode({"query": expression})
        answer = fetch(f"http://127.0.0.1:{port}", f"/api/v1/query?{query}")
        if answer is None:
            return []  # it has not started yet
        assert answer["status"] == "success", answer["error"]
        rows = answer["data"]["result"]
        return [float(row["value"][1]) for row in rows]

    with subprocess.Popen([PROMETHEUS, *words]) as process:
        try:
            yield ask
        finally:
            process.terminate()
