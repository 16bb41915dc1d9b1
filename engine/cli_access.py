"""`aegis access`: accounts and tokens of the API. A change counts in a running engine at once."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine import exit_codes

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
        document, text = _ACTIONS[options.action](options, home)
    except (AccessError, ButtonError) as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    print(json.dumps(document) if options.json else text)  # noqa: T201  the command's own output
    return exit_codes.DONE


def _add(options: argparse.Namespace, home: Path) -> tuple[dict[str, Any], str]:
    from engine.web.accounts import add_account, changed

    password = "" if options.no_password else _ask_password()
    with changed(home) as access:
        add_account(access, options.name, options.role, password)
    return {"account": options.name, "role": options.role}, f"{options.name} is {options.role}"


def _token(options: argparse.Namespace, home: Path) -> tuple[dict[str, Any], str]:
    from engine.web.accounts import add_token, changed
    from engine.web.operations import Scope

    scopes = frozenset(Scope(word) for word in options.scope)
    with changed(home) as access:
        token = add_token(access, options.name, options.days * DAY_S, scopes)
    return {"account": options.name, "token": token}, token


def _button(options: argparse.Namespace, home: Path) -> tuple[dict[str, Any], str]:
    from engine.web.buttons import Buttons

    path = f"/v1/press/{Buttons(home).make(options.name, options.days * DAY_S)}"
    return {"button": options.name, "path": path}, path


def _list(_options: argparse.Namespace, home: Path) -> tuple[dict[str, Any], str]:
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
            "expires": f"{datetime.fromtimestamp(each.expires_s, UTC):%Y-%m-%d %H:%M}",
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
    return {"accounts": accounts, "tokens": tokens}, "\n".join(lines) or "no account"


def _revoke(options: argparse.Namespace, home: Path) -> tuple[dict[str, Any], str]:
    from engine.web.accounts import changed, revoke_token

    with changed(home) as access:
        revoke_token(access, options.name)
    return {"revoked": options.name}, f"{options.name} is revoked"


def _remove(options: argparse.Namespace, home: Path) -> tuple[dict[str, Any], str]:
    from engine.web.accounts import changed, remove_account

    with changed(home) as access:
        remove_account(access, options.name)
    return {"removed": options.name}, f"{options.name} and its tokens are removed"


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
