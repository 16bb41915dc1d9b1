"""What an answer proves: nothing was executed, or nothing at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.venues.binance.errors import KIND_OF, ROWS, classify
from engine.venues.binance.http import Response
from engine.venues.venue import (
    AlreadySetError,
    ClockError,
    CredentialError,
    FilterError,
    InstrumentClosedError,
    NotExecutedError,
    OrderAbsentError,
    OutcomeUnknownError,
    RateLimitError,
    RejectedError,
)
from exchange.errors import STATUS_OF_CODE, TEXT_OF_CODE

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "venues.md"

PROVES_NOTHING = [
    (503, b""),
    (503, b"Service Unavailable"),
    (503, b"<html><title>503 Service Unavailable</title></html>"),
    (503, b'{"code":-1000,"msg":"Unknown error, please check your request or try again later."}'),
    (503, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
    (503, b'{"code":-1000,"msg":"Serv'),
    (500, b""),
    (502, b"<html>bad gateway</html>"),
    (504, b'{"code":-1000,"msg":"Service Unavailable."}'),
    (302, b""),
    (400, b"not JSON"),
    # The venue's own "something happened", whatever the status; and a gateway's word with any code.
    (400, b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}'),
    (408, b'{"code":-9999,"msg":"Request timeout."}'),
    (500, b'{"code":-9999,"msg":"no"}'),
    (502, b'{"code":-9999,"msg":"no"}'),
    (524, b'{"code":-9999,"msg":"no"}'),
]
PROVES_THAT_NOTHING_WAS_DONE = [
    (503, b'{"code":-1001,"msg":"Internal error; unable to process your request."}'),
    (503, b'{"code":-1008,"msg":"Request throttled by system-level protection."}'),
    (503, b'{"code":0,"msg":"Service Unavailable."}'),
]


def kind_of(status: int, body: bytes) -> type[object]:
    return type(classify(Response(status, {}, body)))


@pytest.mark.parametrize(("status", "body"), PROVES_NOTHING)
def test_an_answer_that_proves_nothing_leaves_the_outcome_open(status: int, body: bytes) -> None:
    assert kind_of(status, body) is OutcomeUnknownError


@pytest.mark.parametrize(("status", "body"), PROVES_THAT_NOTHING_WAS_DONE)
def test_only_the_venues_own_word_says_that_nothing_was_done(status: int, body: bytes) -> None:
    assert kind_of(status, body) is NotExecutedError


def test_a_refusal_with_a_code_is_a_refusal() -> None:
    assert kind_of(400, b'{"code":-2019,"msg":"Margin is insufficient."}') is RejectedError


@pytest.mark.parametrize("kind", [kind for kind, _ in ROWS])
def test_each_code_has_one_row_and_says_its_kind(kind: type[Exception]) -> None:
    (codes,) = [codes for row, codes in ROWS if row is kind]
    for code in codes:
        body = f'{{"code":{code},"msg":"no"}}'.encode()
        assert kind_of(400, body) is kind
        assert KIND_OF[code] is kind
    assert sum(len(codes) for _, codes in ROWS) == len(KIND_OF)


def test_codes_that_decide_what_happens_to_money() -> None:
    expected = {
        -1000: OutcomeUnknownError,
        -1006: OutcomeUnknownError,
        -1007: OutcomeUnknownError,
        -1001: NotExecutedError,
        -1015: RateLimitError,
        -1021: ClockError,
        -2015: CredentialError,
        -1111: FilterError,
        -4108: InstrumentClosedError,
        -2013: OrderAbsentError,
        -4046: AlreadySetError,
        -2022: RejectedError,
        -4116: RejectedError,
        -5022: RejectedError,
    }
    for code, kind in expected.items():
        assert kind_of(400, f'{{"code":{code}}}'.encode()) is kind


@pytest.mark.parametrize("code", sorted(set(TEXT_OF_CODE) - {-1099}))
def test_every_refusal_of_the_practice_exchange_is_in_the_table(code: int) -> None:
    status = STATUS_OF_CODE.get(code, 400)
    body = f'{{"code":{code},"msg":"{TEXT_OF_CODE[code]}"}}'.encode()
    assert kind_of(status, body) is KIND_OF[code]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the venue reference is not on this machine")
def test_every_code_of_the_reference_is_in_the_table() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    section = text.split("### 1.11")[1].split("### 1.12")[0]
    codes = {int(code) for code in re.findall(r"-\d{4}", section)}
    assert len(codes) > 30
    assert codes <= set(KIND_OF)
