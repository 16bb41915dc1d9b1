"""An exchange whose answers lie, under a whole engine: one truth in the end, on both sides.

New orders are accepted or not, and the answer says something else, half of it, nothing, or comes
too late; lookups lie too, and the user stream goes deaf. Between two lies stands an honest answer.
In the end the books agree by id and exact integer, no client id was ever sent twice, and no order
was doubled, lost or forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.doubt_rig import LATE_MS, ORDER, Rig
from tests.engine_process import wait_for

pytestmark = pytest.mark.slow  # whole engines that wait for orders

INSTRUMENTS = 8  # an order a second
OTHER = {
    "orderId": 1,
    "clientOrderId": "somebody-elses",
    "symbol": "BTCUSDT",
    "status": "FILLED",
    "side": "BUY",
    "origQty": "1.000",
    "executedQty": "1.000",
    "cumQuote": "60000.00",
    "avgPrice": "60000.00",
    "updateTime": 1,
}
BUSY = {"code": -1003, "msg": "Too many requests."}
WAIT_A_SECOND = {"Retry-After": "1"}


class Lie(NamedTuple):
    """What the exchange says, about an order that it executes or not."""

    said: str
    answer: dict[str, Any]


ABOUT_ACCEPTED = [
    Lie("503", {"status": 503, "body": {"code": -1007, "msg": "Timeout"}}),
    Lie("502 in HTML", {"status": 502, "body": "<html>bad gateway</html>"}),
    Lie("half a document, framed as whole", {"status": 200, "body": '{"orderId":12,"cli'}),
    Lie("half a document, then the end", {"half": True}),
    Lie("an empty object", {"status": 200, "body": {}}),
    Lie("a list", {"status": 200, "body": [1, 2]}),
    Lie("nothing in a 200", {"status": 200, "body": ""}),
    Lie("garbage", {"status": 200, "body": "\x00\x01\ufffd" * 300}),
    Lie("somebody else's order", {"status": 200, "body": OTHER}),
    Lie("nothing: the connection ends", {"status": -1}),
    Lie("the truth, too late", {"delay_ms": LATE_MS}),
    Lie("the truth, too late and cut", {"delay_ms": LATE_MS, "half": True}),
    Lie("429", {"status": 429, "body": BUSY, "headers": WAIT_A_SECOND}),
    Lie("a refusal", {"status": 400, "body": {"code": -2019, "msg": "Margin is insufficient."}}),
    Lie("a redirect", {"status": 302, "body": "", "headers": {"Location": "http://127.0.0.1:9/"}}),
]
ABOUT_LOST = [
    Lie("503", {"status": 503, "body": ""}),
    Lie("half a document, framed as whole", {"status": 200, "body": '{"orderId":12,"cli'}),
    Lie("half a document, then the end", {"status": 200, "body": OTHER, "half": True}),
    Lie("garbage", {"status": 200, "body": "\x00\x01\ufffd" * 300}),
    Lie("somebody else's order", {"status": 200, "body": OTHER}),
    Lie("nothing: the connection ends", {"status": -1}),
    Lie("503, too late", {"status": 503, "delay_ms": LATE_MS}),
    Lie("429", {"status": 429, "body": BUSY, "headers": WAIT_A_SECOND}),
]
LIES = [(True, lie) for lie in ABOUT_ACCEPTED] + [(False, lie) for lie in ABOUT_LOST]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, INSTRUMENTS)
    yield made
    made.stop()


def arm_all(rig: Rig) -> int:
    """Arm every lie with an honest answer after it; return how many orders they take."""
    for execute, lie in LIES:
        rig.arm(1, execute=execute, **lie.answer)
        rig.arm(1)
    return 2 * len(LIES)


def wait_sent(rig: Rig, count: int) -> None:
    assert rig.engine is not None
    engine = rig.engine

    def reached() -> bool:
        status = engine.status()
        assert status is not None
        assert status["trading_state"] == "ENABLED", (status["trading_states"], status["refusals"])
        return len(rig.sent()) >= count

    wait_for(f"{count} orders", reached, 240.0)


def test_every_lie_about_a_new_order_ends_in_one_truth(rig: Rig) -> None:
    engine = rig.start()
    engine.wait_ready()
    wait_sent(rig, arm_all(rig) + 2)
    summary = rig.settled(engine.terminate())
    assert summary["trading_state"] == "ENABLED"
    assert summary["compared"]["orders"] > 2 * len(ABOUT_ACCEPTED)
    assert len(rig.orders()) <= len(rig.sent()) - len(ABOUT_LOST), "what was lost is in no book"


def test_lookups_that_lie_and_a_deaf_user_stream_end_in_one_truth(rig: Rig) -> None:
    engine = rig.start()
    engine.wait_ready()
    absent = {"code": -2013, "msg": "Order does not exist."}
    lookup = {"kind": "rest", "path": ORDER, "method": "GET", "count": 1}
    for execute in (True, False, True, False):
        sent = len(rig.sent())
        rig.fault(kind="drop", account="practice", count=4)
        rig.arm(1, execute=execute, status=503, body="")
        rig.fault(**lookup, status=503, body="")
        rig.fault(**lookup, status=200, body='{"orderId":1,"st')
        rig.fault(**lookup, status=400, body=absent)
        rig.fault(**lookup, status=200, body=OTHER)
        rig.fault(**lookup, status=-1)
        wait_sent(rig, sent + 4)
    rig.calm()
    wait_sent(rig, len(rig.sent()) + 2)
    summary = rig.settled(engine.terminate())
    assert summary["orders"] >= len(rig.orders()) >= 8
