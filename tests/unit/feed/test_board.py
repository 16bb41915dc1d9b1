"""A page of text is read whole or not at all."""

from __future__ import annotations

import threading
import time

from engine.processes.board import BOARD_BYTES, TEXT_BYTES_MAX, read_board, write_board
from engine.processes.segments import KIND_BOARD
from ringbuffer.segment import Segment

NAME = "board-test"


def board() -> Segment:
    segment = Segment.create(NAME, BOARD_BYTES, kind=KIND_BOARD)
    segment.seal()
    return segment


def test_what_was_written_is_read_and_replaced() -> None:
    segment = board()
    try:
        assert read_board(segment) == b""
        for text in (b"one", b"a longer one", b"", b"x" * TEXT_BYTES_MAX):
            assert write_board(segment, text)
            assert read_board(segment) == text
        assert not write_board(segment, b"x" * (TEXT_BYTES_MAX + 1))
        assert len(read_board(segment)) == TEXT_BYTES_MAX
    finally:
        segment.close()
        segment.unlink()


def test_a_text_that_is_being_replaced_is_never_read_in_half() -> None:
    segment = board()
    texts = [bytes([65 + number]) * (5_000 + 1_000 * number) for number in range(8)]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                write_board(segment, text)

    write_board(segment, texts[0])
    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = {read_board(segment)}
        deadline_s = time.monotonic() + 20
        while len(found) < 4 and time.monotonic() < deadline_s:
            found.add(read_board(segment))
    finally:
        stop.set()
        writer.join()
        segment.close()
        segment.unlink()
    assert found <= {*texts, b""}
    assert len(found) == 4
