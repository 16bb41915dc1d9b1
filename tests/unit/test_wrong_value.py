"""A value that is refused is told in words, with its place."""

import msgspec
import pytest

from engine.config import Config
from engine.web.bodies import ExecuteBody, OrderBody
from engine.wrong_value import NAME_WORDS, NO_FIELD, place_and_reason

ORDER = {"symbol": "BTCUSDT", "side": "buy", "quantity": "1"}


@pytest.mark.parametrize(
    ("kind", "given", "place", "reason"),
    [
        (Config, {"name": "A b"}, "name", f"expected {NAME_WORDS}"),
        (Config, {"instruments": ["a", 1]}, "instruments[1]", "expected text, got a whole number"),
        (Config, {"venue": []}, "venue", "expected named fields, got a list"),
        (Config, {"idle": "x"}, "idle", "expected auto, spin, yield, hybrid or sleep"),
        (Config, {"limits": {"max_order_notional": -5}}, "limits.max_order_notional", ">= 0.0"),
        (OrderBody, {"side": "buy"}, "symbol", "is missing"),
        (OrderBody, ORDER | {"zz": 1}, "zz", NO_FIELD),
        (OrderBody, ORDER | {"side": "up"}, "side", "expected buy or sell"),
        (OrderBody, ORDER | {"quantity": "x"}, "quantity", "expected text that matches ^[0-9]"),
        (ExecuteBody, ORDER | {"method": "twap", "minutes": 0}, "minutes", "a number > 0.0"),
        (OrderBody, [], "", "expected named fields, got a list"),
    ],
)
def test_what_is_wrong_is_told_in_words(kind: type, given: object, place: str, reason: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(given, kind)
    told = place_and_reason(refused.value)
    assert told[0] == place
    assert reason in told[1]
    assert "`" not in told[1]
