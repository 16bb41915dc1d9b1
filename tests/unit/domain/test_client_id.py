"""Client order ids: what goes in comes out, and nothing else parses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.client_id import (
    CLIENT_ID_CHARACTERS_MAX,
    INT64_MAX,
    ClientId,
    ForeignCause,
    encode_base36,
    encode_client_id,
    foreign_cause,
    parse_base36,
    parse_client_id,
)


def test_layout_is_tag_epoch_strategy_order_cause() -> None:
    assert encode_client_id("a", ClientId(36, 0, 35, 1296)) == "a10-1-z-100"


def test_external_orders_carry_strategy_zero() -> None:
    text = encode_client_id("a", ClientId(1, -1, 2, 0))
    assert text == "a1-0-2-0"
    assert parse_client_id("a", text) == ClientId(1, -1, 2, 0)


@given(
    st.sampled_from(["a", "zq"]),
    st.integers(0, 36**5 - 1),
    st.integers(-1, 34),
    st.integers(1, 36**8 - 1),
    st.integers(0, 36**9 - 1),
)
def test_an_id_gives_back_what_it_was_made_of(
    tag: str, epoch: int, strategy: int, order: int, cause: int
) -> None:
    identity = ClientId(epoch, strategy, order, cause)
    text = encode_client_id(tag, identity)
    assert len(text) <= CLIENT_ID_CHARACTERS_MAX
    assert parse_client_id(tag, text) == identity


@given(st.integers(0, INT64_MAX))
def test_base36_is_one_to_one(number: int) -> None:
    assert parse_base36(encode_base36(number)) == number


@pytest.mark.parametrize(
    "text",
    ["", "a", "a1-1-1", "a1-1-1-1-1", "b1-1-1-1", "a1-1-01-1", "a1--1-1", "a1-1-A-1", "web_abc",
     "autoclose-123", "a" + "z" * 40, "a1-1-1-zzzzzzzzzzzzz", "a1-1-1-\u0661"],
)  # fmt: skip
def test_foreign_ids_do_not_parse(text: str) -> None:
    assert parse_client_id("a", text) is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("autoclose-8389765589", ForeignCause.LIQUIDATION),
        ("adl_autoclose", ForeignCause.DELEVERAGING),
        ("settlement_autoclose-1", ForeignCause.SETTLEMENT),
        ("web_autoclose-1", ForeignCause.FOREIGN_ORDER),
        ("", ForeignCause.FOREIGN_ORDER),
    ],
)
def test_the_venues_own_orders_are_told_by_their_names(text: str, cause: ForeignCause) -> None:
    assert foreign_cause(text) is cause


@given(st.text(max_size=40))
def test_what_parses_is_what_would_be_written(text: str) -> None:
    identity = parse_client_id("a", text)
    if identity is not None:
        assert encode_client_id("a", identity) == text


def test_a_strategy_below_external_is_a_programmer_error() -> None:
    with pytest.raises(AssertionError):
        encode_client_id("a", ClientId(1, -2, 1, 1))
