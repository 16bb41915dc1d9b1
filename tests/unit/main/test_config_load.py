"""Settings: sources, precedence, and one sentence for everything wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from engine.config import Config, VenueConfig, shown
from engine.config_docs import example_file, reference_page, settings
from engine.config_load import ENVIRONMENT, ConfigError, load_config
from engine.domain.strategy_table import StrategyError
from engine.processes.strategy_rows import strategy_rows

ROOT = Path(__file__).resolve().parents[3]


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "aegis.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_are_practice_paper_and_unarmed() -> None:
    config = load_config({})
    assert (config.trading_mode, config.venue.name) == ("paper", "practice")
    assert not config.venue.third_party
    assert not config.arming.armed


def test_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    file = write(tmp_path, 'home = "/from/file"\nname = "file"\n')
    config = load_config({"AEGIS_HOME": "/from/environment"}, file, {"name": "cli"})
    assert (config.home, config.name) == ("/from/environment", "cli")


def test_profile_tables_overlay_the_file(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'profile = "staging"\n[limits]\nmax_entries_per_day = 5\n'
        "[profiles.staging.limits]\nmax_entries_per_day = 7\n",
    )
    assert load_config({}, file).limits.max_entries_per_day == 7


def test_third_party_limits_are_the_documented_ones() -> None:
    config = load_config({}, None, {"venue.name": "binance"})
    limits = config.limits
    assert config.venue.third_party
    assert (limits.max_entries_per_day, limits.max_order_size) == (20, 2.0)
    assert (limits.max_position_exposure, limits.max_daily_loss_ratio) == (3.0, 0.02)


def test_practice_limits_are_generous_but_a_file_still_rules(tmp_path: Path) -> None:
    file = write(tmp_path, "[limits]\nmax_entries_per_day = 3\n")
    limits = load_config({}, file).limits
    assert limits.max_entries_per_day == 3
    assert limits.max_order_size > 2.0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('trading_mode = "demo"', "trading_mode"),
        ("[limits]\nmax_entries_per_day = -1", "limits.max_entries_per_day"),
        ("[limits]\nmax_order_notional = 'x'", "limits.max_order_notional"),
        ("[limit]\nx = 1", "limit"),
        ('name = "Not A Name"', "name"),
        ("venue = 3", "venue"),
        ("[[strategy]]\nname = 'x'", "kind"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({}, write(tmp_path, text))
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strategis = []", "strategis: no such setting; did you mean strategies?"),
        (
            "[limits]\nmax_order_notionl = 5",
            "limits.max_order_notionl: no such setting; did you mean max_order_notional?",
        ),
        ("zzz = 1", "zzz: no such setting"),
        ("[[strategy]]\nname='a'\nkind='smc'\nfoo=1", "strategy[0].foo: no such setting"),
    ],
)
def test_a_name_that_is_no_setting_names_the_nearest(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({}, write(tmp_path, text))
    assert str(caught.value).endswith(f": {said}")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ALLOW_ORDERS", "yes"),
        ("MAX_MEMORY_MB", "lots"),
        ("MAX_DAILY_LOSS_PCT", "two"),
        ("TRADING_MODE", "casino"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load_config({variable: text})


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        load_config({}, str(tmp_path / "absent.toml"))


def test_virtual_is_paper() -> None:
    assert load_config({"TRADING_MODE": "virtual"}).trading_mode == "paper"


@pytest.mark.parametrize("missing", ["BINANCE_API_KEY", "BINANCE_API_SECRET"])
def test_live_without_a_key_names_the_variable(missing: str) -> None:
    environment = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s", "TRADING_MODE": "live"}
    del environment[missing]
    with pytest.raises(ConfigError, match=missing):
        load_config(environment, None, {"venue.name": "binance"})


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1", "https://fapi.binance.com"])
def test_live_trading_on_the_practice_venue_is_refused(tmp_path: Path, url: str) -> None:
    file = write(tmp_path, f'trading_mode = "live"\n[venue]\nname = "practice"\nrest_url = "{url}"')
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s"}
    with pytest.raises(ConfigError, match=r"^venue\.name: .*practice") as caught:
        load_config(keys, file)
    assert "\n" not in str(caught.value)


def test_all_three_switches_arm_and_any_two_do_not() -> None:
    armed = {"ALLOW_ORDERS": "1", "DRY_RUN": "0", "ENABLE_ORDER_EXEC": "1"}
    assert load_config(armed).arming.armed
    for variable in armed:
        environment = {key: entry for key, entry in armed.items() if key != variable}
        assert not load_config(environment).arming.armed


BOUNDS = """
[bounds.strategy."*"]
max_orders_per_day = 5
[bounds.strategy.smc_fvg_bos]
max_order_notional = 250.0
[bounds.venue.binance]
max_daily_loss = 100.0
[bounds.instrument.DOGEUSDT]
max_order_size = 5000.0
"""


def test_bounds_are_given_by_name(tmp_path: Path) -> None:
    bounds = load_config({}, write(tmp_path, BOUNDS)).bounds
    assert bounds.strategy["*"].max_orders_per_day == 5
    assert bounds.strategy["smc_fvg_bos"].max_order_notional == 250.0
    assert bounds.strategy["smc_fvg_bos"].max_daily_loss is None
    assert bounds.venue["binance"].max_daily_loss == 100.0
    assert bounds.instrument["DOGEUSDT"].max_order_size == 5000.0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[bounds.strategy."*"]\nmax_daily_loss = inf\n', "bounds.strategy.*.max_daily_loss"),
        ("[approval]\nnotional = nan\n", "approval.notional"),
        ("[bounds.venue.binance]\nmax_order_notional = -1.0\n", "bounds.venue"),
        ("[bounds.venue.binance]\nlimit = 1.0\n", "bounds.venue"),
        ("[approval]\nwait_s = 0\n", "approval.wait_s"),
    ],
)
def test_a_bound_that_is_none_is_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(field)):
        load_config({}, write(tmp_path, text))


def test_a_bound_of_a_strategy_that_does_not_run_is_refused(tmp_path: Path) -> None:
    config = load_config({}, write(tmp_path, BOUNDS))
    assert strategy_rows(config)
    misspelt = load_config({}, write(tmp_path, BOUNDS.replace("smc_fvg_bos", "smc_fvg")))
    with pytest.raises(StrategyError, match="'smc_fvg'"):
        strategy_rows(misspelt)


def test_secrets_are_never_shown() -> None:
    venue = VenueConfig(api_key="key-in-clear", api_secret="secret-in-clear")
    text = str(shown(Config(venue=venue, database_url="postgresql://u:secret-in-clear@h/d")))
    assert "in-clear" not in text


def test_the_example_file_is_valid_and_changes_nothing() -> None:
    tables = tomllib.loads(example_file())
    assert tables
    assert all(table == {} for table in tables.values()), "tables, and nothing in them"


def test_every_setting_says_what_it_does() -> None:
    silent = [path for path, _, text in settings() if not text]
    assert silent == []


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run: python -m engine.config_docs > docs/configuration.md"


def test_every_variable_is_in_the_environment_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    missing = [name for name in (*ENVIRONMENT, "PORT") if f"{name}=" not in example]
    assert missing == []


def test_binance_is_where_it_is_unless_a_file_says_otherwise(tmp_path: Path) -> None:
    venue = load_config({}, None, {"venue.name": "binance"}).venue
    assert venue.rest_url == "https://fapi.binance.com"
    assert venue.stream_url == "wss://fstream.binance.com"
    file = write(tmp_path, '[venue]\nname = "binance"\nrest_url = "http://127.0.0.1:1"\n')
    assert load_config({}, file).venue.rest_url == "http://127.0.0.1:1"


def test_a_paper_account_must_answer_before_the_timeout(tmp_path: Path) -> None:
    file = write(tmp_path, "order_timeout_ms = 50\n[paper]\nlatency_ms = 50\n")
    assert load_config({}, file).paper.latency_ms == 50, "of no matter where nothing fills here"
    with pytest.raises(ConfigError, match=r"paper\.latency_ms"):
        load_config({}, file, {"venue.name": "binance"})


@pytest.mark.parametrize(
    ("venue", "mode", "leaves", "fills_here"),
    [
        ("practice", "paper", False, False),
        ("binance", "paper", False, True),
        ("binance", "live", True, False),
    ],
)
def test_orders_leave_only_in_live_mode(
    venue: str, mode: str, *, leaves: bool, fills_here: bool
) -> None:
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s"}
    config = load_config(keys, None, {"venue.name": venue, "trading_mode": mode})
    assert (config.orders_leave, config.fills_here) == (leaves, fills_here)


def test_the_environment_names_venue_and_instruments() -> None:
    config = load_config({"VENUE": "binance", "INSTRUMENTS": "BTC  ETH-USDT"})
    assert (config.venue.name, config.instruments) == ("binance", ("BTCUSDT", "ETHUSDT"))
    assert config.venue.rest_url == "https://fapi.binance.com"
    assert load_config({"INSTRUMENTS": "top:5"}).instruments_top == 5
    over = load_config({"VENUE": "binance"}, None, {"venue.name": "practice"})
    assert over.venue.name == "practice", "the command line is stronger"
    with pytest.raises(ConfigError, match="VENUE='nowhere' in the environment"):
        load_config({"VENUE": "nowhere"})
    with pytest.raises(ConfigError, match="INSTRUMENTS in the environment"):
        load_config({"VENUE": "binance", "INSTRUMENTS": "top:x"})
