"""Market messages as documentation and client libraries print them: read as plain Python does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import RecordType
from engine.domain.firewall_reasons import FirewallReason
from tests.feed_decoder import DECODERS, decode_event
from tests.feed_rig import MS, FeedRig, S, instrument

UNLAWFUL = {"kline_stream_open.json": FirewallReason.BAR_OPEN_CLOSE}  # its open is below its low
OTHER_STREAMS = {"test_depth_futures": FirewallReason.EVENT_UNKNOWN}  # `@depth5` is no diff
KNOWN = UNLAWFUL | OTHER_STREAMS


def payloads(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, frame) of every published message of an event that the feed subscribes."""
    lines = (folder / "unicorn_fy/usdm_ws_messages.jsonl").read_text("utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    found = [(sample["test"], sample["payload"]) for sample in samples]
    files = sorted((folder / "nautilus_crate/market_data_json").glob("*.json"))
    found += [(path.name, json.loads(path.read_text("utf-8"))) for path in files]
    return [(name, frame) for name, frame in found if frame.get("data", frame)["e"] in DECODERS]


@pytest.mark.parametrize("indent", [None, 2])
def test_published_messages_mean_what_python_reads(shared_data: Path, indent: int | None) -> None:
    folder = shared_data / "binance_payloads"
    if not folder.is_dir():
        pytest.skip("no published messages: ../shared/data/binance_payloads is absent")
    results: dict[str, int] = {}
    kinds = set()
    for name, frame in payloads(folder):
        event = frame.get("data", frame)
        inner = event.get("o")
        symbol = inner["s"] if isinstance(inner, dict) else event["s"]
        row = instrument(symbol, "0.00001", "0.001")
        rig = FeedRig([row])
        rig.core.set_clock(rig.now_ns, event["E"] * MS, 0, 600 * S)
        results[name] = rig.decode(json.dumps(frame, indent=indent))
        records = rig.records()
        plain = records[records["record_type"] < RecordType.LIVENESS]
        plain = plain[plain["record_type"] != RecordType.LEVEL]
        expected = decode_event({symbol: row}, event) if results[name] == 0 else []
        assert len(plain) == len(expected), name
        for record, wanted in zip(plain, expected, strict=True):
            assert {field: int(record[field]) for field in wanted} == wanted, name
        kinds.add(event["e"])
        rig.close()
    assert {name: reason for name, reason in results.items() if reason} == KNOWN
    assert kinds == set(DECODERS)
    assert len(results) == 16
