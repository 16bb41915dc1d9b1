"""Accounts across restarts of the exchange: all comes back exactly, or the start refuses."""

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from exchange.book import BUY, SELL
from exchange.door import Door
from exchange.errors import LedgerFileError
from exchange.ledger_file import EVERYBODY_AHEAD, load, save
from exchange.matching import Market
from exchange.server import Options
from exchange.symbols import known_spec
from exchange.venue import Venue
from tests.exchange_rig import KEY, fill_book, quiet_venue, run, running, short_tape, tape_of

BID = 60_000_00


def traded() -> tuple[Venue, Market]:
    venue, market = quiet_venue()
    fill_book(market)
    account = venue.accounts[KEY]
    order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010"}
    venue.place(account, order | {"type": "MARKET"})
    limit = {"type": "LIMIT", "timeInForce": "GTC", "price": "60000.00"}
    venue.place(account, order | limit | {"newClientOrderId": "rest"})
    venue.public_trade(market, BID, 1_004, SELL)
    held = account.positions["BTCUSDT"].qty
    venue.set_position(account, "BTCUSDT", held, BID)
    venue.credit(account, "TRANSFER", 5)
    account.leverage["BTCUSDT"] = 7
    account.margin_type["BTCUSDT"] = "ISOLATED"
    return venue, market


def test_ledger_comes_back_as_it_was(tmp_path: Path) -> None:
    before, _ = traded()
    before.accounts[KEY].fee_burn = True
    market_order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "type": "MARKET"}
    before.place(before.accounts[KEY], market_order)
    save(tmp_path / "ledger", before)
    after, _ = quiet_venue()
    assert load(tmp_path / "ledger", after)
    was, now = before.accounts[KEY], after.accounts[KEY]
    assert (now.wallet, now.deposit, now.income) == (was.wallet, was.deposit, was.income)
    assert [o.view() for o in now.orders.values()] == [o.view() for o in was.orders.values()]
    assert [f.view() for f in now.fills] == [f.view() for f in was.fills]
    assert now.positions == was.positions
    assert now.by_hand == was.by_hand != []
    assert (now.leverage, now.margin_type) == (was.leverage, was.margin_type)
    assert now.fee_burn
    assert {f.commission_asset for f in now.fills} == {"USDT", "BNB"}
    assert (after.last_order_id, after.last_trade_id) == (
        before.last_order_id,
        before.last_trade_id,
    )


def test_conditional_orders_come_back_and_those_that_are_open_wait(tmp_path: Path) -> None:
    before, _ = traded()
    account = before.accounts[KEY]
    stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "type": "STOP_MARKET", "side": "SELL"}
    amount = {"quantity": "0.010", "reduceOnly": "true"}
    for number, price in enumerate(("59000.00", "58000.00")):
        words = {"triggerPrice": price, "clientAlgoId": f"stop{number}"}
        before.algo_desk.place(account, stop | amount | words)
    before.algo_desk.cancel(account, {"clientAlgoId": "stop0"})
    save(tmp_path / "ledger", before)
    after, market = quiet_venue()
    load(tmp_path / "ledger", after)
    was, now = before.algo_desk.of(account), after.algo_desk.of(after.accounts[KEY])
    assert [order.view() for order in now] == [order.view() for order in was]
    assert [order.client_id for order in market.algos] == ["stop1"]
    words = {"triggerPrice": "57000.00", "clientAlgoId": "stop2"}
    placed = after.algo_desk.place(after.accounts[KEY], stop | amount | words)
    assert placed.algo_id == was[-1].algo_id + 1


def test_a_trailing_stop_goes_on_from_its_best_price(tmp_path: Path) -> None:
    before, market = traded()
    account = before.accounts[KEY]
    words = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.010"}
    trail = words | {"type": "TRAILING_STOP_MARKET", "callbackRate": "1.0"}
    before.algo_desk.place(account, trail)
    market.last_price = 62_000_00
    before.algo_desk.watch(market)
    save(tmp_path / "ledger", before)
    after, market = quiet_venue()
    load(tmp_path / "ledger", after)
    fill_book(market)
    (order,) = market.algos
    for price, is_open in ((61_390_00, True), (61_380_00, False)):  # 1 per cent below 62000
        market.last_price = price
        after.algo_desk.watch(market)
        assert order.is_open == is_open


