"""Discovery: which pairs are active, how they rank, and what happens without a ranking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.clock import VenueClock
from engine.config import Config
from engine.domain.instrument import read_instruments
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_instruments import RANKING_TRIES, InstrumentChoice
from engine.venues.binance import discovery
from engine.venues.binance.discovery import (
    DAY_TICKER_WEIGHT,
    FALLBACK,
    parse_day_volumes,
    rank_by_volume,
    weight_limit,
)
from engine.venues.binance.exchange_info import ExchangeInfo, parse_exchange_info
from engine.venues.binance.http import Response
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import NotExecutedError, ProtocolError, RateLimitError, VenueError
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
FOREVER_MS = 4_133_404_800_000


def row(symbol: str, **fields: object) -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001"},
    ]
    pair = {"quoteAsset": "USDT", "marginAsset": "USDT", "deliveryDate": FOREVER_MS}
    return {"symbol": symbol, "filters": filters, **pair, **fields}


def listed(*rows: dict[str, Any], weight: int = 2400) -> ExchangeInfo:
    limits = [
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1},
        {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": weight,
        },
    ]
    return parse_exchange_info(json.dumps({"symbols": rows, "rateLimits": limits}).encode())


def ranked(*rows: dict[str, Any], volumes: dict[str, str]) -> list[str]:
    known = {symbol: Decimal(volume) for symbol, volume in volumes.items()}
    return rank_by_volume(listed(*rows), known, NOW_MS * 1_000_000)


def test_the_most_traded_come_first_and_ties_have_one_order() -> None:
    rows = [row(symbol) for symbol in ("BUSDT", "CUSDT", "AUSDT", "DUSDT")]
    volumes = {"AUSDT": "5", "BUSDT": "5", "CUSDT": "9.5", "DUSDT": "10"}
    assert ranked(*rows, volumes=volumes) == ["DUSDT", "CUSDT", "AUSDT", "BUSDT"]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "SETTLING"},
        {"status": "PENDING_TRADING"},
        {"contractType": "CURRENT_QUARTER"},
        {"contractType": "TRADIFI_PERPETUAL"},
        {"contractType": ""},
        {"quoteAsset": "USDC", "marginAsset": "USDC"},
        {"marginAsset": "BTC"},
        {"st": 2},
        {"deliveryDate": NOW_MS + DAY_MS - 1},
        {"deliveryDate": NOW_MS - 1},
    ],
)
def test_what_is_no_active_pair_is_passed_over(fields: dict[str, Any]) -> None:
    rows = [row("GOODUSDT", st=1), row("BADUSDT", **fields)]
    assert ranked(*rows, volumes={"GOODUSDT": "1", "BADUSDT": "1000"}) == ["GOODUSDT"]


def test_the_end_of_a_pair_counts_only_when_it_is_near() -> None:
    rows = [row("AUSDT", deliveryDate=NOW_MS + DAY_MS), row("BUSDT", deliveryDate=0)]
    assert ranked(*rows, volumes={"AUSDT": "1", "BUSDT": "2"}) == ["BUSDT", "AUSDT"]


def test_a_pair_without_a_volume_is_not_ranked() -> None:
    assert ranked(row("AUSDT"), row("BUSDT"), volumes={"BUSDT": "0", "ZUSDT": "9"}) == ["BUSDT"]


def test_a_volume_that_is_no_amount_is_left_out() -> None:
    texts: list[object] = ["1.5", "NaN", "Infinity", "-1", "x", "", None, 2.5]
    rows = [{"symbol": f"S{k}", "quoteVolume": text} for k, text in enumerate(texts)]
    assert parse_day_volumes(json.dumps(rows).encode()) == {
        "S0": Decimal("1.5"),
        "S7": Decimal("2.5"),
    }
    assert parse_day_volumes(b'[{"symbol":"A"}]') == {}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"symbol":"A"}', b"[1]", b"[{}]", b"\xff"])
def test_an_answer_that_is_no_ticker_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="24 h ticker"):
        parse_day_volumes(body)


def test_the_weight_limit_is_the_announced_one() -> None:
    assert weight_limit(listed(weight=6000)) == 6000
    assert weight_limit(parse_exchange_info(b'{"symbols":[]}')) == discovery.WEIGHT_LIMIT


def test_the_fallback_names_twenty_pairs() -> None:
    assert len(set(FALLBACK)) == 20
    assert all(symbol.endswith("USDT") for symbol in FALLBACK)


def test_recorded_lists_and_tickers_of_the_venue_are_read(shared_data: Path) -> None:
    folder = shared_data / "binance_payloads" / "nautilus_tests" / "http"
    if not folder.exists():
        pytest.skip("no recorded payloads: ../shared/data/binance_payloads is absent")
    info = parse_exchange_info((folder / "http_futures_market_exchange_info.json").read_bytes())
    ticker = json.loads((folder / "http_futures_market_ticker_24hr.json").read_bytes())
    volumes = parse_day_volumes(json.dumps([ticker]).encode())
    assert volumes[ticker["symbol"]] == Decimal(ticker["quoteVolume"])
    everything = {symbol.symbol: Decimal(1) for symbol in info.symbols}
    found = rank_by_volume(info, everything, NOW_MS * 1_000_000)
    assert "BTCUSDT" in found
    by_name = {symbol.symbol: symbol for symbol in info.symbols}
    assert all(by_name[symbol].contractType == "PERPETUAL" for symbol in found)
    assert weight_limit(info) == 6000


class Rest(BinanceRest):
    """Answers from a table instead of a venue."""

    used_weight = 0  # of the test, not of a budget

    def __init__(self, answers: dict[str, Callable[[], Response]], used_weight: int = 0) -> None:
        super().__init__("http://127.0.0.1:1", VenueClock())
        self.answers = answers
        self.asked: list[str] = []
        self.used_weight = used_weight

    async def request(self, method: str, path: str, *_: object, **__: object) -> Response:
        assert method == "GET"
        self.asked.append(path)
        return self.answers[path]()


class Told(FeedFaults):
    """Keeps what was told instead of publishing it."""

    def __init__(self) -> None:
        self.faults: list[tuple[FeedFault, str]] = []

    def tell(self, fault: FeedFault, text: str, instrument_index: int = -1) -> None:
        assert instrument_index == -1, "about no single instrument"
        self.faults.append((fault, text))


def answer(document: object, status: int = 200) -> Callable[[], Response]:
    return lambda: Response(status, {}, json.dumps(document).encode())


LIST = {
    "symbols": [row(s) for s in ("AUSDT", "BUSDT", "BTCUSDT", "ETHUSDT", "CUSDT")]
    + [row("XUSDT", status="BREAK")]
}
TICKER = [
    {"symbol": symbol, "quoteVolume": volume}
    for symbol, volume in (("AUSDT", "1"), ("BUSDT", "3"), ("CUSDT", "2"), ("XUSDT", "99"))
]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.processes.feed_instruments.backoff_s", lambda _failures: 0.0)


def choosing(
    rest: Rest, **config: object
) -> tuple[InstrumentChoice, Callable[[], list[str]], Told]:
    clock = VenueClock()
    clock.learn(0, 0, NOW_MS * 1_000_000)
    told = Told()
    venue = BinanceMarketData(rest)
    choice = InstrumentChoice(msgspec.convert(config, Config), venue, clock, told)
    return choice, lambda: [i.symbol for i in asyncio.run(choice.choose(500))], told


def test_the_top_is_taken_in_order_of_volume_and_the_first_keep_books() -> None:
    rest = Rest({"/fapi/v1/exchangeInfo": answer(LIST), "/fapi/v1/ticker/24hr": answer(TICKER)})
    choice, choose, told = choosing(rest, instruments_top=2, depth_instruments_max=1)
    assert choose() == ["BUSDT", "CUSDT"]
    assert (choice.left_out, told.faults, choice.fallback_count) == ({}, [], 0)


def test_the_heavy_request_is_made_only_for_a_ranking() -> None:
    rest = Rest({"/fapi/v1/exchangeInfo": answer(LIST)})
    _, choose, _ = choosing(rest, instruments=("CUSDT", "AUSDT"))
    assert choose() == ["CUSDT", "AUSDT"]
    assert rest.asked == ["/fapi/v1/exchangeInfo"]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "broken",
    [
        answer({"code": -1001, "msg": "Service Unavailable."}, 503),
        answer({"not": "a list"}),
        answer([]),
        answer([{"symbol": "XUSDT", "quoteVolume": "5"}]),
    ],
)
def test_without_a_ranking_the_fallback_list_is_taken_and_told(
    broken: Callable[[], Response],
) -> None:
    rest = Rest({"/fapi/v1/exchangeInfo": answer(LIST), "/fapi/v1/ticker/24hr": broken})
    choice, choose, told = choosing(rest, instruments_top=3)
    assert choose() == ["BTCUSDT", "ETHUSDT"], "those of the fallback that are listed"
    assert rest.asked.count("/fapi/v1/ticker/24hr") == RANKING_TRIES, (
        "asked again, and not for ever"
    )
    assert choice.failure_count == RANKING_TRIES
    assert choice.fallback_count == 2
    ((fault, text),) = told.faults
    assert fault is FeedFault.DISCOVERY_FAILED
    assert text.startswith("fallback list: ")
    assert len(choice.left_out) == 18


@pytest.mark.usefixtures("hurried")
def test_a_ranking_that_comes_on_a_later_try_is_taken() -> None:
    tries = iter([answer({}, 503)(), answer({}, 503)(), answer(TICKER)()])
    rest = Rest(
        {"/fapi/v1/exchangeInfo": answer(LIST), "/fapi/v1/ticker/24hr": partial(next, tries)}
    )
    choice, choose, told = choosing(rest, instruments_top=1)
    assert choose() == ["BUSDT"]
    assert (told.faults, choice.fallback_count, choice.failure_count) == ([], 0, 2)


def test_no_weight_left_means_no_heavy_request() -> None:
    spent = int(discovery.WEIGHT_SHARE * 2400) - DAY_TICKER_WEIGHT + 1
    rest = Rest({"/fapi/v1/exchangeInfo": answer(LIST)}, used_weight=spent)
    _, choose, told = choosing(rest, instruments_top=1)
    assert choose() == ["BTCUSDT"]
    assert rest.asked == ["/fapi/v1/exchangeInfo"]
    assert str(spent) in told.faults[0][1]
    rest.used_weight -= 1
    with pytest.raises(KeyError, match="ticker"):  # one less: it is asked
        choose()
    assert issubclass(RateLimitError, VenueError)


def test_without_the_list_nothing_is_chosen() -> None:
    rest = Rest({"/fapi/v1/exchangeInfo": answer({"code": -1001}, 503)})
    _, choose, told = choosing(rest, instruments_top=3)
    with pytest.raises(NotExecutedError):
        choose()
    assert told.faults == []


@pytest.mark.usefixtures("hurried")
def test_a_list_without_any_of_the_instruments_is_an_error_that_names_them() -> None:
    lonely = {"symbols": [row("ZUSDT")]}
    rest = Rest({"/fapi/v1/exchangeInfo": answer(lonely), "/fapi/v1/ticker/24hr": answer([])})
    _, choose, _ = choosing(rest, instruments_top=3)
    with pytest.raises(VenueError, match="BTCUSDT"):
        choose()


# With sockets: a feed on a practice exchange that lists more than a discovery may take.


def listed_by(feed: FeedRole) -> list[str]:
    rows = read_instruments(feed.segments.instruments.buffer)
    return [symbol.decode() for symbol in rows["symbol"].tolist()]


def test_a_feed_takes_the_most_traded_of_an_exchange(tmp_path: Path) -> None:
    exchange = PracticeExchange("--generate", "12", "--seed", "3", "--variants")
    rest = BinanceMarketData(BinanceRest(f"http://127.0.0.1:{exchange.port}", VenueClock()))

    async def ask() -> tuple[ExchangeInfo, dict[str, Decimal]]:
        try:
            info = await rest.fetch_list()
            return info, await rest.fetch_day_volumes(info)
        finally:
            await rest.close()

    feed = FeedRole("feed-top-test", tmp_path, exchange.port, instruments_top=5)
    try:
        feed.wait("a record", lambda: len(feed.seen) > 0)
        info, volumes = asyncio.run(ask())
        found = listed_by(feed)
        assert len(found) == 5
        by_name = {symbol.symbol: symbol for symbol in info.symbols}
        assert {by_name[symbol].contractType for symbol in found} == {"PERPETUAL"}
        assert {by_name[symbol].quoteAsset for symbol in found} == {"USDT"}
        louder = [s for s, volume in volumes.items() if volume > max(volumes[f] for f in found)]
        assert len(louder) >= 10, "the variants claim more than any pair that trades"
        sums = [volumes[symbol] for symbol in found]
        generated = [volumes[s] for s in by_name if s not in louder and s not in found]
        assert min(sums) >= max(generated)
        assert sums == sorted(sums, reverse=True)
        assert feed.counter("instruments_fallback") == 0
    finally:
        feed.close()
        exchange.stop()


def test_a_feed_without_a_ranking_trades_the_fallback_and_hears_when_it_is_back(
    tmp_path: Path,
) -> None:
    exchange = PracticeExchange("--generate", "4", "--seed", "3")
    exchange.fault("http_status", path="/fapi/v1/ticker/24hr", status=503, duration_ms=600_000)
    feed = FeedRole(
        "feed-fallback-test", tmp_path, exchange.port, instruments_top=3, listing_refresh_s=1
    )
    heard: list[int] = []

    def told(fault: FeedFault) -> bool:
        heard.extend(feed.events()["reason"].tolist())
        return fault in heard

    try:
        feed.wait("a record", lambda: len(feed.seen) > 0)
        assert listed_by(feed) == ["BTCUSDT", "ETHUSDT"]
        feed.wait("the fault", lambda: told(FeedFault.DISCOVERY_FAILED))
        feed.wait("its count", lambda: feed.counter("instruments_fallback") == 2)
        failures = feed.counter("discovery_failures_total")
        feed.wait("another try", lambda: feed.counter("discovery_failures_total") > failures)
        exchange.fault("clear")
        feed.wait("the ranking", lambda: told(FeedFault.DISCOVERY_BACK))
    finally:
        feed.close()
        exchange.stop()
