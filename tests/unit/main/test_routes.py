"""The routes through a real server: this machine may read and HALT, the rest needs a token."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.api_rig import TOKEN, Board, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("routes")) as made:
        yield made


def test_reading_on_this_machine_needs_no_token(served: Served) -> None:
    for path, status in (("/health", 200), ("/livez", 200), ("/status", 200), ("/readyz", 503)):
        assert served.ask("GET", path).status == status


def test_metrics_are_prometheus_text(served: Served) -> None:
    answer = served.ask("GET", "/metrics")
    assert b"aegis_records_total" in answer.body
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("path", ["/status", "/metrics", "/events", "/v1/positions", "/v1/stream"])
@pytest.mark.parametrize(
    "headers", [{"Host": "rebound.example"}, {"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 x"}]
)
def test_who_comes_from_elsewhere_reads_nothing(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    answer = served.ask("GET", path, headers=headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_health_is_told_to_anybody(served: Served) -> None:
    for path in ("/health", "/livez", "/readyz", "/v1/healthcheck"):
        assert served.ask("GET", path, headers={"Host": "probe.example"}).status in {200, 503}


def test_the_page_carries_no_token_and_no_status_for_others(served: Served) -> None:
    assert TOKEN.encode() not in served.ask("GET", "/").body
    foreign = served.ask("GET", "/", headers={"Host": "rebound.example"})
    assert foreign.status == 200
    assert b"venue text" not in foreign.body
    assert b"{{status}}" not in foreign.body


def test_the_page_carries_its_first_picture_and_no_text_ends_it(served: Served) -> None:
    page = served.ask("GET", "/").body.decode()
    _, _, rest = page.partition('id="first">')
    first, _, _ = rest.partition("</script>")
    assert json.loads(first) == Board().status()


def test_the_page_may_not_be_framed_or_load_from_elsewhere(served: Served) -> None:
    headers = served.ask("GET", "/").headers
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-aegis-token": ""}, 401),
        ({"x-aegis-token": "wrong"}, 401),
        ({"x-aegis-token": "aegis_000000000000_guess"}, 401),
        ({"x-aegis-token": TOKEN, "Origin": "http://evil.example"}, 403),
        ({"x-aegis-token": TOKEN, "Host": "rebound.example"}, 403),
        ({"x-aegis-token": TOKEN, "Host": "rebound.example", "Origin": "http://x.example"}, 403),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "rebound.example"}, 403),
        ({"X-Forwarded-For": "203.0.113.1"}, 401),
        ({"Cookie": "aegis_session_main=guess", "Via": "1.1 proxy"}, 401),
    ],
)
def test_even_a_halt_is_refused_where_it_must_be(
    served: Served, headers: dict[str, str], status: int
) -> None:
    before = len(served.operator.told)
    answer = served.ask("POST", "/v1/halt", {"reason": "x"}, headers)
    assert answer.status == status
    assert answer.document["error"]
    assert len(served.operator.told) == before


@pytest.mark.parametrize("command", ["resume", "pause", "reduce", "flatten", "trigger_shutdown"])
def test_this_machine_without_a_token_may_not(served: Served, command: str) -> None:
    before = len(served.operator.told)
    assert served.ask("POST", f"/v1/{command}", {"reason": "why"}).status == 401
    assert len(served.operator.told) == before


def test_this_machine_may_halt(served: Served) -> None:
    answer = served.ask("POST", "/v1/halt", {"who": "page", "reason": "too fast"})
    assert (answer.status, answer.document["trading_state"]) == (200, "HALTED")
    assert served.operator.told[-1] == ("halt", "page", "too fast")


@pytest.mark.parametrize(
    "headers", [{"x-aegis-token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}]
)
def test_a_command_with_the_token_takes_effect(served: Served, headers: dict[str, str]) -> None:
    answer = served.ask("POST", "/v1/pause", {"who": "test", "reason": "why"}, headers)
    assert answer.status == 200
    assert served.operator.told[-1] == ("pause", "test", "why")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[]", 400),
        ("null", 400),
        ('{"reason": 3}', 400),
        ('{"reason": "x", "more": 1}', 400),
        ('{"request_id": ""}', 400),
        ('{"request_id": "a b"}', 400),
        ('{"who": "' + "x" * 65 + '"}', 400),
        ('"x"', 400),
        ("[" * 4_000, 400),
        ("x" * 10_000, 413),
    ],
)
def test_a_bad_body_is_refused(served: Served, body: str, status: int) -> None:
    before = len(served.operator.told)
    assert served.ask("POST", "/v1/halt", body).status == status
    assert len(served.operator.told) == before


def test_an_unknown_command_lists_the_known(served: Served) -> None:
    answer = served.told("explode")
    assert answer.status == 404
    assert "halt" in answer.document["commands"]


def test_commands_are_not_reachable_by_get_nor_reading_by_post(served: Served) -> None:
    assert served.ask("GET", "/v1/halt", headers={"x-aegis-token": TOKEN}).status == 405
    answer = served.told("positions")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_live_stream_sends_status(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.api.port, timeout=5)
    connection.request("GET", "/events")
    line = connection.getresponse().readline()
    connection.close()
    assert line.startswith(b"data: ")
    assert json.loads(line[6:]) == Board().status()


def test_a_whole_book_is_bounded(served: Served) -> None:
    answer = served.ask("GET", "/v1/book/BTCUSDT")
    assert (answer.status, answer.document) == (200, {"symbol": "BTCUSDT", "asked": 100})
    assert served.ask("GET", "/v1/book/BTCUSDT?levels=4096").document["asked"] == 4096
    assert served.ask("GET", "/v1/book/NOSUCH").status == 404
    for text in ("-1", "ten", "1.5", "", "9" * 30, "%D9%A3", "5&side=buy"):
        assert served.ask("GET", f"/v1/book/BTCUSDT?levels={text}").status == 400, text
    assert served.ask("POST", "/v1/book/BTCUSDT").status == 405
