"""What no real venue has: the ledger, the state, money and positions changed by hand."""

from pathlib import Path

import pytest

from tests.exchange_rig import KEY, run, running, short_tape, tape_of


def test_ledger_tells_everything_exactly(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            await rest.order(side="BUY", type="MARKET", quantity="0.030", newClientOrderId="in")
            await rest.order(side="SELL", type="MARKET", quantity="0.010", newClientOrderId="out")
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            ledger = (await rest.open("/practice/ledger", account=KEY)).json
            assert [o["clientOrderId"] for o in ledger["orders"][:2]] == ["in", "out"]
            assert [o["status"] for o in ledger["orders"]] == ["FILLED", "FILLED", "NEW"]
            assert [t["clientOrderId"] for t in ledger["trades"]] == ["in", "out"]
            position = ledger["positions"][0]
            assert position["positionAmt"] == "0.020"
            assert position["cost"] == "1200.00200000"
            assert position["realizedPnl"] == "-0.00100000"
            # 0.9000015 for buying, 0.3 for selling.
            assert position["commission"] == "1.20000150"
            balance = ledger["balances"][0]
            assert balance["deposit"] == "10000.00000000"
            assert balance["walletBalance"] == "9998.79899850"
            by_header = (await rest.keyed("GET", "/practice/ledger")).json
            assert by_header["trades"] == ledger["trades"]

    run(test())


def test_unknown_account_has_no_ledger(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            answer = await exchange.rest().open("/practice/ledger", account="nobody")
            assert (answer.status, answer.json["code"]) == (401, -2015)

    run(test())


@pytest.mark.parametrize("amount", ["0.250", "-0.250", "0"])
def test_position_changed_by_hand_shows_everywhere(tmp_path: Path, amount: str) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            order = {"account": KEY, "symbol": "BTCUSDT", "positionAmt": amount}
            answer = await rest.practice("/practice/position", order | {"entryPrice": "60000"})
            assert answer.status == 200
            event = await user.next_event("ACCOUNT_UPDATE")
            assert float(event["a"]["P"][0]["pa"]) == float(amount)
            ledger = (await rest.open("/practice/ledger", account=KEY)).json
            assert float(ledger["positions"][0]["positionAmt"]) == float(amount)
            assert ledger["trades"] == []
            assert [float(row["qty"]) for row in ledger["byHand"]] == [float(amount)]
            assert ledger["balances"][0]["walletBalance"] == "10000.00000000"
            await user.close()

    run(test())


@pytest.mark.parametrize(
    "order",
    [
        {"account": KEY, "symbol": "XXXUSDT", "positionAmt": "1"},
        {"account": KEY, "symbol": "BTCUSDT", "positionAmt": "NaN"},
        {"account": "nobody", "symbol": "BTCUSDT", "positionAmt": "1"},
    ],
)
def test_bad_position_commands_change_nothing(tmp_path: Path, order: dict[str, str]) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest(key="")
            assert (await rest.practice("/practice/position", order)).status in {400, 401}
            assert exchange.exchange.venue.accounts[KEY].positions == {} or all(
                p.qty == 0 for p in exchange.exchange.venue.accounts[KEY].positions.values()
            )

    run(test())


TICK = {"symbol": "BTCUSDT", "side": "SELL", "price": "59995.00", "quantity": "0.250"}


def test_a_trade_by_hand_fills_what_rests_and_is_in_history_and_bars(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", tail_ms=60_000))) as exchange:
            rest = exchange.rest()
            assert (await rest.practice("/practice/tick", TICK)).status == 400, "not yet"
            await rest.practice("/practice/play", {})
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            await rest.order(side="BUY", quantity="0.010", price="59995.00", newClientOrderId="in")
            assert (await rest.practice("/practice/tick", TICK)).status == 200
            fills = (await rest.open("/practice/ledger", account=KEY)).json["trades"]
            assert [(f["clientOrderId"], f["price"]) for f in fills] == [("in", "59995.00")]
            found = exchange.exchange.derived
            await exchange.until(lambda: len(found.history) == 3)
            trades = (await rest.open("/fapi/v1/aggTrades", symbol="BTCUSDT")).json
            assert [row["a"] for row in trades] == [1, 2, 3]
            assert (trades[2]["p"], trades[2]["q"], trades[2]["m"]) == ("59995.00", "0.250", True)
            bar = found.series[0].day()
            assert bar is not None
            assert bar.count == 3

    run(test())


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "XXXUSDT"},
        {"price": "NaN"},
        {"price": "0"},
        {"price": "59995.05"},
        {"price": "30000.00"},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"side": "UP"},
        {"side": ["SELL"]},
    ],
)
def test_a_trade_by_hand_that_is_none_is_not_printed(
    tmp_path: Path, change: dict[str, object]
) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a", tail_ms=60_000))) as exchange:
            rest = exchange.rest()
            await rest.practice("/practice/play", {})
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            assert (await rest.practice("/practice/tick", TICK | change)).status == 400
            assert exchange.exchange.player.event_count == 9

    run(test())


