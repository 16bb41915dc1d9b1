"""What is decided once per run, before anything starts: session, account, epoch, address."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.config import Config
from engine.processes.onboard_start import hold_candidates, with_onboarded
from engine.processes.practice import PRACTICE_KEY
from engine.store.errors import StoreError

if TYPE_CHECKING:
    import argparse

    from engine.processes.practice import PracticeExchange

EPOCH_ORIGIN_NS = 1_577_836_800_000_000_000  # 2020-01-01 UTC
EPOCH_MAX = 2**62  # no clock comes near
EPOCH_STEP_NS = 10_000_000  # no run is shorter, so that counting up never overtakes the clock


class StateError(Exception):
    """The state directory cannot be used; the message is the sentence to show."""


def choose_account(
    config: Config, options: argparse.Namespace, exchange: PracticeExchange | None
) -> Config:
    """Return the configuration with the account and the addresses that this run trades at.

    Raises:
        StateError: the account's name cannot be written.
    """
    if exchange is None:
        return config
    account = config.venue.account
    if not options.exchange and not options.account:
        with _stated(config):
            account = _practice_account(config, resume=options.resume)
    venue = msgspec.structs.replace(
        config.venue,
        rest_url=exchange.url,
        stream_url=exchange.stream_url,
        order_url=exchange.stream_url,
        # INVARIANT: a real key never meets `--exchange URL`, whatever that URL is: orders to a
        # practice venue pass without the arming switches.
        api_key=PRACTICE_KEY,
        api_secret=exchange.secret,
        account=account,
    )
    return msgspec.structs.replace(config, venue=venue)


def begin_session(config: Config) -> Config:
    """Return the configuration with the session and its fencing number; its account is ours now.

    And with what is onboarded, and with what strategies learned to claim from the account's record
    where that is asked for.

    Raises:
        StateError: the state directory cannot be written, or its epoch is lost together with the
            journal that would tell it.
    """
    session = f"{_now()}-{os.getpid()}"
    with _stated(config):
        epoch = _raise_epoch(Path(config.state_dir))
        hold_candidates(config)
    learned = _with_learned_claims(with_onboarded(config))
    return msgspec.structs.replace(learned, session_id=session, epoch=epoch)


@contextmanager
def _stated(config: Config) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or config.state_dir
        raise StateError(f"{place}: cannot be written ({error.strerror})") from error
    except StoreError as error:
        raise StateError(f"{config.state_dir}: the epoch is lost; {error}") from error


def _with_learned_claims(config: Config) -> Config:
    if not config.claims.learn:
        return config  # the usual case, in which nothing needs to be imported
    from engine.processes.strategy_rows import learned_claims, strategy_rows
    from engine.store.queries import StatusQueries
    from engine.store.sqlite import DATABASE_NAME

    told = StatusQueries(Path(config.state_dir) / DATABASE_NAME).strategies()
    learned = learned_claims(config, strategy_rows(config), told)
    claims = msgspec.structs.replace(config.claims, learned=config.claims.learned | learned)
    return msgspec.structs.replace(config, claims=claims)


def _now() -> str:
    return time.strftime("%Y%m%dt%H%M%S", time.gmtime())


def _practice_account(config: Config, *, resume: bool) -> str:
    # A practice exchange that we start knows nothing of earlier runs, so its account is new.
    last = Path(config.home) / "run" / f"{config.name}.account"
    if resume and last.exists():
        return last.read_text(encoding="ascii").strip()
    account = f"run-{_now()}"
    last.write_text(account + "\n", encoding="ascii")
    return account


def _raise_epoch(state_dir: Path) -> int:
    """Return the next fencing number of this account; it is on disk before it is used.

    Epochs count up by one, so that an order of an earlier session is found by the low byte of its
    epoch. A home that is new, or replaces a lost one, begins at the clock instead of at 1: the
    account may hold orders that were named under the lost one, and no client order id may repeat.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "epoch"
    try:
        epoch = int(path.read_text(encoding="ascii")) + 1
    except (FileNotFoundError, ValueError):
        epoch = 0
    if not 1 < epoch <= EPOCH_MAX:  # lost, or not what was written
        epoch = _last_journaled_epoch(state_dir) + 1
    else:  # it may be an old copy that somebody put back
        epoch = max(epoch, _newest_journaled_epoch(state_dir) + 1)
    if epoch <= 1:
        epoch = max((time.time_ns() - EPOCH_ORIGIN_NS) // EPOCH_STEP_NS, 1)
    staged = path.with_suffix(".part")
    with staged.open("w", encoding="ascii") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    return epoch


def _newest_journaled_epoch(state_dir: Path) -> int:
    """Return the epoch that the newest session's document names; 0: there is none, or no word."""
    newest = max(state_dir.glob("journal/*/session.json"), default=None)
    if newest is None:
        return 0  # the usual case, in which nothing needs to be imported
    from engine.store.session import read_document

    with suppress(StoreError):  # the counter is there: a damaged document says nothing against it
        return read_document(newest.parent).epoch
    return 0


def _last_journaled_epoch(state_dir: Path) -> int:
    """Return the highest epoch a journal of this account names; 0: there is none."""
    if not any(state_dir.glob("journal/*/session.json")):
        return 0  # the usual case, in which nothing needs to be imported
    from engine.store.session import sessions

    return max(document.epoch for _, document in sessions(state_dir))
