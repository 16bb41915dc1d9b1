"""Who may: every request passes here before anything is read or changed.

        foreign page                                  403
        credential: run's token, API token, account's token, session's cookie
            none, and on this machine, and no accounts  guest: reads, and may HALT
            none or wrong                              401
        credential that may not do this               403
        too often                                     429

A HALT is never kept back by a limit of rate: only by who may. Wrong tokens lock out further wrong
ones of the same address (those that are none at all together, those of one id by that id); a token
that counts is known before anything is asked of a lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from starlette.requests import Request

from engine.web.access import address, credential, foreign, is_loopback_client
from engine.web.accounts import SCOPES, AccessFile, Accounts, Token, hash_for_nobody, is_hash_of
from engine.web.buttons import Buttons
from engine.web.lockout import Buckets, Lockout
from engine.web.operations import Scope
from engine.web.sessions import CSRF_HEADER, Caller, Session, Sessions

GUEST: Final = Caller("guest", "guest", frozenset({Scope.READ, Scope.HALT}))
LOCAL: Final = Caller("local", "admin", SCOPES["admin"])  # holds the run's token
API: Final = Caller("api-token", "admin", SCOPES["admin"])
TOKEN_PARTS: Final = 3  # prefix, id, secret
CREDENTIAL_BYTES_MAX: Final = 512
KNOWN_MAX: Final = 256  # tokens whose hash was verified
NEEDED: Final = "a token is needed in the x-aegis-token header, or a login"
WRONG: Final = "the credential is wrong, expired or revoked"
TOO_MANY: Final = "too many attempts"


class Refused(NamedTuple):
    """Why a request is not admitted."""

    status: int
    error: str
    wait_s: float = 0.0


class Gate:
    """Admits requests; used by the API's event loop only."""

    def __init__(
        self,
        engine: str,
        run_token: str,
        accounts: Accounts,
        buttons: Buttons,
        api_token: str = "",
    ) -> None:
        """Take the credentials that need no accounts.

        Args:
            engine: instance name.
            run_token: made at start, in a file of mode 0600.
            accounts: of AEGIS_HOME.
            buttons: of AEGIS_HOME.
            api_token: of the configuration; empty: none.
        """
        self.sessions = Sessions(engine)
        self.buttons = buttons
        self._fixed = [(run_token.encode(), LOCAL)]
        if api_token:
            self._fixed.append((api_token.encode(), API))
        self._accounts = accounts
        self._lockout = Lockout()  # by account or token, and address
        self._strangers = Lockout()  # by address: of tokens that nobody ever had
        self._hashing = Buckets(burst=8, per_s=2)  # hashes cost milliseconds of a core
        self._reads = Buckets(burst=100, per_s=20)
        self._commands = Buckets(burst=30, per_s=3)
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._hasher = ThreadPoolExecutor(1, "aegis-access")

    async def admit(self, request: Request, scope: Scope) -> Caller | Refused:
        """Return who asks, or why they may not have `scope`."""
        if request.method == "POST":
            reason = foreign(request)
            if reason:
                return Refused(403, reason)
        caller = await self.identify(request)
        if isinstance(caller, Refused):
            return caller
        if scope not in caller.scopes:
            if caller is GUEST:
                return Refused(401, NEEDED)
            return Refused(403, f"{caller.name} ({caller.role}) may not: it needs {scope.value!r}")
        return self._in_measure(request, caller, scope)

    async def identify(self, request: Request) -> Caller | Refused:
        """Return who asks, whatever they may."""
        given = credential(request)
        if given is not None:
            return await self._by_token(given, address(request))
        session = self.session(self.cookie(request))
        if session is not None:
            word = request.headers.get(CSRF_HEADER, "")
            if request.method == "POST" and not _same(word, session.csrf):
                return Refused(403, f"the page's word is needed in the {CSRF_HEADER} header")
            return session.caller
        if is_loopback_client(request) and not self._accounts.exist:
            return GUEST
        return Refused(401, self._accounts.problem or NEEDED)

    def holds(self, request: Request, caller: Caller) -> bool:
        """Return whether who was admitted with a request would be now; costs no hash, uses none."""
        if caller is GUEST:
            return not self._accounts.exist
        if credential(request) is None and not self.sessions.is_open(self.cookie(request)):
            return False
        return caller in (LOCAL, API) or _holds(self._accounts.current(), caller)

    def cookie(self, request: Request) -> str:
        """Return the cookie of this engine's page; empty: there is none."""
        return request.cookies.get(self.sessions.cookie_name, "")

    def session(self, cookie: str) -> Session | None:
        """Return an open session whose account and token still hold; else it is closed."""
        session = self.sessions.find(cookie)
        if session is None:
            return None
        caller, access = session.caller, self._accounts.current()
        if caller in (LOCAL, API) or _holds(access, caller):
            return session
        self.sessions.close(cookie)
        return None

    async def login(self, request: Request, account: str, secret: str) -> Caller | Refused:
        """Return who logs in: by a token alone, or by an account and its password."""
        reason = foreign(request)
        if reason:
            return Refused(403, reason)
        if not account:
            return await self._by_token(secret, address(request))
        key = f"{account}@{address(request)}"
        refused = self._may_hash(key)
        if refused is not None:
            return refused
        found = self._accounts.current().account(account)
        hashed = found.password_hash if found is not None else ""
        if not await self._verify(hashed, secret) or found is None:
            self._lockout.failed(key)
            return Refused(401, WRONG)
        self._lockout.succeeded(key)
        return Caller(found.name, found.role, SCOPES[found.role])

    async def _by_token(self, given: str, source: str) -> Caller | Refused:
        for fixed, caller in self._fixed:
            if _same(given, fixed):
                return caller
        access = self._accounts.current()
        parts = given.split("_", TOKEN_PARTS - 1)
        is_formed = len(parts) == TOKEN_PARTS and len(given) <= CREDENTIAL_BYTES_MAX
        token = access.token(parts[1]) if is_formed else None
        if token is None or not token.is_live(time.time()):
            return self._no_token(source)
        digest = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
        if self._known.get(digest) != (token.id, self._accounts.version):
            key = f"{token.id}@{source}"
            refused = self._may_hash(key)
            if refused is not None:
                return refused
            if not await self._verify(token.hash, parts[2]):
                self._lockout.failed(key)
                return Refused(401, WRONG)
            self._remember(digest, token)
        return _caller_of(access, token) or Refused(401, WRONG)

    def _no_token(self, source: str) -> Refused:
        """Refuse what is no token, or none that counts: at first at once, then after a wait."""
        wait_s = self._strangers.wait_s(source)
        if wait_s:
            return Refused(429, TOO_MANY, wait_s)
        self._strangers.failed(source)
        return Refused(401, WRONG)

    def _may_hash(self, key: str) -> Refused | None:
        wait_s = self._lockout.wait_s(key) or self._hashing.take(key.rpartition("@")[2])
        return Refused(429, TOO_MANY, wait_s) if wait_s else None

    async def _verify(self, hashed: str, secret: str) -> bool:
        loop = asyncio.get_running_loop()
        if not hashed or len(secret) > CREDENTIAL_BYTES_MAX:
            await loop.run_in_executor(self._hasher, hash_for_nobody, "nobody")
            return False
        return await loop.run_in_executor(self._hasher, is_hash_of, hashed, secret)

    def _remember(self, digest: str, token: Token) -> None:
        self._known[digest] = (token.id, self._accounts.version)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _in_measure(self, request: Request, caller: Caller, scope: Scope) -> Caller | Refused:
        if scope is Scope.HALT:
            return caller
        if scope is Scope.READ:
            wait_s = 0.0 if is_loopback_client(request) else self._reads.take(caller.name)
        else:
            wait_s = self._commands.take(caller.name)
        return Refused(429, "too often", wait_s) if wait_s else caller


def _caller_of(access: AccessFile, token: Token) -> Caller | None:
    account = access.account(token.account)
    if account is None or account.role not in SCOPES:
        return None
    scopes = SCOPES[account.role] & frozenset(token.scopes)
    return Caller(account.name, account.role, scopes, token.id)


def _holds(access: AccessFile, caller: Caller) -> bool:
    if caller.token_id:
        token = access.token(caller.token_id)
        return (
            token is not None
            and token.is_live(time.time())
            and (_caller_of(access, token) == caller)
        )
    account = access.account(caller.name)
    return account is not None and account.role == caller.role


def _same(given: str, expected: str | bytes) -> bool:
    wanted = expected.encode() if isinstance(expected, str) else expected
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted)
