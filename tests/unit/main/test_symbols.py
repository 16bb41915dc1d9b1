"""Words for instruments: every form of one name, the futures roots, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli import main
from engine.config_load import ConfigError, load_config
from engine.symbols import UnknownSymbolError, VenueSymbol, nearest, resolve, resolve_all

BITCOIN = (
    "BTC", "btc", " BTC ", "XBT", "bitcoin", "BTCUSDT", "btcusdt", "BTC-USDT", "BTC/USDT",
    "BTC_USDT", "BTC/USDT:USDT", "BTC-PERP", "BTCUSDT.P", "BINANCE:BTCUSDT.P", "BTCUSDT-PERP",
    "XBTUSDT", "XBT/USDT:USDT", "BTC-USDT-SWAP",
)  # fmt: skip


@pytest.mark.parametrize("word", BITCOIN)
@pytest.mark.parametrize("venue", ["binance", "practice"])
def test_every_word_for_bitcoin_is_one_symbol(word: str, venue: str) -> None:
    assert resolve(word, venue) == VenueSymbol("binance", "BTCUSDT")


@pytest.mark.parametrize(
    ("word", "symbol"),
    [
        ("BTCUSDC", "BTCUSDC"),
        ("BTC/USDC:USDC", "BTCUSDC"),
        ("BTCUSDT_270326", "BTCUSDT_270326"),
        ("PEPE", "1000PEPEUSDT"),
        ("PEPE/USDT", "1000PEPEUSDT"),
        ("1000PEPEUSDT", "1000PEPEUSDT"),
        ("ETHBTC", "ETHBTC"),
        ("XAUUSDT", "XAUUSDT"),  # a perpetual of this venue; XAUUSD is not
        ("GEN001USDT", "GEN001USDT"),
        ("JUSTLISTEDUSDT", "JUSTLISTEDUSDT"),
        ("币安人生USDT", "币安人生USDT"),
    ],
)
def test_what_the_venue_may_list_is_passed_on(word: str, symbol: str) -> None:
    assert resolve(word, "binance").symbol == symbol


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("ES1!", "ES"), ("es", "ES"), ("NQ1!", "NQ"), ("GBPUSD", "6B"), ("EURUSD", "6E"),
        ("AUDUSD", "6A"), ("XAUUSD", "GC"), ("gc1!", "GC"), ("6E1!", "6E"),
    ],
)  # fmt: skip
def test_words_of_futures_name_a_front_month(word: str, root: str) -> None:
    assert resolve(word, "cme") == VenueSymbol("cme", root, is_front_month=True)
    with pytest.raises(UnknownSymbolError, match=f"is {root} of cme, which venue 'binance'"):
        resolve(word, "binance")


def test_a_crypto_word_is_refused_by_another_venue() -> None:
    with pytest.raises(UnknownSymbolError, match="BTCUSDT of binance, which venue 'cme'"):
        resolve("BTC", "cme")


@pytest.mark.parametrize("word", ["", " ", "BITCOIM", "BTC USDT", "USDT", "/USDT", "_USDT", "x;y"])
def test_an_unknown_word_is_one_sentence_with_the_nearest_names(word: str) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        resolve(word, "binance")
    text = str(caught.value)
    assert "\n" not in text
    assert repr(word) in text
    assert "nearest: " in text


def test_nearest_names_are_alike() -> None:
    assert "BITCOIN" in nearest("BITCOIM").split(", ")
    assert "EURUSD" in nearest("EURUDS").split(", ")
    assert set(nearest("GBPUSD", "binance").split(", ")).isdisjoint({"GBPUSD", "6B"})


def test_two_words_for_one_instrument_are_one() -> None:
    assert resolve_all(["ETH", "XBT", "BTCUSDT", "ether"], "practice") == ("ETHUSDT", "BTCUSDT")


@given(st.text(max_size=40))
def test_any_text_is_resolved_or_refused_in_one_sentence(text: str) -> None:
    try:
        symbol = resolve(text, "binance").symbol
    except UnknownSymbolError as error:
        said = str(error)
    else:
        said = ""
        assert resolve(symbol, "binance").symbol == symbol, "the venue's name is a word for itself"
    assert "\n" not in said


def configured(tmp_path: Path, line: str) -> tuple[tuple[str, ...], int]:
    path = tmp_path / "aegis.toml"
    path.write_text(line + "\n", encoding="utf-8")
    config = load_config({}, str(path))
    return config.instruments, config.instruments_top


@pytest.mark.parametrize(
    ("line", "instruments", "top"),
    [
        ('instruments = ["XBT", "ETH/USDT"]', ("BTCUSDT", "ETHUSDT"), 0),
        ('instruments = "BTC"', ("BTCUSDT",), 0),
        ('instruments = "top:300"', (), 300),
        ('instruments = ["top:7"]', (), 7),
        ("instruments_top = 5", (), 5),
        ("", (), 0),
    ],
)
def test_configuration_speaks_in_words(
    tmp_path: Path, line: str, instruments: tuple[str, ...], top: int
) -> None:
    assert configured(tmp_path, line) == (instruments, top)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('instruments = ["BTC", "BITCOIM"]', "instruments: 'BITCOIM'"),
        ('instruments = ["EURUSD"]', "6E of cme"),
        ('instruments = "top:0"', "top:0"),
        ('instruments = "top:many"', "top:many"),
        ('instruments = "top:301"', "instruments_max = 300"),
        ('instruments = ["top:3", "BTC"]', "top:3"),
        ('instruments = ["BTC"]\ninstruments_top = 3', "not both"),
        ("instruments = 3", "instruments"),
        ("instruments_top = 501", "instruments_top"),
    ],
)
def test_wrong_instruments_are_one_sentence(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, line)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_ends_with_2_and_the_sentence(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--port", "0", "--instruments", "BITCOIM"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("aegis: the command line: instruments: 'BITCOIM' is no symbol")
    assert said.count("\n") == 1
