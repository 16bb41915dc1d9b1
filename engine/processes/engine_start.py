"""What may keep a run from starting, each as one sentence with its exit code.

        options, file, environment -> configuration      2 usage or configuration
        AEGIS_HOME                 -> instance lock      3 environment
        market                     -> practice exchange  2 or 3
        home, /dev/shm             -> session, segments  3

Standard library and small code only, like everything main does before the roles are spawned.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import exit_codes
from engine.config import Config
from engine.config_load import ConfigError, load_config
from engine.domain.strategy_table import StrategyError
from engine.processes import segments
from engine.processes.practice import Market, PracticeError, PracticeExchange
from engine.processes.ready_record import NotReadyError, check_ready
from engine.processes.session_start import StateError, begin_session, choose_account
from engine.processes.strategy_rows import strategy_rows
from engine.store.errors import StoreError
from engine.venues.binance.signing import is_private_key
from engine.venues.news import NewsError, read_news
from ringbuffer.errors import SegmentError, SpinRefusedError
from ringbuffer.idle import SPINNERS, IdleKind, choose

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

API_TOKEN_LENGTH_MIN = 24
SHOWN = 6  # instruments in a sentence
DISTINCT_MIN = 10  # characters; a random token of 24 has more
TLS_FILES = (
    "tls_certificate",
    "tls_key",
    "tls_client_ca",
    "tls_client_certificate",
    "tls_client_key",
)
EXAMPLE_WORDS = ("changeme", "change-me", "example", "password", "secret", "default", "your-token")


class StartError(Exception):
    """The engine cannot start; carries the exit code."""

    def __init__(self, message: str, exit_code: int = exit_codes.ENVIRONMENT) -> None:
        """Keep the sentence and the code."""
        super().__init__(message)
        self.exit_code = exit_code


def read_config(
    options: argparse.Namespace, environment: Mapping[str, str], market: Market
) -> Config:
    """Return the configuration of a run, checked as far as it can be without a venue.

    Raises:
        StartError: usage or configuration, naming the field.
    """
    overrides: dict[str, Any] = {
        path: entry
        for path, entry in (
            ("name", options.name),
            ("profile", options.profile),
            ("venue.name", options.venue),
            ("venue.account", options.account),
            ("trading_mode", options.mode),
            ("strategies", options.strategies),
            ("instruments", options.instruments),
            ("on_role_death", options.on_role_death),
        )
        if entry is not None
    }
    try:
        config = load_config(environment, options.config, overrides)
        market.check(config.venue.name, options.exchange)
        strategy_rows(config)
        if config.sources.news_file:
            read_news(Path(config.sources.news_file))
        choose(IdleKind(config.idle), spinner_count=SPINNERS)
    except (ConfigError, NewsError, StrategyError) as error:
        raise StartError(str(error), exit_codes.USAGE) from error
    except SpinRefusedError as error:
        raise StartError(f"idle: {error}", exit_codes.USAGE) from error
    return config


def check_access(config: Config, *, is_public: bool) -> None:
    """Refuse an access that invites others in.

    Args:
        config: of the run.
        is_public: other machines may reach the API.

    Raises:
        StartError: a token that others could know or guess, or TLS files that are not there.
    """
    access = config.access
    if access.api_token and is_public and is_weak(access.api_token):
        raise StartError(
            f"access.api_token: {API_TOKEN_LENGTH_MIN} characters or more, and no example's: "
            "other machines reach this API",
            exit_codes.USAGE,
        )
    if bool(access.tls_certificate) != bool(access.tls_key):
        raise StartError("access: tls_certificate and tls_key go together", exit_codes.USAGE)
    if access.tls_client_ca and not access.tls_certificate:
        raise StartError("access: tls_client_ca needs tls_certificate", exit_codes.USAGE)
    if bool(access.tls_client_certificate) != bool(access.tls_client_key):
        raise StartError(
            "access: tls_client_certificate and tls_client_key go together", exit_codes.USAGE
        )
    for field in TLS_FILES:
        path = getattr(access, field)
        if path and not Path(path).is_file():
            raise StartError(f"access.{field}: {path} is not there", exit_codes.USAGE)


def is_weak(token: str) -> bool:
    """Return whether a token is short, an example's, or made of few characters."""
    known = any(word in token.lower() for word in EXAMPLE_WORDS)
    return len(token) < API_TOKEN_LENGTH_MIN or len(set(token)) < DISTINCT_MIN or known


def take_instance(config: Config) -> segments.InstanceLock:
    """Return the lock that makes this the one engine of its name.

    Raises:
        StartError: another one holds it, or AEGIS_HOME cannot be written.
    """
    try:
        segments.refuse_living(config.name)
        return _lock(Path(config.home), config.name)
    except segments.EngineRunningError as error:
        raise StartError(str(error)) from error
    except OSError as error:
        message = f"AEGIS_HOME {config.home}: cannot be written ({error.strerror})"
        raise StartError(message) from error


