"""Accounts and tokens: `AEGIS_HOME/access.json`, mode 0600, written by `aegis access` only.

A token is `aegis_<id>_<secret>`; the file holds the Argon2 hash of the secret, its scopes, when it
expires and whether it was revoked. Passwords are hashed with the library's own strong parameters;
tokens carry 256 random bits, so theirs are light enough to be checked while trading.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from engine.domain import typed
from engine.web.operations import Scope
from engine.wrong_value import place_and_reason

FILE_NAME: Final = "access.json"
ACCOUNTS_MAX: Final = 64
TOKENS_MAX: Final = 256
PASSWORD_LENGTH_MIN: Final = 12
PASSWORD_LENGTH_MAX: Final = 256
TOKEN_MEMORY_KIB: Final = 8_192
TOKEN_PREFIX: Final = "aegis"  # noqa: S105  how a token begins
LOOK_S: Final = 1.0  # how long a change of the file may take to count
SCOPES: Final = {
    "viewer": frozenset({Scope.READ}),
    "operator": frozenset({Scope.READ, Scope.HALT, Scope.OPERATE}),
    "admin": frozenset({Scope.READ, Scope.HALT, Scope.OPERATE, Scope.ADMIN}),
}

# How the audit trail calls callers that are no account (`gate`).
NAMES_TAKEN: Final = frozenset({"local", "guest", "api-token", "nobody"})

AccountName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_.@-]{0,38}$")]


class AccessError(Exception):
    """The file cannot be read or what was asked is not possible; the message is a sentence."""


class Account(Struct, forbid_unknown_fields=True):
    """Somebody, and what they may do at most."""

    name: AccountName
    role: str
    password_hash: str = ""  # empty: tokens only


class Token(Struct, forbid_unknown_fields=True):
    """A credential of an account."""

    id: str
    account: AccountName
    hash: str
    scopes: list[Scope]
    created_s: float  # realtime
    expires_s: float
    revoked_s: float = 0.0

    def is_live(self, now_s: float) -> bool:
        """Return whether it may be used at this time."""
        return not self.revoked_s and now_s < self.expires_s


class AccessFile(Struct, forbid_unknown_fields=True):
    """Everything the file holds."""

    accounts: list[Account] = []
    tokens: list[Token] = []

    def account(self, name: str) -> Account | None:
        """Return an account; None: there is none of this name."""
        return next((account for account in self.accounts if account.name == name), None)

    def token(self, token_id: str) -> Token | None:
        """Return a token; None: there is none of this id."""
        return next((token for token in self.tokens if token.id == token_id), None)


def read_access(home: Path) -> AccessFile:
    """Return the accounts of a home; none when the file is not there.

    Raises:
        AccessError: it is not what we wrote, or others may read it.
    """
    path = home / FILE_NAME
    try:
        if path.stat().st_mode & 0o077:
            raise AccessError(f"{path}: others may read it; chmod 600 it")
        return typed.decode(path.read_bytes(), AccessFile)
    except FileNotFoundError:
        return AccessFile()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AccessError(f"{path}: cannot be read ({error})") from error


@contextmanager
def changed(home: Path) -> Iterator[AccessFile]:
    """Yield the accounts to be changed and write them when the block ends well.

    Raises:
        AccessError: from `read_access`, or the file cannot be written.
    """
    path = home / FILE_NAME
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / f"{FILE_NAME}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AccessError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        access = read_access(home)
        yield access
        staged = path.with_suffix(".part")
        staged.unlink(missing_ok=True)
        file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(access)))
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    except OSError as error:
        raise AccessError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        os.close(lock)


def add_account(access: AccessFile, name: str, role: str, password: str = "") -> Account:
    """Add an account.

    Raises:
        AccessError: the name is taken or no name, the role is none, the password too short.
    """
    if role not in SCOPES:
        raise AccessError(f"role {role!r} is not one of {', '.join(SCOPES)}")
    if name in NAMES_TAKEN:
        raise AccessError(f"account name {name!r}: the engine calls callers without account so")
    if access.account(name) is not None:
        raise AccessError(f"account {name!r} exists already")
    if len(access.accounts) >= ACCOUNTS_MAX:
        raise AccessError(f"no more than {ACCOUNTS_MAX} accounts")
    if password and not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise AccessError(
            f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )
    hashed = _argon2().PasswordHasher().hash(password) if password else ""
    try:
        account = typed.convert({"name": name, "role": role, "password_hash": hashed}, Account)
    except msgspec.ValidationError as error:
        raise AccessError(f"account name {name!r}: {place_and_reason(error)[1]}") from error
    access.accounts.append(account)
    return account


def remove_account(access: AccessFile, name: str) -> None:
    """Remove an account with its tokens.

    Raises:
        AccessError: there is none of this name.
    """
    if access.account(name) is None:
        raise AccessError(f"there is no account {name!r}")
    access.accounts[:] = [account for account in access.accounts if account.name != name]
    access.tokens[:] = [token for token in access.tokens if token.account != name]


def add_token(access: AccessFile, name: str, life_s: float, scopes: frozenset[Scope]) -> str:
    """Add a token of an account and return it; it cannot be shown again.

    Args:
        access: changed in place.
        name: of the account.
        life_s: until it expires.
        scopes: empty: all its account may.

    Raises:
        AccessError: there is no such account, or it may not do what the token should.
    """
    account = access.account(name)
    if account is None:
        raise AccessError(f"there is no account {name!r}")
    allowed = SCOPES[account.role]
    if not scopes <= allowed:
        excess = ", ".join(sorted(scopes - allowed))
        raise AccessError(f"a token of a {account.role} cannot have {excess}")
    now_s = time.time()
    # What no longer works makes room.
    access.tokens[:] = [token for token in access.tokens if token.is_live(now_s)]
    if len(access.tokens) >= TOKENS_MAX:
        raise AccessError(f"no more than {TOKENS_MAX} tokens; revoke some")
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    hashed = _token_hasher().hash(secret)
    access.tokens.append(
        Token(token_id, name, hashed, sorted(scopes or allowed), now_s, now_s + life_s)
    )
    return f"{TOKEN_PREFIX}_{token_id}_{secret}"


def revoke_token(access: AccessFile, token_id: str) -> None:
    """Make a token useless from now on.

    Raises:
        AccessError: there is none of this id.
    """
    token = access.token(token_id)
    if token is None:
        raise AccessError(f"there is no token {token_id!r}")
    token.revoked_s = token.revoked_s or time.time()


def is_hash_of(hashed: str, secret: str) -> bool:
    """Return whether a hash was made of this secret; takes milliseconds on purpose."""
    argon2 = _argon2()
    try:
        return bool(argon2.PasswordHasher().verify(hashed, secret))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def hash_for_nobody(secret: str) -> None:
    """Take as long as a wrong password does: nobody learns from time which accounts exist."""
    _argon2().PasswordHasher().hash(secret)


def _token_hasher() -> Any:  # noqa: ANN401  the library's
    return _argon2().PasswordHasher(time_cost=1, memory_cost=TOKEN_MEMORY_KIB, parallelism=1)


class Accounts:
    """The accounts of a home as a running engine sees them; a change counts within a second."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing yet."""
        self._home = home
        self._clock = clock
        self._looked_s = float("-inf")
        self._changed_ns = -1
        self._access = AccessFile()
        self.problem = ""  # why nobody can be known; then nobody is
        self.version = 0  # of what was read; what was found out from an earlier one is void

    def current(self) -> AccessFile:
        """Return the accounts; those of an unreadable file are none, and `problem` says why."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            try:
                changed_ns = (self._home / FILE_NAME).stat().st_mtime_ns
            except OSError:
                changed_ns = 0
            if changed_ns != self._changed_ns:
                self._changed_ns = changed_ns
                self._load()
        return self._access

    @property
    def exist(self) -> bool:
        """Return whether there is any account, or a file that should tell and cannot."""
        return bool(self.current().accounts) or bool(self.problem)

    def _load(self) -> None:
        self.version += 1
        try:
            self._access, self.problem = read_access(self._home), ""
            if self._access.accounts:
                _argon2()  # imported before somebody waits for it
        except AccessError as error:
            self._access, self.problem = AccessFile(), str(error)


def _argon2() -> Any:  # noqa: ANN401  a module
    try:
        import argon2
    except ImportError as error:
        raise AccessError("argon2-cffi is not installed; `make setup` installs it") from error
    return argon2
