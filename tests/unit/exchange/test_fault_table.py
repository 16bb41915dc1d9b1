"""The table of faults is one table: code, control routes and docs/practice_exchange.md."""

import re
from pathlib import Path

import msgspec
import pytest

from exchange.__main__ import parser
from exchange.fault_kinds import KINDS, STREAM_KINDS, kinds_view
from exchange.fault_orders import ConnectionOrder, Lasting, RequestOrder, StreamOrder
from exchange.faults import Faults
from exchange.generator import Generator
from exchange.server import Exchange, Options
from exchange.stream_arming import ACTIONS
from tests.exchange_process import ROOT
from tests.exchange_rig import run
from tests.fault_rig import ended, fault, ticking

PAGE = (ROOT / "docs/practice_exchange.md").read_text("utf-8")
ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| (.*?) ?\| .* \|$", re.MULTILINE)
COMMON = {
    shape: {entry.name for entry in msgspec.structs.fields(shape)}
    for shape in (StreamOrder, ConnectionOrder, RequestOrder, Lasting)
}


def documented() -> dict[str, set[str]]:
    """Return the words of every kind on the page, beside those its section names."""
    start, end = PAGE.index("## Table of faults"), PAGE.index("## Scenario files")
    found: dict[str, set[str]] = {}
    for match in ROW.finditer(PAGE[start:end]):
        words = set(re.findall(r"`(\w+)`", match.group(2)))
        for kind in re.findall(r"`(\w+)`", match.group(1)):
            found[kind] = words
    return found


def own_words(kind: str) -> set[str]:
    shape = KINDS[kind].shape
    words = {entry.name for entry in msgspec.structs.fields(shape)}
    common = next((COMMON[one] for one in COMMON if issubclass(shape, one)), set())
    selectors = {"category", "stream", "connection", "count"}
    return words - common - (selectors if kind not in {"frame", "accepted_silent"} else {"count"})


def test_page_and_code_name_the_same_kinds() -> None:
    assert set(documented()) == set(KINDS)


def test_page_names_every_word_of_every_kind() -> None:
    wrong = {kind: words for kind, words in documented().items() if words != own_words(kind)}
    assert wrong == {}


def test_every_kind_can_be_carried_out() -> None:
    exchange = Exchange(Generator(1, 1), Options())
    faults: Faults = exchange.faults
    lasting = {kind for kind, row in KINDS.items() if issubclass(row.shape, Lasting)}
    assert lasting <= set(faults._lasting)
    assert set(KINDS) - lasting <= set(faults._at_once)
    assert set(ACTIONS) == set(STREAM_KINDS)


def test_control_routes_tell_the_table_and_the_register(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            rest = exchange.rest()
            rows = (await rest.open("/practice/kinds")).json
            assert rows == kinds_view()
            shape = next(row for row in rows if row["kind"] == "shape")
            assert {"latency_ms", "bytes_per_s", "duration_ms"} <= set(shape["words"])
            answer = await fault(rest, kind="lag", stream="btcusdt@depth", span=9)
            told = (await rest.open("/practice/faults")).json
            assert [row["id"] for row in told["armed"]] == [answer.json["id"]]
            assert told["armed"][0]["order"]["span"] == 9
            await fault(rest, kind="clear")
            told = (await rest.open("/practice/faults")).json
            assert told["armed"] == []
            assert [row["state"] for row in told["ended"]] == ["ended"]

    run(test())


def test_options_of_the_page_exist() -> None:
    options = set(parser()._option_string_actions)
    assert set(re.findall(r"`(--[\w-]+)", PAGE)) <= options


def test_there_is_room_for_so_many_faults_and_a_refused_one_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.stream_faults.MAX_RULES", 2)
    monkeypatch.setattr("exchange.rest_faults.MAX_RULES", 1)
    monkeypatch.setattr("exchange.fault_life.MAX_FAULTS", 4)

    async def test() -> None:
        async with ticking(tmp_path, symbols=("BTCUSDT", "ETHUSDT")) as exchange:
            rest, faults = exchange.rest(), exchange.exchange.faults

            async def refused(**order: object) -> bool:
                answer = await rest.practice("/practice/fault", order)
                return answer.status == 400 and "too many" in answer.json["msg"]

            late = await fault(rest, kind="gap", symbol="ETHUSDT", after_ms=30)
            for _ in range(2):
                await fault(rest, kind="silent", stream="ethusdt@depth")
            # The rule for the first market goes with the one that found no room.
            assert await refused(kind="gap", stream="*@depth")
            assert [key[1] for key in faults.streams.rules] == [1]
            assert (await ended(exchange, late.json["id"]))["state"] == "refused"
            assert await refused(kind="symbol_status", symbol="ETHUSDT")
            assert exchange.exchange.venue.markets["ETHUSDT"].listing.status == "TRADING"
            await fault(rest, kind="slow_answer")
            assert await refused(kind="http_status", status=500, streams=True)
            assert not faults.requests.upgrades
            await fault(rest, kind="pings")
            assert await refused(kind="pings")
            assert (await fault(rest, kind="clear")).json == {"cleared": True}
            assert (faults.streams.rules, faults.requests.rules.rules) == ({}, [])

    run(test())