def open_exchange(
    config: Config, options: argparse.Namespace, market: Market
) -> PracticeExchange | None:
    """Return the practice exchange of this run, started if need be; None: another venue's run.

    Raises:
        StartError: it did not start.
    """
    if config.venue.name != "practice":
        return None
    if options.exchange:
        return PracticeExchange(options.exchange)
    ledger = Path(config.home) / "run" / f"{config.name}.ledger"
    try:
        if not options.resume:
            ledger.unlink(missing_ok=True)
        # The kind of the key decides, as at the venue; the key itself stays where it is.
        logs_on = is_private_key(config.venue.api_secret)
        exchange = PracticeExchange.start(market, ledger, logs_on=logs_on)
        try:
            _require_listed(config.instruments, exchange)
        except (PracticeError, StartError):
            exchange.stop()
            raise
    except PracticeError as error:
        wrong_use = error.exit_code == exit_codes.USAGE
        code = exit_codes.USAGE if wrong_use else exit_codes.ENVIRONMENT
        raise StartError(str(error), code) from error
    except OSError as error:
        raise StartError(f"{ledger}: cannot be removed ({error.strerror})") from error
    return exchange


def _require_listed(wanted: Sequence[str], exchange: PracticeExchange) -> None:
    """Refuse instruments of which our own market has none: nobody else can come to list them."""
    if not wanted:
        return
    listed = [row["symbol"] for row in exchange.fetch("/fapi/v1/exchangeInfo")["symbols"]]
    if not set(wanted) & set(listed):
        named, there = ", ".join(wanted[:SHOWN]), ", ".join(listed[:SHOWN])
        raise StartError(
            f"the practice market has no {named}; it has {there}"
            f"{', ...' if len(listed) > SHOWN else ''}",
            exit_codes.USAGE,
        )


def account_config(
    config: Config, options: argparse.Namespace, exchange: PracticeExchange | None
) -> Config:
    """Return the configuration with account and addresses.

    Raises:
        StartError: the account's name cannot be written.
    """
    try:
        return choose_account(config, options, exchange)
    except StateError as error:
        raise StartError(str(error)) from error


def session_config(config: Config) -> Config:
    """Return the configuration with session and epoch.

    Raises:
        StartError: the state directory cannot be used.
    """
    try:
        return begin_session(config)
    except StateError as error:
        raise StartError(str(error)) from error


def require_readiness(config: Config, override: str) -> str:
    """Return what is to be said of readiness before a run; empty: it is not armed.

    Raises:
        StartError: it is armed for live trading without readiness or an override on record.
    """
    try:
        return check_ready(config, override)
    except NotReadyError as error:
        raise StartError(str(error), exit_codes.USAGE) from error
    except OSError as error:
        raise StartError(f"{config.state_dir}: cannot be written ({error.strerror})") from error


def claim_segments(config: Config, say: Callable[[str], None]) -> segments.Segments:
    """Drain and remove what a dead engine of this name left, and create this run's segments.

    What it recorded goes to its own journal, also when that is under another AEGIS_HOME.

    Args:
        config: of this run.
        say: takes a sentence when something was removed that no journal could take.

    Raises:
        StartError: /dev/shm has no room, another engine lives, or a dead one's journal cannot take
            what it left.
    """
    home = Path(config.home).absolute()
    dead_home = segments.home_of_dead(config.name) or home
    try:
        if dead_home == home:
            _remove_stale(config.name, home)
        elif dead_home.is_dir():
            with contextlib.closing(_lock(dead_home, config.name)):
                _remove_stale(config.name, dead_home)
        else:
            count = segments.remove_stale(config.name, lambda _: None)
            say(
                f"removed {count} segments of a dead engine named {config.name!r}; its AEGIS_HOME "
                f"{dead_home} is gone, and with it the journal of what they held"
            )
        for name in segments.dead_instances(home):
            # Whatever its name was: our account's orders may be among what it left. One that is
            # started again just now sees to it itself.
            with (
                contextlib.suppress(segments.EngineRunningError),
                contextlib.closing(_lock(home, name)),
            ):
                _remove_stale(name, home)
        return segments.create(config.name, time.time_ns(), config.instruments_max, home)
    except (segments.EngineRunningError, SegmentError) as error:
        raise StartError(str(error)) from error
    except (OSError, StoreError) as error:
        message = f"what a dead engine named {config.name!r} left cannot be journaled: {error}"
        raise StartError(message) from error


def _remove_stale(name: str, home: Path) -> None:
    from engine.store.leftovers import drain_leftover

    segments.remove_stale(name, drain_leftover(home))


def _lock(home: Path, name: str) -> segments.InstanceLock:
    run_dir = home / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    return segments.InstanceLock(run_dir / f"{name}.lock")
