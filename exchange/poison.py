"""Made-up best quotes with exactly one thing wrong, sent beside the real ones."""

from __future__ import annotations

from exchange.matching import Market

DAY_MS = 86_400_000

POISON = frozenset(
    {
        "malformed", "nan_price", "infinite_price", "negative_price", "zero_price",
        "negative_quantity", "crossed_quote", "unknown_symbol", "tomorrow", "yesterday",
        "off_tick", "price_jump", "huge_update_id", "stale_update_id",
    }
)  # fmt: skip


def poisoned_quote(kind: str, market: Market, now_ms: int) -> str:
    """Return a best-quote payload of a market with exactly one thing wrong."""
    spec, quote = market.spec, market.book.quote
    bid, ask = quote[1] or spec.tick * 1000, quote[3] or spec.tick * 1001
    fields: dict[str, str] = {
        "u": str(quote[0] + 1),
        "s": f'"{spec.symbol}"',
        "b": f'"{spec.price_text(bid)}"',
        "B": f'"{spec.qty_text(max(quote[2], spec.step))}"',
        "a": f'"{spec.price_text(ask)}"',
        "A": f'"{spec.qty_text(max(quote[4], spec.step))}"',
        "T": str(now_ms),
        "E": str(now_ms),
    }
    price = spec.price_text
    changes: dict[str, dict[str, str]] = {
        "nan_price": {"b": '"NaN"'},
        "infinite_price": {"a": '"Infinity"'},
        "negative_price": {"b": f'"-{price(bid)}"'},
        "zero_price": {"b": f'"{price(0)}"'},
        "negative_quantity": {"B": '"-1.000"'},
        "crossed_quote": {"b": fields["a"], "a": fields["b"]},
        "unknown_symbol": {"s": '"NOSUCHUSDT"'},
        "tomorrow": {"E": str(now_ms + DAY_MS), "T": str(now_ms + DAY_MS)},
        "yesterday": {"E": str(now_ms - DAY_MS), "T": str(now_ms - DAY_MS)},
        "off_tick": {"b": f'"{price(bid)}5"'},
        "price_jump": {"b": f'"{price(bid * 10)}"', "a": f'"{price(ask * 10)}"'},
        "huge_update_id": {"u": str(quote[0] + 10**15)},
        "stale_update_id": {"u": str(max(quote[0] - 10**6, 0))},
    }
    fields.update(changes.get(kind, {}))
    text = ",".join(f'"{name}":{value}' for name, value in fields.items())
    whole = f'{{"e":"bookTicker",{text}}}'
    return whole[: len(whole) // 2] if kind == "malformed" else whole
