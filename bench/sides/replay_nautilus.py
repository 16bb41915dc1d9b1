"""NautilusTrader's side of the replay bench; runs under the interpreter that has it.

    python -m bench.sides.replay_nautilus ROWS.npy

Prints one JSON line when the market lies in its engine, then one per line of standard input: each
runs the whole market through a reset engine. Logging is bypassed, the risk engine too, fees are
nil, no latency model: whatever costs time and is not asked for is off. Its instrument, ticks and
strategy are those of a user who writes the strategy in Python.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import nautilus_trader
import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, TraderId, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from bench.sides.replay_rows import (
    FEED_LATENCY_NS,
    FIRST,
    FOURTH,
    KIND,
    LOT,
    PRICE_DIGITS,
    QTY_DIGITS,
    QTY_LOTS,
    QUOTE,
    RECEIVE_NS,
    SECOND,
    SIDE,
    THIRD,
    THRESHOLD,
    TICK,
    Rows,
)

VENUE = Venue("BINANCE")
INSTRUMENT_ID = InstrumentId(Symbol("BTCUSDT-PERP"), VENUE)
WALLET = 1_000_000


def instrument() -> CryptoPerpetual:
    """Return the recorded instrument, without fees."""
    return CryptoPerpetual(
        instrument_id=INSTRUMENT_ID,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=PRICE_DIGITS,
        size_precision=QTY_DIGITS,
        price_increment=Price(TICK, PRICE_DIGITS),
        size_increment=Quantity(LOT, QTY_DIGITS),
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
        ts_event=0,
        ts_init=0,
    )


def ticks_of(rows: Rows) -> list[QuoteTick | TradeTick]:
    """Return the market as NautilusTrader's own objects, one for each row."""
    made: list[QuoteTick | TradeTick] = []
    for row in rows.tolist():
        times = (row[RECEIVE_NS] - FEED_LATENCY_NS, row[RECEIVE_NS])
        first = Price(row[FIRST] * TICK, PRICE_DIGITS)
        if row[KIND] == QUOTE:
            second = Price(row[SECOND] * TICK, PRICE_DIGITS)
            sizes = (Quantity(row[k] * LOT, QTY_DIGITS) for k in (THIRD, FOURTH))
            made.append(QuoteTick(INSTRUMENT_ID, first, second, *sizes, *times))
        else:
            size = Quantity(row[SECOND] * LOT, QTY_DIGITS)
            taker = AggressorSide.BUYER if row[SIDE] > 0 else AggressorSide.SELLER
            number = TradeId(str(len(made)))
            made.append(TradeTick(INSTRUMENT_ID, first, size, taker, number, *times))
    return made


class Imbalance(Strategy):
    """The strategy of `bench.sides.replay_rows`."""

    def __init__(self) -> None:
        """Start flat."""
        super().__init__()
        self.on_reset()

    def on_reset(self) -> None:
        """Start again."""
        self.records = self.orders = self.position = 0
        self.in_flight = False

    def on_start(self) -> None:
        """Subscribe to both kinds."""
        self.quantity = Quantity(QTY_LOTS * LOT, QTY_DIGITS)
        self.subscribe_quote_ticks(INSTRUMENT_ID)
        self.subscribe_trade_ticks(INSTRUMENT_ID)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Decide on a quote."""
        self.records += 1
        bid, ask = tick.bid_size.as_double(), tick.ask_size.as_double()
        imbalance = (bid - ask) / (bid + ask)
        if imbalance >= THRESHOLD and self.position <= 0:
            self.trade(OrderSide.BUY)
        elif imbalance <= -THRESHOLD and self.position >= 0:
            self.trade(OrderSide.SELL)

    def on_trade_tick(self, _tick: TradeTick) -> None:
        """Count a trade."""
        self.records += 1

    def trade(self, side: OrderSide) -> None:
        """Send a market order, unless one is on its way."""
        if self.in_flight:
            return
        self.in_flight = True
        self.orders += 1
        self.submit_order(self.order_factory.market(INSTRUMENT_ID, side, self.quantity))

    def on_order_filled(self, event: OrderFilled) -> None:
        """Keep the position; an order larger than the quote is filled in parts."""
        lots = round(event.last_qty.as_double() / LOT)
        self.position += lots if event.order_side == OrderSide.BUY else -lots
        self.in_flight = self.position not in {-QTY_LOTS, 0, QTY_LOTS}


class Side:
    """An engine that holds the market, and the strategy."""

    def __init__(self, rows: Rows) -> None:
        """Build both."""
        self.engine = BacktestEngine(
            BacktestEngineConfig(
                trader_id=TraderId("BENCH-001"),
                logging=LoggingConfig(bypass_logging=True),
                risk_engine=RiskEngineConfig(bypass=True),
                run_analysis=False,
            )
        )
        self.engine.add_venue(
            VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(WALLET, USDT)], base_currency=USDT
        )
        self.engine.add_instrument(instrument())
        ticks = ticks_of(rows)
        self.engine.add_data([tick for tick in ticks if isinstance(tick, QuoteTick)], sort=False)
        self.engine.add_data([tick for tick in ticks if isinstance(tick, TradeTick)], sort=True)
        self.strategy = Imbalance()
        self.engine.add_strategy(self.strategy)
        del ticks
        gc.collect()
        gc.freeze()

    def play(self) -> dict[str, float]:
        """Run the market; only the run is timed."""
        self.engine.reset()
        cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
        self.engine.run()
        cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
        found = self.strategy
        return {
            "records": found.records,
            "rows": found.records,
            "orders": found.orders,
            "cpu_ns": cpu_ns,
            "wall_ns": wall_ns,
        }


def main() -> None:
    """Answer one line per pass until standard input ends."""
    side = Side(np.load(Path(sys.argv[1])))
    print(json.dumps({"version": nautilus_trader.__version__}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(side.play()), flush=True)


if __name__ == "__main__":
    main()
