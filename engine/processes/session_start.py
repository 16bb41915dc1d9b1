"""What is decided once per run, before anything starts: session, account, epoch, address."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.config import Config

if TYPE_CHECKING:
    import argparse

    from engine.processes.practice import PracticeExchange

PRACTICE_CREDENTIAL = "practice"  # the practice exchange's default key and secret


def conclude(
    config: Config, options: argparse.Namespace, exchange: PracticeExchange | None
) -> Config:
    """Return the configuration with everything that only this run knows.

    Raises:
        OSError: the state directory cannot be written.
    """
    session = time.strftime("%Y%m%dt%H%M%S", time.gmtime()) + f"-{os.getpid()}"
    venue = config.venue
    if exchange is not None:
        account = venue.account
        if not options.exchange and not options.account:
            account = _practice_account(config, session, resume=options.resume)
        venue = msgspec.structs.replace(
            venue,
            rest_url=exchange.url,
            stream_url=exchange.stream_url,
            api_key=venue.api_key or PRACTICE_CREDENTIAL,
            api_secret=venue.api_secret or PRACTICE_CREDENTIAL,
            account=account,
        )
    config = msgspec.structs.replace(config, venue=venue, session_id=session)
    return msgspec.structs.replace(config, epoch=_raise_epoch(Path(config.state_dir)))


def _practice_account(config: Config, session: str, *, resume: bool) -> str:
    # A practice exchange that we start knows nothing of earlier runs, so its account is new.
    last = Path(config.home) / "run" / f"{config.name}.account"
    if resume and last.exists():
        return last.read_text(encoding="ascii").strip()
    account = "run-" + session.split("-", maxsplit=1)[0]
    last.write_text(account + "\n", encoding="ascii")
    return account


def _raise_epoch(state_dir: Path) -> int:
    """Return the next fencing number of this account; it is on disk before it is used."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "epoch"
    try:
        epoch = int(path.read_text(encoding="ascii")) + 1
    except FileNotFoundError:
        epoch = 1
    staged = path.with_suffix(".part")
    with staged.open("w", encoding="ascii") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    return epoch
