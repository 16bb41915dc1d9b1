"""Who may: tokens hashed, scoped, expiring and revocable; sessions with a second word; lock-out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from engine.store.control_audit import by_command_line
from engine.web import accounts as accounts_module
from engine.web import sessions
from engine.web.accounts import (
    FILE_NAME,
    AccessError,
    Accounts,
    add_account,
    add_token,
    changed,
    read_access,
    remove_account,
    revoke_token,
)
from engine.web.lockout import Buckets, Lockout
from engine.web.operations import Scope
from engine.web.sessions import Caller, Sessions
from tests.api_rig import TOKEN, Answered, Served, serving

pytest.importorskip("argon2", reason="argon2-cffi is not installed")
COOKIE = "aegis_session_main"
PASSWORD = "a long enough one"
LIFE_S = 3_600.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with changed(tmp_path) as access:
        add_account(access, "vera", "viewer")
        add_account(access, "olga", "operator", PASSWORD)
        add_account(access, "anna", "admin")
    return tmp_path


@pytest.fixture
def served(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(accounts_module, "LOOK_S", 0.0)  # each request sees the file as it is
    with serving(home) as made:
        yield made


def token_of(home: Path, name: str, *scopes: Scope, life_s: float = LIFE_S) -> str:
    with changed(home) as access:
        return add_token(access, name, life_s, frozenset(scopes))


def login(served: Served, body: dict[str, str]) -> tuple[Answered, dict[str, str]]:
    """Return the answer to a login, and the headers of the page that is logged in."""
    answer = served.ask("POST", "/v1/login", body)
    cookie = SimpleCookie(answer.headers.get("set-cookie", ""))
    if answer.status != 200:
        return answer, {}
    text = f"{COOKIE}={cookie[COOKIE].value}"
    return answer, {"Cookie": text, sessions.CSRF_HEADER: answer.document["csrf"]}


# -- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "may"),
    [("vera", {"positions"}), ("olga", {"positions", "halt", "pause"}), ("anna", {"all"})],
)
def test_a_role_bounds_what_its_tokens_may(served: Served, name: str, may: set[str]) -> None:
    given = {"x-aegis-token": token_of(served.home, name)}
    tried = {
        "positions": served.ask("GET", "/v1/positions", headers=given).status,
        "halt": served.ask("POST", "/v1/halt", {}, given).status,
        "pause": served.ask("POST", "/v1/pause", {}, given).status,
        "trigger_shutdown": served.ask("POST", "/v1/trigger_shutdown", {}, given).status,
    }
    allowed = set(tried) if may == {"all"} else may
    assert tried == {each: 200 if each in allowed else 403 for each in tried}


def test_a_token_may_be_given_less_than_its_account(served: Served) -> None:
    given = {"x-aegis-token": token_of(served.home, "olga", Scope.HALT)}
    assert served.ask("POST", "/v1/halt", {}, given).status == 200
    assert served.ask("POST", "/v1/pause", {}, given).status == 403
    assert served.ask("GET", "/status", headers=given).status == 403


def test_the_audit_trail_names_the_account_and_not_what_it_says(served: Served) -> None:
    token = token_of(served.home, "olga")
    served.told("pause", {"who": "anna", "reason": "x"}, token)
    assert served.operator.told == [("pause", "olga", "x")]
    assert served.audit.rows(-1, 9)[-1]["who"] == "olga"


def test_an_expired_token_is_none(served: Served) -> None:
    token = token_of(served.home, "olga", life_s=-1.0)
    assert served.told("pause", {}, token).status == 401


def test_a_revoked_token_is_none_at_once(served: Served) -> None:
    token = token_of(served.home, "olga")
    assert served.told("pause", {}, token).status == 200
    with changed(served.home) as access:
        revoke_token(access, token.split("_")[1])
    assert served.told("pause", {}, token).status == 401


def test_a_removed_account_takes_its_tokens_along(served: Served) -> None:
    token = token_of(served.home, "olga")
    with changed(served.home) as access:
        remove_account(access, "olga")
    assert served.told("pause", {}, token).status == 401
    assert [each for each in read_access(served.home).tokens if each.account == "olga"] == []


def test_a_guess_at_a_token_is_locked_out_and_the_right_one_from_elsewhere_is_not(
    served: Served,
) -> None:
    token = token_of(served.home, "olga")
    served.told("pause", {}, token)  # known by now
    wrong = token[:-4] + "AAAA"
    statuses = [served.told("pause", {}, wrong).status for _ in range(12)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert served.told("pause", {}, token).status == 200, "the right one is not kept waiting"
    assert served.told("pause").status == 200, "nor is the run's own"


@pytest.mark.parametrize("given", ["malformed", "unknown", "long", "expired", "revoked"])
def test_what_is_no_token_is_locked_out_and_every_right_one_is_not(
    served: Served, given: str
) -> None:
    """Once only a wrong secret under an id that exists was; all else could be tried for ever."""
    right = token_of(served.home, "olga")
    wrong = {
        "malformed": "no-token",
        "unknown": "aegis_0123456789ab_" + "A" * 43,
        "long": "aegis_" + "x" * 600,
        "expired": token_of(served.home, "olga", life_s=-1.0),
        "revoked": token_of(served.home, "olga"),
    }[given]
    if given == "revoked":
        with changed(served.home) as access:
            revoke_token(access, wrong.split("_")[1])
    answers = [served.told("pause", {}, wrong) for _ in range(8)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 3
    assert int(answers[-1].headers["retry-after"]) > 30
    assert served.told("halt", {}, wrong).status == 429
    assert served.told("pause", {}, right).status == 200, "not known before, and let in"
    assert served.told("pause", {}, right).status == 200
    assert served.told("pause").status == 200, "nor is the run's own kept waiting"
    refused = 400 if given == "long" else 429  # a body is bounded before anybody is asked
    assert login(served, {"token": wrong})[0].status == refused, "a login is no way round"
    assert login(served, {"account": "olga", "password": PASSWORD})[0].status == 200


def test_with_accounts_this_machine_needs_a_token_too(served: Served) -> None:
    assert served.ask("GET", "/status").status == 401
    assert served.ask("POST", "/v1/halt", {}).status == 401
    assert served.ask("GET", "/health").status == 200
    assert served.told("halt").status == 200


def test_the_file_holds_no_secret(served: Served) -> None:
    token = token_of(served.home, "olga")
    path = served.home / FILE_NAME
    text = path.read_text(encoding="utf-8")
    assert token.split("_", 2)[2] not in text
    assert PASSWORD not in text
    assert text.count("$argon2id$") == 2
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["{", '{"accounts": 5}', '{"more": 1}', "\xff"])
def test_an_unreadable_file_lets_nobody_in_but_the_run(served: Served, damage: str) -> None:
    token = token_of(served.home, "olga")
    (served.home / FILE_NAME).write_text(damage, encoding="latin-1")
    assert served.told("pause", {}, token).status == 401
    assert served.ask("GET", "/status").status == 401
    assert served.told("pause").status == 200


def test_a_file_that_others_may_read_is_not_believed(served: Served) -> None:
    token = token_of(served.home, "olga")
    (served.home / FILE_NAME).chmod(0o644)
    (served.home / FILE_NAME).touch()
    assert served.told("pause", {}, token).status == 401
    assert "others may read it" in served.ask("GET", "/status").document["error"]


def test_the_configured_token_is_an_admins(tmp_path: Path) -> None:
    with serving(tmp_path, api_token="of-the-configuration") as served:
        assert served.told("trigger_shutdown", {}, "of-the-configuration").status == 200
        assert served.told("trigger_shutdown", {}, "of-another").status == 401


# -- accounts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "role", "password"),
    [
        ("vera", "viewer", ""),
        ("Upper", "viewer", ""),
        ("", "viewer", ""),
        ("../x", "viewer", ""),
        ("new", "owner", ""),
        ("local", "admin", ""),  # its session would pass for the run's token's
        ("guest", "viewer", ""),
        ("new", "viewer", "short"),
    ],
)
def test_an_account_that_cannot_be_is_refused(
    home: Path, name: str, role: str, password: str
) -> None:
    before = (home / FILE_NAME).read_bytes()
    with pytest.raises(AccessError), changed(home) as access:
        add_account(access, name, role, password)
    assert (home / FILE_NAME).read_bytes() == before


def test_a_token_has_no_scope_that_its_account_has_not(home: Path) -> None:
    with pytest.raises(AccessError, match="operate"):
        token_of(home, "vera", Scope.OPERATE)


def test_accounts_and_tokens_are_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "ACCOUNTS_MAX", 3)
    monkeypatch.setattr(accounts_module, "TOKENS_MAX", 1)
    with pytest.raises(AccessError, match="no more than"), changed(home) as access:
        add_account(access, "more", "viewer")
    token_of(home, "vera", life_s=-1.0)
    token_of(home, "vera")  # one that has expired makes room
    with pytest.raises(AccessError, match="no more than"):
        token_of(home, "vera")


def test_no_accounts_are_no_file(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    assert not accounts.exist
    assert accounts.current().accounts == []


# -- sessions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["password", "token", "run"])
def test_a_page_logs_in_and_out(served: Served, by: str) -> None:
    body = {
        "password": {"account": "olga", "password": PASSWORD},
        "token": {"token": token_of(served.home, "olga")},
        "run": {"token": TOKEN},
    }[by]
    answer, page = login(served, body)
    assert (answer.status, answer.document["role"]) == (200, "admin" if by == "run" else "operator")
    assert served.ask("POST", "/v1/pause", {}, page).status == 200
    assert served.ask("GET", "/status", headers=page).status == 200
    assert served.ask("GET", "/v1/whoami", headers=page).document["csrf"] == page["x-aegis-csrf"]
    assert served.ask("POST", "/v1/logout", {}, page).status == 200
    assert served.ask("POST", "/v1/pause", {}, page).status == 401


def test_only_who_is_logged_in_leaves_a_line_by_logging_out(served: Served) -> None:
    _, page = login(served, {"token": TOKEN})
    before = served.audit.tail()
    foreign = page | {"Origin": "http://evil.example"}
    assert served.ask("POST", "/v1/logout", {}, foreign).status == 403
    assert served.ask("POST", "/v1/logout", {}, {"x-aegis-token": TOKEN}).status == 200
    assert served.audit.tail() == before
    assert served.ask("GET", "/status", headers=page).status == 200, "it is logged in still"
    assert served.ask("POST", "/v1/logout", {}, page).status == 200
    assert [row["what"] for row in served.audit.tail()[len(before) :]] == ["logout"]


def test_engines_of_one_host_keep_their_pages_apart(served: Served) -> None:
    _, page = login(served, {"token": TOKEN})
    both = {"Cookie": f"{page['Cookie']}; aegis_session_second=another-engine's"}
    assert served.ask("GET", "/status", headers=page | both).status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Served) -> None:
    answer, _ = login(served, {"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie, "plain HTTP on this machine would lose it"
    gate_host = {"Host": "aegis.example"}
    foreign = served.ask("POST", "/v1/login", {"token": TOKEN}, gate_host)
    assert foreign.status == 403, "a foreign name for this machine may not log in"


@pytest.mark.parametrize("word", ["", "guess", None])
def test_a_cookie_without_the_second_word_changes_nothing(served: Served, word: str | None) -> None:
    _, page = login(served, {"token": TOKEN})
    del page["x-aegis-csrf"]
    if word is not None:
        page["x-aegis-csrf"] = word
    assert served.ask("POST", "/v1/pause", {}, page).status == 403
    assert served.operator.told == []


def test_a_cross_site_request_with_the_cookie_changes_nothing(served: Served) -> None:
    _, page = login(served, {"token": TOKEN})
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert served.ask("POST", "/v1/pause", {}, page | headers).status == 403


def test_a_revoked_token_ends_the_session_it_opened(served: Served) -> None:
    token = token_of(served.home, "olga")
    _, page = login(served, {"token": token})
    with changed(served.home) as access:
        revoke_token(access, token.split("_")[1])
    assert served.ask("POST", "/v1/pause", {}, page).status == 401


def test_a_password_is_locked_out_after_five_failures(served: Served) -> None:
    statuses = [login(served, {"account": "olga", "password": "wrong"})[0].status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    answer, _ = login(served, {"account": "olga", "password": PASSWORD})
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 30
    assert login(served, {"token": TOKEN})[0].status == 200, "a token is not locked out with it"


@pytest.mark.parametrize(
    "body",
    [
        {"account": "nobody", "password": PASSWORD},
        {"account": "vera", "password": ""},
        {"account": "vera", "password": "x"},
        {"token": ""},
        {},
        {"account": "olga"},
    ],
)
def test_a_login_that_is_none_is_refused_alike(served: Served, body: dict[str, str]) -> None:
    answer, _ = login(served, body)
    assert (answer.status, answer.document["error"]) == (
        401,
        "the credential is wrong, expired or revoked",
    )


def test_logins_are_written_down(served: Served) -> None:
    login(served, {"account": "olga", "password": "wrong"})
    login(served, {"account": "olga", "password": PASSWORD})
    rows = served.audit.rows(-1, 9)
    assert [(row["who"], row["what"], row["done"]) for row in rows] == [
        ("olga", "login", False),
        ("olga", "login", True),
    ]


def test_sessions_end_by_age_by_silence_and_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    now = [0.0]
    held = Sessions("main", lambda: now[0])
    caller = Caller("olga", "operator", frozenset({Scope.READ}))
    first, _ = held.open(caller)
    now[0] += sessions.IDLE_S - 1
    assert held.find(first) is not None
    now[0] += sessions.IDLE_S
    assert held.find(first) is None
    second, _ = held.open(caller)
    for _ in range(20):
        now[0] += sessions.IDLE_S - 1
        held.find(second)
    assert held.find(second) is None, "twelve hours are over"
    cookies = [held.open(caller)[0] for _ in range(3)]
    assert [held.find(cookie) is not None for cookie in cookies] == [False, True, True]


# -- measure ------------------------------------------------------------------------------------


def test_commands_are_limited_and_a_halt_is_not(served: Served) -> None:
    statuses = {served.told("pause").status for _ in range(40)}
    assert statuses == {200, 429}
    assert {served.told("halt").status for _ in range(40)} == {200}


def test_a_bucket_drips() -> None:
    now = [0.0]
    buckets = Buckets(2, 0.5, lambda: now[0])
    assert [buckets.take("a"), buckets.take("a"), buckets.take("b")] == [0.0, 0.0, 0.0]
    assert buckets.take("a") == 2.0
    now[0] += 2.0
    assert buckets.take("a") == 0.0


def test_a_lock_doubles_up_to_its_bound_and_a_success_forgets_it() -> None:
    now = [0.0]
    lockout = Lockout(lambda: now[0])
    waits = []
    for _ in range(12):
        lockout.failed("x")
        waits.append(lockout.wait_s("x"))
    assert waits == [0.0] * 4 + [60.0, 120.0, 240.0, 480.0] + [900.0] * 4
    lockout.succeeded("x")
    assert lockout.wait_s("x") == 0.0


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    lockout, buckets = Lockout(time.monotonic), Buckets(1, 1)
    for number in range(3_000):
        lockout.failed(str(number))
        buckets.take(str(number))
    assert len(lockout._failures) == len(buckets._levels) == 1_024


def test_the_trail_of_accounts_is_an_admins_to_read_and_is_not_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts_module, "LOOK_S", 0.0)  # each request sees the file as it is
    with serving(tmp_path) as served:
        served.access_audit.record(by_command_line("access add vera", after="viewer"))
        path = "/v1/fetch_access_trail"
        assert served.ask("GET", path).status == 401, "a guest reads, but not this"
        page = served.ask("GET", path, None, {"x-aegis-token": TOKEN}).document
        assert [row["what"] for row in page["rows"]] == ["access add vera"]
        assert served.ask("GET", "/v1/fetch_audit_trail").document["rows"] == []
        with changed(served.home) as access:
            add_account(access, "olga", "operator")
            secret = add_token(access, "olga", 3_600.0, frozenset())
        assert served.ask("GET", path, None, {"x-aegis-token": secret}).status == 403
