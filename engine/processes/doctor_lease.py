"""What `aegis doctor` finds of who may trade: the instance's lock, and the account's lease.

        instance   one engine per name and home; a second one is refused
        lease      one engine per account, whatever its name, home and machine (ADR 0029); a second
                   one stands by

A look takes neither.
"""

from __future__ import annotations

from pathlib import Path

from engine.config import Config
from engine.processes import segments
from engine.processes.finding import Finding
from engine.processes.lease import holder_of_database, holder_of_files
from engine.processes.runfile import find_engine
from engine.store.errors import ProjectionError
from ringbuffer.segment import SHM_FOLDER

STANDS_BY = "stop that engine, or start this one: it stands by and takes over when that one ends"


def look_at_instance(config: Config) -> Finding:
    """Return whether an engine of this name runs."""
    engine = find_engine(config.home, config.name)
    if engine is not None:
        found = f"process {engine.pid} runs as {config.name!r}"
        remedy = f"`aegis stop --name {config.name}`, or another --name"
        return Finding("instance", good=False, found=found, remedy=remedy)
    lock = Path(config.home) / "run" / f"{config.name}.lock"
    try:
        holder = segments.lock_holder(lock)
    except OSError as error:
        said = f"{lock}: {error.strerror}"
        remedy = "its owner must be you"
        return Finding("instance", good=False, found=said, remedy=remedy, fatal=True)
    if holder:
        found = f"process {holder} holds {lock} and does not answer yet"
        return Finding("instance", good=False, found=found, remedy="wait for it, or stop it")
    return Finding("instance", good=True, found=f"nobody runs as {config.name!r} on this host")


def look_at_lease(config: Config, folder: Path = SHM_FOLDER) -> Finding:
    """Return who holds the account that an engine of this configuration would trade."""
    if not config.venue.rest_url:
        found = "practice exchange; each run has an account of its own"
        return Finding("lease", good=True, found=found)
    account = Path(config.state_dir).name
    try:
        holder = holder_of_files(config, folder)
    except OSError as error:
        found = f"{error.filename}: cannot be looked at ({error.strerror}); it is another user's"
        remedy = "one user for all engines of an account; remove the file when nothing runs"
        return Finding("lease", good=False, found=found, remedy=remedy, fatal=True)
    if holder:
        return _held(config, account, holder)
    try:
        holder = holder_of_database(config)
    except ProjectionError as error:
        found = f"{account}: nobody on this machine; who elsewhere is not known ({error})"
        remedy = "look at DATABASE_URL and the server" + (
            "; real orders wait for it" if config.orders_leave else "; practice money does not wait"
        )
        return Finding("lease", False, found, remedy, fatal=config.orders_leave)
    if holder:
        return _held(config, account, holder)
    where = "here or in the database" if config.database_url else "on this machine"
    return Finding("lease", good=True, found=f"{account}: nobody holds it {where}")


def _held(config: Config, account: str, holder: str) -> Finding:
    engine = find_engine(config.home, config.name)
    is_ours = engine is not None and holder.startswith(f"process {engine.pid} of ")
    found = f"{account}: {holder} holds it" + (f", as {config.name!r}" if is_ours else "")
    return Finding("lease", good=is_ours, found=found, remedy=STANDS_BY)