def test_deposits_and_withdrawals(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            user = await exchange.user_stream(rest)
            answer = await rest.practice("/practice/deposit", {"amount": "5.5"})
            assert answer.json["walletBalance"] == "10005.50000000"
            event = await user.next_event("ACCOUNT_UPDATE")
            assert (event["a"]["m"], event["a"]["B"][0]["bc"]) == ("DEPOSIT", "5.50000000")
            answer = await rest.practice("/practice/deposit", {"amount": "-10000"})
            assert answer.json["walletBalance"] == "5.50000000"
            ledger = (await rest.open("/practice/ledger", account=KEY)).json
            assert ledger["balances"][0]["adjustments"] == "-9994.50000000"
            assert ledger["balances"][0]["deposit"] == "10000.00000000"
            transfers = [(row["incomeType"], row["income"]) for row in ledger["income"]]
            assert transfers == [("TRANSFER", "5.50000000"), ("TRANSFER", "-10000.00000000")]
            await user.close()

    run(test())


def test_state_before_play(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            state = (await exchange.rest().open("/practice/state")).json
            assert (state["tape_started"], state["tape_ended"], state["events"]) == (
                False,
                False,
                0,
            )
            assert (state["speed"], state["symbols"]) == (1.0, ["BTCUSDT"])

    run(test())


@pytest.mark.parametrize("body", [b"{nonsense", b"[1,2]"])
def test_bodies_that_are_no_objects_are_refused(tmp_path: Path, body: bytes) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            for path in ("/practice/fault", "/practice/position", "/practice/deposit"):
                answer = await rest.send("POST", path, body, "application/json")
                assert (answer.status, answer.json["code"]) == (400, -1000)

    run(test())


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/practice/fault", {"kind": "rest", "count": "many"}),
        ("/practice/fault", {"kind": "user_event", "account": KEY}),
        ("/practice/fault", {"kind": "user_event", "account": KEY, "event": 5}),
        ("/practice/fault", {"kind": "time_offset", "offset_ms": "soon"}),
        ("/practice/fault", {"kind": "silent", "stream": "btcusdt@depth", "duration_ms": []}),
        ("/practice/probe", {"stream": "btcusdt@bookTicker", "count": "x"}),
        ("/practice/position", {"account": KEY, "symbol": "BTCUSDT", "positionAmt": {}}),
        ("/practice/deposit", {"account": KEY, "amount": "1e999"}),
    ],
)
def test_commands_of_the_wrong_type_are_refused(
    tmp_path: Path, path: str, order: dict[str, object]
) -> None:
    async def test() -> None:
        async with running(tape_of(short_tape(tmp_path / "a"))) as exchange:
            rest = exchange.rest()
            answer = await rest.practice(path, order)
            assert answer.status == 400
            assert answer.json["code"] in {-1000, -1013}

    run(test())


def test_every_order_that_came_is_told_whatever_became_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape) as exchange:
            rest = exchange.rest()
            far = {"side": "BUY", "quantity": "0.010", "price": "59990.00"}
            lost = {"kind": "rest", "path": "/fapi/v1/order", "status": 503, "execute": False}
            await rest.practice("/practice/fault", lost)
            assert (await rest.order(**far, newClientOrderId="lost")).status == 503
            assert (
                await rest.order(**far, newClientOrderId="refused", symbol="NONE")
            ).status == 400
            assert (await rest.order(**far, newClientOrderId="twice")).status == 200
            assert (await rest.order(**far, newClientOrderId="twice")).status == 400
            assert (await rest.order(**far)).status == 200, "without an id of its own"
            sent = (await rest.open("/practice/sent")).json
            names = ["lost", "refused", "twice", "twice"]
            assert sent == {"clientOrderIds": names, "untimely": []}
            off = {"kind": "clock_skew", "offset_ms": 60_000}
            await rest.practice("/practice/fault", off)
            assert (await rest.order(**far, newClientOrderId="late")).json["code"] == -1021
            sent = (await rest.open("/practice/sent")).json
            assert sent == {"clientOrderIds": [*names, "late"], "untimely": ["late"]}

    run(test())
