"""Requests taken off a buffer: whole, split, and refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.http1 import HttpError, Request, Response, read_request

RAW = (
    b"POST /fapi/v1/order?a=1 HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: key\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nb=2&c=3"
)


def test_request_is_taken_apart() -> None:
    buffer = bytearray(RAW + b"GET")
    request = read_request(buffer, 42)
    assert request is not None
    assert (request.method, request.path, request.query) == ("POST", "/fapi/v1/order", "a=1")
    assert request.headers["x-mbx-apikey"] == "key"
    assert (request.body, request.arrival_ns) == (b"b=2&c=3", 42)
    assert buffer == b"GET"
    request.parse_params()
    assert request.params == {"a": "1", "b": "2", "c": "3"}


@given(cut=st.integers(0, len(RAW) - 1))
def test_incomplete_request_stays_in_the_buffer(cut: int) -> None:
    buffer = bytearray(RAW[:cut])
    assert read_request(buffer, 0) is None
    assert buffer == RAW[:cut]
    buffer += RAW[cut:]
    assert read_request(buffer, 0) is not None
    assert buffer == b""


def test_json_body_is_no_form() -> None:
    request = Request("POST", "/x", "", {"content-type": "application/json"}, b'{"a=1":2}', 0)
    request.parse_params()
    assert request.params == {}


def test_empty_and_escaped_values_are_kept() -> None:
    request = Request("GET", "/x", "a=&b=%2B1%20", {}, b"", 0)
    request.parse_params()
    assert request.params == {"a": "", "b": "+1 "}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /x\r\n\r\n", 400),
        (b"GET /x FTP/1.0\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nnocolon\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n", 413),
        (b"GET /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"a" * 20_000, 413),
    ],
)
def test_requests_we_do_not_read_are_refused(raw: bytes, status: int) -> None:
    with pytest.raises(HttpError) as refusal:
        read_request(bytearray(raw), 0)
    assert refusal.value.status == status


def test_response_has_its_length_and_headers() -> None:
    text = Response(418, b'{"a":1}', [("Retry-After", "7")]).encode()
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 418 ")
    assert b"Content-Length: 7" in head
    assert b"Retry-After: 7" in head
    assert body == b'{"a":1}'
    assert Response(299, b"").encode().startswith(b"HTTP/1.1 299 Status\r\n")
