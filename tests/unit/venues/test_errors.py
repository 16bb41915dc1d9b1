"""What an answer proves: nothing was executed, or nothing at all."""

from __future__ import annotations

import pytest

from engine.venues.binance.errors import classify
from engine.venues.binance.http import Response
from engine.venues.venue import NotExecutedError, OutcomeUnknownError, RejectedError

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
