"""Every fault of a stream's frames on the wire: it begins, it ends, its neighbours are good."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange.fault_kinds import STREAM_KINDS
from tests.exchange_rig import run, until
from tests.fault_rig import (
    DIFF_ROUTE,
    DIFFS,
    QUOTE_ROUTE,
    QUOTES,
    Frame,
    ended,
    fault,
    good_payload,
    good_quote,
    parsed,
    quote_of,
    raw_stream,
    ticking,
    until_good,
)

DAY_MS = 86_400_000
Sees = Callable[[bytes, Frame], bool]  # a bad payload and the good quote in whose place it came


def reads(**words: object) -> Sees:
    """Return a look for a frame that differs from the good one in these words only."""
    return lambda payload, good: json.loads(payload) == good | words


def reads_from(change: Callable[[Frame], Frame]) -> Sees:
    """Return a look for the good frame with some words made from its own."""
    return lambda payload, good: json.loads(payload) == good | change(good)


def is_half(payload: bytes, good: Frame) -> bool:
    return parsed(payload) is None and b'"u":%d,' % good["u"] in payload


def is_padded(payload: bytes, good: Frame) -> bool:
    return len(payload) == 70_000 and json.loads(payload) == good


def is_garbage(payload: bytes, good: Frame) -> bool:
    return parsed(payload) is None and abs(len(payload) - len(json.dumps(good))) < 40


# kind, further words, what is seen in the place of a good quote
LIES: list[tuple[str, dict[str, Any], Sees]] = [
    ("bad_price", {}, reads(b="NaN")),
    ("bad_price", {"value": "Infinity"}, reads(b="Infinity")),
    ("bad_price", {"value": "0"}, reads(b="0")),
    ("bad_quantity", {}, reads(B="-1.000")),
    ("off_grid", {}, reads_from(lambda g: {"b": g["b"] + "5"})),
    (
        "price_factor",
        {"factor": 10},
        reads_from(lambda g: {"b": f"{float(g['b']) * 10:.2f}", "a": "600009.00"}),
    ),
    ("crossed", {}, reads_from(lambda g: {"b": g["a"], "a": g["b"], "B": g["A"], "A": g["B"]})),
    ("locked", {}, reads(b="60000.90")),
    ("set_field", {"field": "A", "value": {"deep": [1]}}, reads(A={"deep": [1]})),
    ("set_field", {"field": "extra", "value": None}, reads(extra=None)),
    ("wrong_id", {"offset": 1_000}, reads_from(lambda g: {"u": g["u"] + 1_000})),
    (
        "wrong_time",
        {"offset": -DAY_MS},
        reads_from(lambda g: {"E": g["E"] - DAY_MS, "T": g["T"] - DAY_MS}),
    ),
    ("wrong_symbol", {"to": "ETHUSDT"}, reads(s="ETHUSDT")),
    ("other_product", {}, reads(st=2, ps="BTCUSD")),
    ("tagged", {}, reads(st=1, ps="BTCUSDT")),
    ("half", {}, is_half),
    ("empty", {}, lambda payload, _good: payload == b""),
    ("padded", {"size_bytes": 70_000}, is_padded),
    ("garbage", {}, is_garbage),
]


@pytest.mark.parametrize(("kind", "words", "sees"), LIES)
def test_lie_stands_in_the_place_of_good_frames_and_ends(
    tmp_path: Path, kind: str, words: dict[str, Any], sees: Sees
) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            last = (await stream.take(3))[-1]
            order = {"kind": kind, "stream": QUOTES, "count": 2} | words
            answer = await fault(exchange.rest(), **order)
            payloads = await until_good(stream)
            row = await ended(exchange, answer.json["id"])
            assert (row["state"], row["uses"]) == ("ended", 2)
            places = enumerate(payloads, start=last["u"] + 1)
            wrong = []
            for update_id, payload in places:
                if good_payload(payload):
                    # Nothing is lost, nothing comes twice.
                    assert json.loads(payload)["u"] == update_id
                else:
                    wrong.append((update_id, payload))
            assert len(wrong) == 2
            assert wrong[1][0] == wrong[0][0] + 1
            for update_id, payload in wrong:
                assert sees(payload, quote_of(update_id)), payload
            stream.close()

    run(test())


def test_gap_breaks_the_chain_and_the_chain_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            seen = await stream.take(3)
            await fault(exchange.rest(), kind="gap", symbol="BTCUSDT", count=4)
            while seen[-1]["pu"] == seen[-2]["u"]:
                seen.append(await stream.next())
            assert seen[-1]["pu"] == seen[-2]["u"] + 4
            after = [seen[-1], *await stream.take(20)]
            assert all(b["pu"] == a["u"] for a, b in itertools.pairwise(after))
            stream.close()

    run(test())


def test_wrong_pu_loses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            await stream.take(3)
            await fault(exchange.rest(), kind="wrong_pu", stream=DIFFS, offset=-7)
            seen = [await stream.next()]
            while seen[-1]["pu"] == seen[-1]["u"] - 1:
                seen.append(await stream.next())
            assert seen[-1]["pu"] == seen[-1]["u"] - 8
            seen += await stream.take(10)
            assert all(b["u"] == a["u"] + 1 for a, b in itertools.pairwise(seen))
            assert all(frame["pu"] == frame["u"] - 1 for frame in seen[-10:])
            stream.close()

    run(test())


def test_crossed_diffs_change_sides_and_only_theirs(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, DIFF_ROUTE)
            await stream.take(2)
            answer = await fault(exchange.rest(), kind="crossed", stream=DIFFS, count=3)
            await ended(exchange, answer.json["id"])
            seen = await stream.take(20)
            swapped = [frame for frame in seen if frame["a"]]
            assert len(swapped) == 3
            assert all(frame["b"] == [] for frame in swapped)
            assert all(b["pu"] == a["u"] for a, b in itertools.pairwise(seen))
            stream.close()

    run(test())


def departure(ids: list[int], otherwise: int) -> int:
    """Return the first place whose id is not its place."""
    return next((place for place, one in enumerate(ids) if one != place), otherwise)


ORDERS: list[tuple[str, dict[str, int], list[int]]] = [
    # ids relative to the first frame touched, as they arrive
    ("drop", {"count": 2}, [2, 3, 4, 5]),
    ("duplicate", {"copies": 2}, [0, 0, 0, 1, 2]),
    ("duplicate", {"count": 2}, [0, 0, 1, 1, 2]),
    ("reorder", {}, [1, 0, 2, 3]),
    ("reorder", {"span": 3}, [1, 2, 3, 0, 4]),
    ("replayed", {"span": 3}, [0, 1, 2, 0, 1, 2, 3, 4]),
    ("burst", {"span": 10}, list(range(14))),
    ("lag", {"span": 4, "count": 6}, list(range(9))),
]


@pytest.mark.parametrize(("kind", "words", "expected"), ORDERS)
def test_frames_come_in_the_order_the_fault_says(
    tmp_path: Path, kind: str, words: dict[str, int], expected: list[int]
) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            last = (await stream.take(3))[-1]["u"]
            order = {"kind": kind, "stream": QUOTES, "after_frames": 60} | words
            answer = await fault(exchange.rest(), **order)
            await ended(exchange, answer.json["id"])
            # Frames that had left before the order came are not counted by it.
            seen = [frame["u"] - last - 1 for frame in await stream.take(200)]
            begin = departure(seen, 60) - departure(expected, 0)
            assert begin >= 60
            end = begin + len(expected)
            assert seen[:begin] == list(range(begin))
            assert [one - begin for one in seen[begin:end]] == expected
            following = begin + max(expected) + 1
            assert seen[end:] == list(range(following, following + len(seen) - end))
            stream.close()

    run(test())


@pytest.mark.parametrize("kind", ["burst", "lag"])
def test_held_frames_wait_and_all_come(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            held = await raw_stream(exchange.port, QUOTE_ROUTE)
            free = await raw_stream(exchange.port, "/market/ws/btcusdt@trade")
            rest = exchange.rest()
            answer = await fault(rest, kind=kind, stream=QUOTES, span=100, count=10**6)
            early = await held.until_silent(0.1)
            assert len(await free.take(len(early) + 20)) == len(early) + 20
            await fault(rest, kind="end", id=answer.json["id"])
            ids = [frame["u"] for frame in [*early, *await held.take(120)]]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            for stream in (held, free):
                stream.close()

    run(test())


def test_frozen_prices_stand_while_ids_and_times_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            trades = await raw_stream(exchange.port, "/market/ws/btcusdt@trade")
            await stream.take(2)
            order = {"kind": "frozen", "stream": QUOTES, "duration_ms": 300}
            answer = await fault(exchange.rest(), **order)
            payloads = await until_good(stream, run_length=30)
            frames = [json.loads(payload) for payload in payloads]
            ids = [frame["u"] for frame in frames]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            bad = [frame for frame in frames if not good_quote(frame)]
            assert len(bad) > 20
            assert len({(frame["b"], frame["B"], frame["a"], frame["A"]) for frame in bad}) == 1
            assert bad[-1]["E"] > bad[0]["E"]
            assert (await ended(exchange, answer.json["id"]))["uses"] > 20
            # The neighbouring stream never froze.
            assert len({trade["p"] for trade in await trades.take(20)}) == 7
            for one in (stream, trades):
                one.close()

    run(test())


def test_mixed_product_comes_beside_the_good_frames(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            last = (await stream.take(2))[-1]["u"]
            await fault(exchange.rest(), kind="mixed_product", stream=QUOTES, count=3)
            frames = await stream.take(40)
            cousins = [frame for frame in frames if frame.get("st") == 2]
            assert [(c["s"], c["ps"]) for c in cousins] == [("BTCUSD_PERP", "BTCUSD")] * 3
            good = [frame["u"] for frame in frames if good_quote(frame)]
            assert good == list(range(last + 1, last + 38))
            stream.close()

    run(test())


def test_one_silent_stream_leaves_the_others_of_its_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            path = f"/public/stream?streams={QUOTES}/{DIFFS}"
            stream = await raw_stream(exchange.port, path)
            read = await stream.take(4)
            answer = await fault(exchange.rest(), kind="silent", stream=QUOTES, duration_ms=200)
            await ended(exchange, answer.json["id"])
            read += await stream.take(150)
            quotes = [frame["data"]["u"] for frame in read if frame["stream"] == QUOTES]
            diffs = [frame["data"]["u"] for frame in read if frame["stream"] == DIFFS]
            assert max(b - a for a, b in itertools.pairwise(quotes)) > 10
            assert all(b == a + 1 for a, b in itertools.pairwise(diffs))
            assert len(diffs) > len(quotes) + 10
            stream.close()

    run(test())


def test_share_of_frames_is_drawn_from_the_seed(tmp_path: Path) -> None:
    async def lost(seed: int) -> list[int]:
        async with ticking(tmp_path) as exchange:
            order = {"kind": "drop", "stream": QUOTES, "share": 0.3, "count": 12, "seed": seed}
            await fault(exchange.rest(), **order)
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            ids = [frame["u"] for frame in await stream.take(120)]
            stream.close()
            return sorted(set(range(101, 201)) - set(ids))

    async def test() -> None:
        first = await lost(3)
        assert len(first) == 12
        assert first == await lost(3)
        assert first != await lost(4)

    run(test())


def test_one_order_can_name_every_market(tmp_path: Path) -> None:
    async def test() -> None:
        symbols = ("BTCUSDT", "ETHUSDT")
        async with ticking(tmp_path, symbols=symbols) as exchange:
            streams = [
                await raw_stream(exchange.port, f"/public/ws/{symbol.lower()}@depth")
                for symbol in symbols
            ]
            for stream in streams:
                await stream.take(3)
            answer = await fault(exchange.rest(), kind="gap", stream="*@depth", count=2)
            assert (await ended(exchange, answer.json["id"]))["uses"] == 4
            for stream in streams:
                ids = [frame["u"] for frame in await stream.take(60)]
                assert [b - a for a, b in itertools.pairwise(ids) if b != a + 1] in ([], [3])
                stream.close()

    run(test())


def test_fault_waits_for_its_time_and_can_be_ended_by_hand(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            rest = exchange.rest()
            answer = await fault(rest, kind="silent", stream=QUOTES, after_ms=150)
            fault_id = answer.json["id"]
            armed = (await rest.open("/practice/faults")).json["armed"]
            assert [(row["id"], row["state"]) for row in armed] == [(fault_id, "waiting")]
            faults = exchange.exchange.faults
            await until(lambda: bool(faults.streams.rules))
            assert (await fault(rest, kind="end", id=fault_id)).json == {"ended": True}
            assert (await fault(rest, kind="end", id=fault_id)).json == {"ended": False}
            assert faults.streams.rules == {}
            await stream.take(10)
            stream.close()

    run(test())


def test_every_stream_kind_is_seen_here() -> None:
    seen = {kind for kind, _, _ in LIES} | {kind for kind, _, _ in ORDERS}
    by_name = {"gap", "wrong_pu", "frozen", "mixed_product", "silent"}
    assert set(STREAM_KINDS) == seen | by_name
