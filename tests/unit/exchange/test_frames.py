"""WebSocket frames on the server side: headers by size, client frames in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import frames


def client_frame(payload: bytes, opcode: int = frames.TEXT, *, last: bool = True) -> bytes:
    """Return a masked frame, as a client must send it."""
    mask = b"\xa1\x02\x53\xf4"
    first = (0x80 if last else 0) | opcode
    if len(payload) < 126:
        head = bytes((first, 0x80 | len(payload)))
    else:
        head = bytes((first, 0x80 | 126)) + len(payload).to_bytes(2, "big")
    return head + mask + bytes(b ^ mask[k % 4] for k, b in enumerate(payload))


@pytest.mark.parametrize(
    ("size", "length"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)]
)
def test_header_grows_with_the_size(size: int, length: int) -> None:
    header = frames.frame_header(frames.TEXT, size)
    assert len(header) == length
    assert header[0] == 0x81
    assert header[1] & 0x80 == 0
    if size >= 126:
        assert int.from_bytes(header[2:], "big") == size


def test_remembered_headers_equal_computed_ones() -> None:
    for size in (0, 1, 125, 126, 1_023):
        assert frames.TEXT_HEADERS[size] == frames.frame_header(frames.TEXT, size)
    assert len(frames.TEXT_HEADERS) == frames.HEADERS_KEPT


@given(payload=st.binary(max_size=300), cut=st.integers(0, 310), extra=st.binary(max_size=5))
def test_client_frame_is_read_whole_or_not_at_all(payload: bytes, cut: int, extra: bytes) -> None:
    whole = client_frame(payload)
    cut = min(cut, len(whole) - 1)
    buffer = bytearray(whole[:cut])
    assert frames.decode(buffer) is None
    assert buffer == whole[:cut]
    buffer += whole[cut:] + extra
    assert frames.decode(buffer) == (frames.TEXT, True, payload)
    assert buffer == extra


def test_fragments_say_so() -> None:
    buffer = bytearray(client_frame(b"ab", last=False) + client_frame(b"cd", frames.CONTINUATION))
    assert frames.decode(buffer) == (frames.TEXT, False, b"ab")
    assert frames.decode(buffer) == (frames.CONTINUATION, True, b"cd")


@pytest.mark.parametrize(
    "raw",
    [
        bytes((0x81, 0x05)) + b"abcde",  # not masked
        bytes((0xC1, 0x80)),  # reserved bit
        bytes((0x81, 0xFF)) + (2**40).to_bytes(8, "big"),  # oversized
    ],
)
def test_broken_frames_are_refused(raw: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode(bytearray(raw))


def test_accept_key_is_the_one_of_the_standard() -> None:
    assert frames.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
