"""Client order ids: how a venue's answer finds the order, and a restarted engine its own orders.

        <engine_tag><epoch36>-<strategy36>-<order_sequence36>-<cause_sequence36>

Base 36 in lower case, at most 36 characters of [a-z0-9-], which every venue of the reference takes.
The tag is one or two letters and the epoch follows it without a separator, so the tag's length must
be known to parse. Pure Python: the executor formats one id per order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
CLIENT_ID_CHARACTERS_MAX = 36
DIGITS_MAX = 13  # 36 ** 13 exceeds an int64
INT64_MAX = 2**63 - 1
STRATEGY_EXTERNAL = -1  # an order that no strategy asked for, such as a flattening one
EPOCH_LOW_MASK = 255  # records carry the low byte of an epoch


class ForeignCause(StrEnum):
    """Why an order that is not ours was there."""

    LIQUIDATION = "LIQUIDATION"
    DELEVERAGING = "DELEVERAGING"
    SETTLEMENT = "SETTLEMENT"  # the contract was delivered or delisted
    FOREIGN_ORDER = "FOREIGN_ORDER"  # somebody's own, by hand or by another program


# How the ids of orders begin that a venue gives itself. Binance USD-M futures, ORDER_TRADE_UPDATE.
_VENUES_OWN: Final = {
    "autoclose-": ForeignCause.LIQUIDATION,
    "adl_autoclose": ForeignCause.DELEVERAGING,
    "settlement_autoclose-": ForeignCause.SETTLEMENT,
}
_VALUES = {digit: value for value, digit in enumerate(DIGITS)}


class ClientId(NamedTuple):
    """What an id says about the order it names."""

    epoch: int
    strategy_index: int
    order_sequence: int
    cause_sequence: int


def foreign_cause(client_order_id: str) -> ForeignCause:
    """Return why an order that is not ours was there, by the id it has at the venue."""
    for beginning, cause in _VENUES_OWN.items():
        if client_order_id.startswith(beginning):
            return cause
    return ForeignCause.FOREIGN_ORDER


def whole_epoch(epoch: int, epoch_low: int) -> int:
    """Return the last epoch up to `epoch` with this low byte: of an order that is remembered."""
    return epoch - ((epoch - epoch_low) & EPOCH_LOW_MASK)


def encode_base36(number: int) -> str:
    """Return a non-negative number in base 36."""
    assert number >= 0, number
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
        if number == 0:
            return text


def parse_base36(text: str) -> int | None:
    """Return the number, or None if the text is not the one `encode_base36` writes for it."""
    if not 0 < len(text) <= DIGITS_MAX or (text[0] == "0" and text != "0"):
        return None
    number = 0
    for character in text:
        digit = _VALUES.get(character)
        if digit is None:
            return None
        number = number * 36 + digit
    return number if number <= INT64_MAX else None


def encode_client_id(engine_tag: str, identity: ClientId) -> str:
    """Return the id of an order. Strategy -1 is written as 0, others one higher."""
    assert engine_tag.isalpha(), engine_tag
    assert len(engine_tag) <= 2, engine_tag
    assert identity.strategy_index >= STRATEGY_EXTERNAL, identity.strategy_index
    text = "-".join(
        (
            engine_tag + encode_base36(identity.epoch),
            encode_base36(identity.strategy_index + 1),
            encode_base36(identity.order_sequence),
            encode_base36(identity.cause_sequence),
        )
    )
    assert len(text) <= CLIENT_ID_CHARACTERS_MAX, text
    return text


def parse_client_id(engine_tag: str, text: str) -> ClientId | None:
    """Return what an id says, or None when this engine did not write it."""
    if len(text) > CLIENT_ID_CHARACTERS_MAX or not text.startswith(engine_tag):
        return None
    numbers = [parse_base36(part) for part in text[len(engine_tag) :].split("-")]
    if len(numbers) != 4:
        return None
    epoch, strategy, order_sequence, cause_sequence = numbers
    if epoch is None or strategy is None or order_sequence is None or cause_sequence is None:
        return None
    return ClientId(epoch, strategy - 1, order_sequence, cause_sequence)
