"""A connection that was lent to the kernel thread and closed meanwhile."""

from __future__ import annotations

from tests.line_rig import EMPTY
from tests.unit.venues.test_line_end import Side, play


def test_a_lent_connection_that_closed_is_not_taken_for_another_request() -> None:
    async def scene(side: Side) -> None:
        assert side.rest._reserved is not None
        for connection in list(side.rest._opened):
            connection.close()
        side.rest._idle.clear()
        assert side.rest.submit_bytes(b"GET / HTTP/1.1\r\n\r\n") is None
        assert side.line.state == EMPTY

    play(scene)
