"""`aegis access`: accounts and tokens of the API. A change counts in a running engine at once.

Each change, done or refused, is a line in `AEGIS_HOME/control_audit_log.jsonl`, without its secret.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from engine import exit_codes

if TYPE_CHECKING:
    from engine.web.accounts import Token

DAY_S: Final = 86_400.0
TOKEN_DAYS: Final = 30.0
ROLES: Final = ("viewer", "operator", "admin")
SCOPES: Final = ("read", "halt", "operate", "admin")
EXAMPLE: Final = """\
example: aegis access add alice --role operator            asks for a password
         aegis access add board --role viewer --no-password
         aegis access token board --days 7                 shows the token, once
         aegis access token alice --scope halt --days 365  for a hardware button
         aegis access button desk-red --days 90            HALT, once, by a signed address
         aegis access list
         aegis access revoke 3f9c01aa72de
         aegis access remove alice

Roles: viewer reads; operator reads and gives commands; admin may stop the engine too. Without any
account this machine may read and HALT, and everything else needs the run's token or API_TOKEN.
"""
NAME_SHOWN_MAX: Final = 64  # of a name that is none


class Change(NamedTuple):
    """What an action did; `before` and `after` are for the trail and hold no secret."""

    document: dict[str, Any]
    text: str
    before: str = ""
    after: str = ""


def add_access_command(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    access = add("access", "Say who may use the API: accounts and tokens.", EXAMPLE)
    access.add_argument("action", choices=("add", "token", "button", "list", "revoke", "remove"))
    access.add_argument("name", nargs="?", default="", help="an account; of revoke: a token's id")
    access.add_argument("--role", choices=ROLES, default="viewer", help="of add (viewer)")
    access.add_argument("--no-password", action="store_true", help="of add: tokens only")
    access.add_argument("--scope", action="append", choices=SCOPES, default=[], help="of token")
    access.add_argument("--days", type=float, default=TOKEN_DAYS, help="a token's life (30)")
    access.add_argument("--json", action="store_true", help="print one JSON object")


def access_command(options: argparse.Namespace, home: Path) -> int:
    """Do what the action says; return a documented exit code."""
    from engine.web.accounts import AccessError
    from engine.web.buttons import ButtonError

    if options.action != "list" and not options.name:
        return exit_codes.fail(f"access {options.action} needs a name", exit_codes.USAGE)
    if not 0 < options.days <= 3_650:
        return exit_codes.fail("a token lives up to 3650 days", exit_codes.USAGE)
    try:
        change = _ACTIONS[options.action](options, home)
    except (AccessError, ButtonError) as error:
        _write_down(options, home, Change({}, ""), str(error))
        return exit_codes.fail(str(error), exit_codes.USAGE)
    _write_down(options, home, change)
    text = json.dumps(change.document) if options.json else change.text
    print(text)  # noqa: T201  the command's own output
    return exit_codes.DONE


def _write_down(options: argparse.Namespace, home: Path, change: Change, error: str = "") -> None:
    """Write an action into the trail of the home; what was done holds where that fails."""
    from engine.store.control_audit import ControlAudit, by_command_line

    if options.action == "list":
        return
    name, given = _without_secret(options.name), options.name
    row = by_command_line(
        f"access {options.action} {name}",
        before=change.before,
        after=change.after,
        effect=error.replace(given, name),
        done=not error,
    )
    try:
        ControlAudit(home).record(row)
    except OSError as failure:
        text = f"aegis: not in the audit trail ({home}: {failure.strerror})"
        print(text, file=sys.stderr)  # noqa: T201  the command's own output


def _without_secret(name: str) -> str:
    """Return a name as it may be written down: of a whole token that somebody gave, its id."""
    from engine.web.accounts import TOKEN_PREFIX

    parts = name.split("_", 2)
    if parts[0] == TOKEN_PREFIX and len(parts) > 1:
        name = parts[1]
    return name[:NAME_SHOWN_MAX]


def _add(options: argparse.Namespace, home: Path) -> Change:
    from engine.web.accounts import add_account, changed

    password = "" if options.no_password else _ask_password()
    with changed(home) as access:
        add_account(access, options.name, options.role, password)
    document = {"account": options.name, "role": options.role}
    after = f"{options.role}, {'with a password' if password else 'tokens only'}"
    return Change(document, f"{options.name} is {options.role}", after=after)


def _token(options: argparse.Namespace, home: Path) -> Change:
    from engine.web.accounts import add_token, changed
    from engine.web.operations import Scope

    scopes = frozenset(Scope(word) for word in options.scope)
    with changed(home) as access:
        token = add_token(access, options.name, options.days * DAY_S, scopes)
        after = _said(access.tokens[-1])
    return Change({"account": options.name, "token": token}, token, after=after)


def _button(options: argparse.Namespace, home: Path) -> Change:
    from engine.web.buttons import Buttons

    address = Buttons(home).make(options.name, options.days * DAY_S)
    path = f"/v1/press/{address}"
    signed = address.rpartition(".")[0]  # who may read the trail may not press
    return Change({"button": options.name, "path": path}, path, after=signed)


def _list(_options: argparse.Namespace, home: Path) -> Change:
    from engine.web.accounts import read_access

    access = read_access(home)
    now_s = time.time()
    accounts = [
        {"name": each.name, "role": each.role, "password": bool(each.password_hash)}
        for each in access.accounts
    ]
    tokens = [
        {
            "id": each.id,
            "account": each.account,
            "scopes": [scope.value for scope in each.scopes],
            "expires": _day(each),
            "state": "live" if each.is_live(now_s) else "revoked" if each.revoked_s else "expired",
        }
        for each in access.tokens
    ]
    lines = [f"{row['name']:<20} {row['role']}" for row in accounts]
    lines += [
        f"  {row['id']}  {row['account']:<20} {','.join(row['scopes']):<24} "
        f"{row['state']} until {row['expires']}"
        for row in tokens
    ]
    return Change({"accounts": accounts, "tokens": tokens}, "\n".join(lines) or "no account")


def _revoke(options: argparse.Namespace, home: Path) -> Change:
    from engine.web.accounts import changed, revoke_token

    with changed(home) as access:
        token = access.token(options.name)
        before = _said(token) if token is not None else ""
        revoke_token(access, options.name)
    text = f"{options.name} is revoked"
    return Change({"revoked": options.name}, text, before, "revoked")


def _remove(options: argparse.Namespace, home: Path) -> Change:
    from engine.web.accounts import changed, remove_account

    with changed(home) as access:
        account = access.account(options.name)
        held = [token.id for token in access.tokens if token.account == options.name]
        remove_account(access, options.name)
    before = f"{account.role if account else ''}, {len(held)} tokens: {' '.join(held)}"
    text = f"{options.name} and its tokens are removed"
    return Change({"removed": options.name}, text, before.rstrip(": "), "removed")


def _said(token: Token) -> str:
    """Return what may be written down of a token: never what it or its hash is."""
    state = "revoked" if token.revoked_s else "valid"
    return f"{token.id} of {token.account}: {','.join(token.scopes)}, {state} until {_day(token)}"


def _day(token: Token) -> str:
    return f"{datetime.fromtimestamp(token.expires_s, UTC):%Y-%m-%d %H:%M}"


def _ask_password() -> str:
    """Return a password from the terminal, or the first line of what is piped in."""
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\n")


_ACTIONS: Final = {
    "add": _add,
    "token": _token,
    "button": _button,
    "list": _list,
    "revoke": _revoke,
    "remove": _remove,
}
