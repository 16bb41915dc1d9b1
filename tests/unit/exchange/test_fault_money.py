"""Funding, liquidation, deleveraging and trades by hand: exact books, told as the venue tells."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.exchange_rig import KEY, Rest, Running, run, running, short_tape, tape_of, until
from tests.fault_rig import fault

SYMBOL = "BTCUSDT"


async def bought(rest: Rest, qty: str = "0.010") -> None:
    answer = await rest.order(type="MARKET", side="BUY", quantity=qty)
    assert answer.status == 200, answer.json


async def ledger_of(rest: Rest) -> dict[str, Any]:
    found: dict[str, Any] = (await rest.open("/practice/ledger", account=KEY)).json
    return found


def books_balance(ledger: dict[str, Any]) -> bool:
    """Tell whether the wallet is the deposit and the sum of all income, to the last unit."""
    (wallet,) = ledger["balances"]
    income = sum((Decimal(row["income"]) for row in ledger["income"]), Decimal(0))
    return Decimal(wallet["walletBalance"]) == Decimal(wallet["deposit"]) + income


@asynccontextmanager
async def trading(folder: Path) -> AsyncIterator[tuple[Running, Rest]]:
    """Run a market that has its book."""
    async with running(tape_of(short_tape(folder / "a"))) as exchange:
        exchange.exchange.player.start()
        market = exchange.exchange.venue.markets[SYMBOL]
        await until(lambda: market.mark_price() > 0)
        yield exchange, exchange.rest()


@pytest.mark.parametrize("rate_ppm", [100, -250])
def test_funding_is_paid_by_one_side_and_has_its_income_row(tmp_path: Path, rate_ppm: int) -> None:
    async def test() -> None:
        async with trading(tmp_path) as (exchange, rest):
            user = await exchange.user_stream(rest)
            await bought(rest)
            answer = await fault(rest, kind="funding", account=KEY, rate_ppm=rate_ppm)
            paid = Decimal(answer.json["paid"])
            mark = exchange.exchange.venue.markets[SYMBOL].mark_price()
            notional = Decimal(mark) / 100 * Decimal("0.010")
            assert abs(paid + notional * rate_ppm / 1_000_000) <= Decimal("1e-8")
            event = await user.next_event("ACCOUNT_UPDATE")
            while event["a"]["m"] != "FUNDING_FEE":
                event = await user.next_event("ACCOUNT_UPDATE")
            assert (event["a"]["P"], Decimal(event["a"]["B"][0]["bc"])) == ([], paid)
            ledger = await ledger_of(rest)
            (row,) = [row for row in ledger["income"] if row["incomeType"] == "FUNDING_FEE"]
            assert (row["symbol"], Decimal(row["income"])) == (SYMBOL, paid)
            ids = [row["tranId"] for row in ledger["income"]]
            assert len(set(ids)) == len(ids)
            assert books_balance(ledger)
            await user.close()

    run(test())


@pytest.mark.parametrize(
    ("kind", "name", "execution"),
    [
        ("liquidation", "autoclose-", "CALCULATED"),
        ("deleveraging", "adl_autoclose", "CALCULATED"),
        ("settlement", "settlement_autoclose-", "CALCULATED"),
        ("manual_trade", "web_", "TRADE"),
    ],
)
def test_the_venues_own_trades_close_what_is_held_under_their_names(
    tmp_path: Path, kind: str, name: str, execution: str
) -> None:
    async def test() -> None:
        async with trading(tmp_path) as (exchange, rest):
            await bought(rest)
            user = await exchange.user_stream(rest)
            assert (await fault(rest, kind=kind, account=KEY)).json == {"fills": 1}
            event = await user.next_event("ORDER_TRADE_UPDATE")
            order = event["o"]
            assert str(order["c"]).startswith(name)
            assert (order["x"], order["X"], order["S"]) == (execution, "FILLED", "SELL")
            ledger = await ledger_of(rest)
            assert Decimal(ledger["positions"][0]["positionAmt"]) == 0
            assert ledger["trades"][-1]["id"] == order["t"]
            assert books_balance(ledger)
            assert (await fault(rest, kind=kind, account=KEY)).json == {"fills": 0}, "nothing held"
            await user.close()

    run(test())


def test_a_trade_by_hand_of_a_size_needs_a_side(tmp_path: Path) -> None:
    async def test() -> None:
        async with trading(tmp_path) as (_exchange, rest):
            order = {"kind": "manual_trade", "account": KEY, "symbol": SYMBOL, "qty": "0.002"}
            assert (await rest.practice("/practice/fault", order)).status == 400
            assert (await fault(rest, **order, side="SELL")).json == {"fills": 1}
            ledger = await ledger_of(rest)
            assert Decimal(ledger["positions"][0]["positionAmt"]) == Decimal("-0.002")
            assert books_balance(ledger)

    run(test())


def test_a_partial_fill_expires_the_rest_and_can_cut_the_stream_first(tmp_path: Path) -> None:
    async def test() -> None:
        async with trading(tmp_path) as (exchange, rest):
            user = await exchange.user_stream(rest)
            await fault(rest, kind="partial_fill", share=0.5, count=1, cut=True)
            await bought(rest, "0.010")
            (order,) = (await ledger_of(rest))["orders"]
            assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.005")
            streams = [c for c in exchange.exchange.connections if c.is_stream]
            await until(lambda: not [c for c in exchange.exchange.connections if c in streams])
            await bought(rest, "0.010")
            assert (await ledger_of(rest))["orders"][-1]["status"] == "FILLED", "it was one order"
            await user.close()

    run(test())
