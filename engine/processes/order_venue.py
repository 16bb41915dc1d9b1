"""Which order side a configuration means: the venue's own, or a paper account beside its data.

practice, or live      engine.venues.binance: orders go where the market data comes from
third party and paper  engine.venues.paper: filled here, from the market ring
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from engine.clock import NS_PER_MS, VenueClock
from engine.config import Config
from engine.domain.instrument_row import Instrument
from engine.venues.binance.order_context import Emit, Offload
from engine.venues.binance.order_line import KernelLine
from engine.venues.binance.order_wire import Account
from engine.venues.binance.orders import BinanceOrders
from engine.venues.venue import OrderVenue
from ringbuffer.ring import Observer, Ring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_RECORDS: Final = 1_024
BATCHES_MAX: Final = 64  # at one look; the rest comes with the next
E8: Final = 100_000_000
MS_PER_S: Final = 1_000
PPM_PER_BPS: Final = 100


def create_order_venue(
    config: Config,
    clock: VenueClock,
    instruments: Sequence[Instrument],
    market: Ring,
    emit: Emit,
    offload: Offload,
    kernel_line: KernelLine,
) -> OrderVenue:
    """Return the order side of a configuration; nothing is opened.

    Args:
        config: venue, mode and terms.
        clock: learns the venue's time.
        instruments: by instrument index.
        market: the market ring; a paper account observes it.
        emit: takes every report.
        offload: takes work that is not a single write.
        kernel_line: lets the kernel thread write orders; a paper account has no use for it.
    """
    if config.fills_here:
        return _paper_orders(config, clock, instruments, market, emit)
    venue = config.venue
    account = Account(
        venue.rest_url,
        venue.stream_url,
        venue.api_key,
        venue.api_secret,
        config.engine_tag,
        config.epoch,
        config.order_timeout_ms,
        venue.order_url,
        config.resting_order_countdown_s * MS_PER_S,
        venue.leverage,
        venue.margin_type,
    )
    return BinanceOrders(account, clock, instruments, emit, offload, kernel_line)


def _paper_orders(
    config: Config,
    clock: VenueClock,
    instruments: Sequence[Instrument],
    market: Ring,
    emit: Emit,
) -> OrderVenue:
    # Needs numpy, which an order side without paper starts without.
    from engine.venues.binance.market import BinanceMarketData
    from engine.venues.binance.rest import BinanceRest
    from engine.venues.paper.orders import PaperOrders
    from engine.venues.paper.queue import QueueModel
    from engine.venues.paper.reports import PaperTerms

    paper = config.paper
    terms = PaperTerms(
        taker_fee_ppm=round(paper.taker_fee_bps * PPM_PER_BPS),
        maker_fee_ppm=round(paper.maker_fee_bps * PPM_PER_BPS),
        latency_ns=paper.latency_ms * NS_PER_MS,
        wallet_e8=round(paper.wallet * E8),
        engine_tag=config.engine_tag,
        epoch=config.epoch,
        queue=QueueModel(paper.queue),
        is_latency_measured=paper.latency == "measured",
        maintenance_ppm=round(paper.maintenance_bps * PPM_PER_BPS),
    )
    market_data = BinanceMarketData(BinanceRest(config.venue.rest_url, clock))
    return PaperOrders(terms, clock, instruments, market_data, ObservedMarket(market), emit)


class ObservedMarket:
    """The market ring as a paper account reads it: from the oldest record, holding nobody back."""

    def __init__(self, market: Ring) -> None:
        """Open; `close` before the ring is closed."""
        import numpy as np

        from engine.domain.records import MARKET_DTYPE

        self._observer = Observer(market, start=0)
        self._buffer = np.zeros(BATCH_RECORDS, dtype=MARKET_DTYPE)

    def read(self) -> Iterator[tuple[NDArray[np.void], bool]]:
        """Yield (MARKET_DTYPE[n], whether records were lost before them); valid until the next."""
        for _ in range(BATCHES_MAX):
            _, count, lapped = self._observer.poll_into(self._buffer)
            if count == 0 and lapped == 0:
                return
            yield self._buffer[:count], lapped > 0

    def close(self) -> None:
        """Let go of the ring's memory."""
        self._observer.close()