def test_a_full_disk_is_named_and_the_last_ledger_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger"
    save(path, quiet_venue()[0])
    whole = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerFileError, match=rf"{path}: cannot be written \(No space left"):
        save(path, traded()[0])
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_later_ids_are_fresh(tmp_path: Path) -> None:
    before, _ = traded()
    save(tmp_path / "ledger", before)
    after, market = quiet_venue()
    load(tmp_path / "ledger", after)
    fill_book(market)
    order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "type": "MARKET"}
    placed = after.place(after.accounts[KEY], order)
    assert placed.order_id not in before.accounts[KEY].orders
    assert after.accounts[KEY].fills[-1].trade_id > before.accounts[KEY].fills[-1].trade_id


def test_open_order_rests_at_the_end_of_the_queue(tmp_path: Path) -> None:
    before, _ = traded()
    save(tmp_path / "ledger", before)
    after, market = quiet_venue()
    load(tmp_path / "ledger", after)
    order = after.accounts[KEY].open_by_client_id["rest"]
    assert (order.cum_qty, order.ahead_qty) == (4, EVERYBODY_AHEAD)
    market.on_quote((300, BID, 500, BID + 10, 500))
    assert order.ahead_qty == 500
    after.public_trade(market, BID, 506, SELL)
    assert order.status == "FILLED"
    assert after.accounts[KEY].positions["BTCUSDT"].qty == 20
    assert market.on_trade(BID - 10, 100, BUY) == []


def test_absent_file_is_a_fresh_start(tmp_path: Path) -> None:
    venue, _ = quiet_venue()
    assert not load(tmp_path / "ledger", venue)


def test_accounts_of_other_keys_are_left_alone(tmp_path: Path) -> None:
    before, _ = traded()
    before.accounts["other"] = before.accounts.pop(KEY)
    before.accounts["other"].key = "other"
    save(tmp_path / "ledger", before)
    after, _ = quiet_venue()
    load(tmp_path / "ledger", after)
    assert after.accounts[KEY].orders == {}


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"version": 2}', '{"version": 1}'])
def test_file_that_is_no_ledger_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger"
    path.write_text(text)
    venue, _ = quiet_venue()
    with pytest.raises(LedgerFileError, match=str(path)):
        load(path, venue)


def test_symbol_this_market_does_not_list_is_refused(tmp_path: Path) -> None:
    before, _ = traded()
    save(tmp_path / "ledger", before)
    after = Venue(before.clock, 0)
    ether = known_spec("ETHUSDT")
    assert ether is not None
    after.add_market(ether)
    after.add_account(KEY, KEY)
    with pytest.raises(LedgerFileError, match="BTCUSDT"):
        load(tmp_path / "ledger", after)


def test_failed_write_keeps_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue, _ = traded()
    path = tmp_path / "ledger"
    save(path, venue)
    kept = path.read_bytes()
    monkeypatch.setattr("exchange.ledger_file.os.fsync", lambda _fd: 1 / 0)
    venue.accounts[KEY].wallet = 1
    with pytest.raises(ZeroDivisionError):
        save(path, venue)
    assert path.read_bytes() == kept


def test_exchange_that_restarts_remembers(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(autostart=True, ledger_path=tmp_path / "ledger")
        path = short_tape(tmp_path / "a", tail_ms=60_000)
        async with running(tape_of(path), options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            rest = exchange.rest()
            await rest.order(side="BUY", type="MARKET", quantity="0.010")
            await rest.order(side="BUY", quantity="0.010", price="59990.00")
            first = (await rest.open("/practice/ledger", account=KEY)).json
        async with running(tape_of(path), options) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count == 9)
            rest = exchange.rest()
            second = (await rest.open("/practice/ledger", account=KEY)).json
            for name in ("orders", "trades", "positions", "income"):
                assert second[name] == first[name]
            opened = (await rest.signed("GET", "/fapi/v1/openOrders")).json
            assert [order["price"] for order in opened] == ["59990.00"]

    run(test())


def test_who_comes_while_the_doors_close_is_promised_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        path = short_tape(tmp_path / "a", tail_ms=60_000)
        clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        close = Door.close

        async def close_late(door: Door) -> None:
            clients.append(await asyncio.open_connection("127.0.0.1", exchange.exchange.ports[0]))
            await exchange.until(lambda: bool(exchange.exchange.connections))
            await close(door)

        async with running(tape_of(path), Options(ledger_path=tmp_path / "ledger")) as exchange:
            monkeypatch.setattr(Door, "close", close_late)
            await exchange.exchange.close()
            monkeypatch.setattr(Door, "close", close)
            reader, writer = clients[0]
            writer.write(b"GET /fapi/v1/time HTTP/1.1\r\nHost: a\r\n\r\n")
            with suppress(ConnectionError):
                assert await reader.read(1) == b""
            writer.close()

    run(test())
