"""Onboarding over the API: who may, request ids, and what the audit trail says of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.web import accounts as accounts_module
from engine.web.accounts import add_account, add_token, changed
from tests.api_rig import Served, serving

BODY = {"part": "orderflow", "reason": "quiet market", "request_id": "r-1"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


def test_a_part_is_onboarded_once_per_request_id_and_audited_with_before_and_after(
    served: Served,
) -> None:
    first, again = served.told("onboard", BODY), served.told("onboard", BODY)
    assert (first.status, first.document["effect"]) == (200, "orderflow: shadow")
    assert again.document == first.document
    assert again.headers["idempotent-replay"] == "true"
    (row,) = served.audit.rows(-1, 10)
    assert (row["what"], row["before"], row["after"]) == ("onboard orderflow", "none", "shadow")
    assert served.ask("GET", "/v1/onboarding").document["rows"] == [
        {"part": "orderflow", "stage": "shadow"}
    ]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("offboard", {}),
        ("onboard", {"part": "BTCUSDT"}),
        ("onboard", {"reason": "another"}),
        ("trigger_shadow_mode", {"part": None, "module": "strategy:orderflow"}),
    ],
)
def test_a_request_id_with_other_words_does_nothing(
    served: Served, name: str, changed: dict[str, str | None]
) -> None:
    served.told("onboard", BODY)
    said = {key: word for key, word in (BODY | changed).items() if word is not None}
    assert served.told(name, said).status == 409
    assert served.onboarding.stages == {"orderflow": "shadow"}
    assert served.operator.told == []


def test_what_is_refused_is_a_409_and_in_the_trail(served: Served) -> None:
    answer = served.told("onboard", {"part": "nobody", "reason": "why not"})
    assert (answer.status, answer.document["effect"]) == (409, "nobody: none")
    assert served.told("offboard", {"part": "orderflow"}).status == 409
    assert [row["done"] for row in served.audit.rows(-1, 10)] == [False, False]


@pytest.mark.parametrize("body", [{}, {"part": ""}, {"part": "x" * 65}, {"part": "a", "now": 1}])
def test_words_that_are_none_are_a_400(served: Served, body: dict[str, object]) -> None:
    for name in ("onboard", "offboard"):
        assert served.told(name, body).status == 400
    assert served.onboarding.stages == {}


def test_only_an_operator_may(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("argon2", reason="argon2-cffi is not installed")
    monkeypatch.setattr(accounts_module, "LOOK_S", 0.0)  # each request sees the file as it is
    for name in ("onboard", "offboard", "trigger_shadow_mode"):
        assert served.ask("POST", f"/v1/{name}", BODY).status == 401
    with changed(served.home) as access:
        add_account(access, "vera", "viewer")
        secret = add_token(access, "vera", 3_600.0, frozenset())
    for name in ("onboard", "offboard", "trigger_shadow_mode"):
        assert served.told(name, BODY, secret).status == 403
    assert served.onboarding.stages == {}
    answer = served.ask("GET", "/v1/onboarding", headers={"x-aegis-token": secret})
    assert answer.status == 200


def test_of_many_calls_at_once_one_begins(served: Served) -> None:
    found: list[int] = []

    def call() -> None:
        body = {"part": "orderflow", "reason": "quiet market"}
        found.append(served.told("onboard", body).status)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, 409, 409, 409, 409, 409]


def test_shadow_mode_is_a_mode_of_the_panel(served: Served) -> None:
    answer = served.told("trigger_shadow_mode", {"module": "strategy:a", "reason": "odd"})
    assert answer.document["effect"] == "strategy:a is shadow"
    assert served.operator.told == [("strategy:a shadow", "api", "odd")]
    (row,) = served.audit.rows(-1, 10)
    assert (row["before"], row["after"]) == ("LIVE", "SHADOW")
