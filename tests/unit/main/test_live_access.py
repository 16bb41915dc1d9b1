"""A live stream is for as long as who opened it may read: not longer than any other answer."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from engine.web import accounts as accounts_module
from engine.web import live
from engine.web.accounts import add_account, add_token, changed
from tests.api_rig import Served, serving

pytest.importorskip("argon2", reason="argon2-cffi is not installed")

LINES_AFTER = 200  # at five looks a second: far more than a second or two


def ends(served: Served, path: str, head: dict[str, str], end: Callable[[], object]) -> bool:
    """Return whether a stream that was admitted ends once it may not be read any more."""
    connection = http.client.HTTPConnection("127.0.0.1", served.api.port, timeout=10)
    try:
        connection.request("GET", path, headers=head)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline()
        end()
        return any(not answer.readline() for _ in range(LINES_AFTER))
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/events", "/v1/stream"])
def test_a_stream_ends_with_the_credential_that_opened_it(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((accounts_module, "LOOK_S"), (live, "HOLDS_S"), (live, "UNCHANGED_S")):
        monkeypatch.setattr(module, name, 0.0)
    with serving(tmp_path) as served:

        def add() -> None:
            with changed(served.home) as access:
                add_account(access, "vera", "viewer")

        def token() -> str:
            with changed(served.home) as access:
                return add_token(access, "vera", 3_600.0, frozenset())

        def revoke() -> None:
            with changed(served.home) as access:
                access.tokens.clear()

        assert ends(served, path, {}, add), "a guest: there are accounts now"
        assert ends(served, path, {"x-aegis-token": token()}, revoke)
        secret = token()
        answer = served.ask("POST", "/v1/login", {"token": secret})
        cookie = answer.headers["set-cookie"].partition(";")[0]
        csrf = {"cookie": cookie, "x-aegis-csrf": answer.document["csrf"]}
        leave = partial(served.ask, "POST", "/v1/logout", {}, csrf)
        assert ends(served, path, {"cookie": cookie}, leave)
        answer = served.ask("POST", "/v1/login", {"token": secret})
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert ends(served, path, {"cookie": cookie}, revoke)
