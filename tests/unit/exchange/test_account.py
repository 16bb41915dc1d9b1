"""Money of an account: fees, realised profit, exact round trips, history that stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import account as account_module
from exchange.account import Account, Position, fee_of
from exchange.orders import CANCELED, FILLED
from tests.exchange_rig import USDT, btc, limit_order

PRICE = 60_000_00


def filled(account: Account, side: int, price: int, qty: int, trade_id: int = 1) -> int:
    made = limit_order(side, PRICE, qty, trade_id, f"c{trade_id}")
    account.add_order(made)
    fill = account.book_fill(made, price, qty, maker=False, trade_id=trade_id, time_ms=5)
    made.status = FILLED
    account.close_order(made)
    return fill.realised


def test_fees_are_two_and_five_basis_points_rounded_half_up() -> None:
    assert fee_of(1_000 * USDT, maker=True) == 20_000_000
    assert fee_of(1_000 * USDT, maker=False) == 50_000_000
    assert fee_of(1_000, maker=False) == 1  # 0.5 of the smallest unit
    assert fee_of(999, maker=False) == 0


def test_round_trip_realises_the_difference_less_fees() -> None:
    account = Account("k", "s", 10_000 * USDT)
    assert filled(account, 1, PRICE, 100, 1) == 0
    assert filled(account, -1, PRICE + 100_00, 100, 2) == 10 * USDT
    paid = fee_of(6_000 * USDT, maker=False) + fee_of(6_010 * USDT, maker=False)
    assert account.wallet == 10_000 * USDT + 10 * USDT - paid
    assert account.positions["BTCUSDT"].qty == 0
    assert account.positions["BTCUSDT"].cost == 0


def test_short_position_gains_when_the_price_falls() -> None:
    account = Account("k", "s", 10_000 * USDT)
    filled(account, -1, PRICE, 200, 1)
    assert filled(account, 1, PRICE - 50_00, 100, 2) == 5 * USDT
    position = account.positions["BTCUSDT"]
    assert (position.qty, position.entry_price_text()) == (-100, "60000.00000000")
    assert position.unrealised(PRICE - 50_00) == 5 * USDT


def test_fill_that_turns_a_position_opens_at_its_price() -> None:
    account = Account("k", "s", 10_000 * USDT)
    filled(account, 1, PRICE, 100, 1)
    assert filled(account, -1, PRICE + 10_00, 300, 2) == 1 * USDT
    position = account.positions["BTCUSDT"]
    assert position.qty == -200
    assert position.entry_price_text() == "60010.00000000"


@pytest.mark.parametrize("side", [1, -1])
def test_part_of_a_cost_is_released_rounded_towards_zero(side: int) -> None:
    position = Position(btc())
    position.apply(side, 100_00, 1)
    position.apply(side, 100_01, 2)
    # 0.30002 USDT for three steps: one costs 0.10000666, two thirds of a unit stay.
    assert position.cost == side * 30_002_000
    assert position.apply(-side, 100_00, 1) == side * (10_000_000 - 10_000_666)
    assert position.cost == side * (30_002_000 - 10_000_666)


def test_average_entry_is_rounded_for_display_only() -> None:
    position = Position(btc())
    position.apply(1, 100_00, 1)
    position.apply(1, 100_10, 2)
    assert position.entry_price_text() == "100.06666667"
    assert position.cost == 100_00 * 1_000 + 2 * 100_10 * 1_000


@given(
    fills=st.lists(
        st.tuples(
            st.sampled_from([1, -1]), st.integers(10, 10**7), st.integers(1, 10**4), st.booleans()
        ),
        min_size=1,
        max_size=40,
    )
)
def test_wallet_and_position_follow_exactly_from_the_fills(
    fills: list[tuple[int, int, int, bool]],
) -> None:
    account = Account("k", "s", 1_000_000 * USDT)
    cash = 0
    for trade_id, (side, price, qty, maker) in enumerate(fills, 1):
        made = limit_order(side, PRICE, qty, trade_id, f"c{trade_id}")
        account.add_order(made)
        account.book_fill(made, price, qty, maker=maker, trade_id=trade_id, time_ms=trade_id)
        cash -= side * btc().notional(price, qty)
    position = account.positions["BTCUSDT"]
    fees = sum(fill.fee for fill in account.fills)
    assert position.qty == sum(side * qty for side, _, qty, _ in fills)
    assert account.wallet == account.deposit + position.realised - fees
    assert position.realised == sum(fill.realised for fill in account.fills)
    assert cash == position.realised - position.cost
    if position.qty == 0:
        assert position.cost == 0


def test_income_rows_add_up_to_the_wallet() -> None:
    account = Account("k", "s", 100 * USDT)
    filled(account, 1, PRICE, 100, 1)
    filled(account, -1, PRICE + 1_00, 100, 2)
    kinds = [row["incomeType"] for row in account.income]
    assert kinds == ["COMMISSION", "COMMISSION", "REALIZED_PNL"]
    total = sum(int(str(row["income"]).replace(".", "")) for row in account.income)
    assert account.wallet == account.deposit + total


def test_overfill_is_a_programmer_error() -> None:
    account = Account("k", "s", 100 * USDT)
    made = limit_order(1, PRICE, 10)
    account.add_order(made)
    with pytest.raises(AssertionError):
        account.book_fill(made, PRICE, 11, maker=True, trade_id=1, time_ms=1)


def test_client_id_of_a_closed_order_is_free_again() -> None:
    account = Account("k", "s", 100 * USDT)
    first = limit_order(1, PRICE, 10, 1, "same")
    account.add_order(first)
    assert "same" in account.open_by_client_id
    first.status = CANCELED
    account.close_order(first)
    second = limit_order(1, PRICE, 10, 2, "same")
    account.add_order(second)
    assert account.open_by_client_id["same"] is second
    assert account.last_by_client_id["same"] is second


def test_history_forgets_the_oldest_closed_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "HISTORY_CAPACITY", 3)
    account = Account("k", "s", 100 * USDT)
    kept = limit_order(1, PRICE, 10, 1, "open")
    account.add_order(kept)
    for order_id in range(2, 8):
        closed = limit_order(1, PRICE, 10, order_id, f"c{order_id}")
        account.add_order(closed)
        closed.status = CANCELED
        account.close_order(closed)
    assert len(account.orders) == 3 + 0
    assert 1 in account.orders
    assert "c2" not in account.last_by_client_id


def test_history_of_fills_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "HISTORY_CAPACITY", 20)
    account = Account("k", "s", 10**6 * USDT)
    for trade_id in range(1, 50):
        filled(account, 1 if trade_id % 2 else -1, PRICE, 1, trade_id)
    assert len(account.fills) <= 20
    assert account.fills[-1].trade_id == 49


def test_leverage_has_a_default() -> None:
    account = Account("k", "s", 0)
    assert account.leverage_of("BTCUSDT") == 20
    account.leverage["BTCUSDT"] = 5
    assert account.leverage_of("BTCUSDT") == 5
