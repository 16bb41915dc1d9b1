"""What goes over the API as types: requests, query words and answers. OpenAPI is made from them.

Every request refuses a field it does not know, and every text has a bound. Whoever sends a command
may give it a `request_id`: the same one again is answered again and done once.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

ROWS_MAX = 1_000  # of one answer
VECTORS_MAX = 200  # of one answer; a vector has hundreds of columns
LEVELS_MAX = 99_999
SYMBOL_PATTERN = "^[A-Z0-9_]{1,24}$"
GOOD_TILL_LAST_MS = 253_402_300_799_000  # the last date the venue takes, year 9999
DECIMAL = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
REQUEST_ID_PATTERN = "^[A-Za-z0-9._:-]{1,64}$"

Who = Annotated[str, Meta(max_length=64, description="Who asks, as the audit trail shows it.")]
Reason = Annotated[str, Meta(max_length=200, description="Why; it is journaled.")]
RequestId = Annotated[
    str,
    Meta(
        pattern=REQUEST_ID_PATTERN,
        description="Name of this request: sent again it is answered again and done once.",
    ),
]
ExpiresMs = Annotated[
    int,
    Meta(
        ge=0,
        le=2**53,
        description="UNIX time after which it is not carried out, ms: when its caller gives up. "
        "A HALT always is.",
    ),
]
Sequence = Annotated[int, Meta(ge=-1, le=2**62, description="Rows after this sequence.")]
Limit = Annotated[int, Meta(ge=1, le=ROWS_MAX, description="Rows at most.")]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Symbol = Annotated[str, Meta(pattern=SYMBOL_PATTERN, description="Of an instrument.")]
Timeframe = Annotated[int, Meta(ge=1, le=86_400 * 7, description="Length of the bars, s.")]
FeatureNames = Annotated[
    str,
    Meta(max_length=1_024, description="Columns of docs/features.md, by commas; empty: all."),
]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No words."""


class CommandBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every command may say."""

    who: Who = "api"
    reason: Reason = ""
    request_id: RequestId | None = None
    expires_ms: ExpiresMs | None = None


class ModuleBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the engine and the state it shall have."""

    module: Annotated[
        Word,
        Meta(
            description="Part: trading, all, module:KIND, strategy:NAME, instrument:SYMBOL or "
            "regime:LABEL."
        ),
    ]
    state: Annotated[
        Word,
        Meta(
            description="For trading: live, pause, reduce or halt; else live, simulate (where no "
            "order leaves for a third party), shadow (recorded only) or off."
        ),
    ]


class OnboardBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strategy or a symbol."""

    part: Annotated[
        Word, Meta(description="A strategy's name, a symbol, strategy:NAME or instrument:SYMBOL.")
    ]


class PartBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the engine."""

    module: Annotated[Word, Meta(description="Part, as in `set_module_state`.")]


class HeldBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry that waits for an operator's word."""

    number: Annotated[int, Meta(ge=1, description="Its number in `held_intents`.")]


class OrderBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's order; decimals are text, so that they stay exact."""

    symbol: Annotated[Word, Meta(description="Instrument, as it is traded or as people write it.")]
    side: Annotated[str, Meta(pattern="^(buy|sell)$")]
    quantity: Annotated[str, Meta(pattern=DECIMAL, description="In whole lots.")]
    limit_price: Annotated[
        str, Meta(pattern=f"^$|{DECIMAL}", description="In whole ticks; empty: at the market.")
    ] = ""
    post_only: Annotated[bool, Meta(description="Rest, or be refused by the venue.")] = False
    immediate: Annotated[bool, Meta(description="What does not fill at once expires.")] = False
    fill_or_kill: Annotated[bool, Meta(description="Fills whole at once, or expires.")] = False
    good_till_ms: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=GOOD_TILL_LAST_MS,
                description="Rests until then: epoch ms, a whole second, over 600 s ahead.",
            ),
        ]
        | None
    ) = None
    reduce_only: Annotated[bool, Meta(description="Only take back what orders by hand hold.")] = (
        False
    )


class ExecuteBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A parent order: an algorithm sends its parts."""

    method: Annotated[str, Meta(pattern="^(twap|vwap|pov|iceberg|shortfall|peg|best|hidden)$")]
    symbol: Annotated[Word, Meta(description="Instrument, as it is traded or as people write it.")]
    side: Annotated[str, Meta(pattern="^(buy|sell)$")]
    quantity: Annotated[str, Meta(pattern=DECIMAL, description="In whole lots.")]
    limit_price: Annotated[
        str, Meta(pattern=f"^$|{DECIMAL}", description="Worst price; of an iceberg: where.")
    ] = ""
    minutes: Annotated[float, Meta(gt=0, le=10_080, description="From now until its end.")] = 10.0
    rate: Annotated[float, Meta(gt=0, le=1, description="pov: part of the market's volume.")] = 0.1
    display: Annotated[
        str, Meta(pattern=f"^$|{DECIMAL}", description="iceberg, best, hidden: the quantity shown.")
    ] = ""
    urgency: Annotated[float, Meta(ge=0, le=100, description="shortfall: 0 is a TWAP.")] = 3.0
    behind_ticks: Annotated[int, Meta(ge=0, le=1_000, description="peg: behind the touch.")] = 0
    patience_s: Annotated[
        float, Meta(ge=0, le=3_600, description="How long what is due rests before it is taken.")
    ] = 5.0
    cap: Annotated[
        float, Meta(ge=0, le=1, description="Most of the market's volume that is ours; 0: any.")
    ] = 0.0


class CancelBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One order of this engine, or a parent order."""

    order: Annotated[
        str, Meta(min_length=1, max_length=36, description="Client order id, or EPOCH-NUMBER.")
    ]


class FeedLineBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which line of each connection plan carries it; the other stands in."""

    line: Annotated[str, Meta(pattern="^(first|second)$", description="first or second.")]


class GapsBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose market data is looked at for what is missing."""

    symbol: Annotated[
        str, Meta(pattern="^[A-Z0-9_]{0,24}$", description="Of an instrument; empty: all.")
    ] = ""


class TickBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A trade of somebody else's; decimals are text, so that they stay exact."""

    symbol: Symbol
    side: Annotated[str, Meta(pattern="^(buy|sell)$", description="Of who takes.")]
    price: Annotated[str, Meta(pattern=DECIMAL, description="In whole ticks.")]
    quantity: Annotated[str, Meta(pattern=DECIMAL, description="In whole lots.")]


class NoteBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's word on a decision, for the audit trail."""

    decision: Annotated[Word, Meta(description="Which one: session and sequence, or a client id.")]
    note: Annotated[str, Meta(min_length=1, max_length=500)]


class CostsBody(CommandBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order whose cost of execution is written down."""

    order: Annotated[Word, Meta(description="Its client_order_id, of this session.")]


class LoginBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A token, or an account and its password."""

    token: Annotated[str, Meta(max_length=512)] = ""
    account: Annotated[str, Meta(max_length=64)] = ""
    password: Annotated[str, Meta(max_length=256)] = ""


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rows of one session, in the order they happened."""

    after: Sequence = -1
    limit: Limit = 100
    session: Annotated[str, Meta(max_length=64, description="Session; empty: this one.")] = ""


class NewestQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rows in the order they happened, all of them or the newest."""

    newest: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Leave out all but so many newest; 0: none is left."),
    ] = 0


class FeatureQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The newest feature vector of an instrument."""

    symbol: Symbol
    timeframe_s: Timeframe = 60
    names: FeatureNames = ""


class FeatureHistoryQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Feature vectors of one instrument in one session, in order."""

    symbol: Symbol
    limit: Annotated[int, Meta(ge=1, le=VECTORS_MAX, description="Vectors at most.")] = 100
    session: Annotated[
        str, Meta(pattern="^[0-9A-Za-z-]{0,64}$", description="Session; empty: this one.")
    ] = ""
    timeframe_s: Timeframe = 60
    names: FeatureNames = ""


class ExportQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which rows, and as what."""

    table: Annotated[
        str, Meta(pattern="^(fills|decisions|refusals|controls)$", description="Which rows.")
    ] = "fills"
    form: Annotated[str, Meta(pattern="^(json|csv)$", description="json or csv.")] = "json"


class SearchQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words to look for in this session's events."""

    text: Annotated[str, Meta(max_length=64, description="Stands anywhere in a row.")] = ""
    limit: Limit = 100


class BookQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of a book."""

    levels: Annotated[int, Meta(ge=0, le=LEVELS_MAX, description="Levels of a side.")] = 100


class ChartQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ends a bar of a chart."""

    bars: Annotated[
        str,
        Meta(max_length=64, description="Such as dollar:250000; empty: the clock."),
    ] = ""


class Effect(Struct, frozen=True, kw_only=True):
    """What a command did."""

    effect: str
    trading_state: str
    request_id: str | None = None
    checks: list[dict[str, Any]] = []


class OrderEffect(Struct, frozen=True, kw_only=True):
    """What the gates said of an order, or of its cancel."""

    effect: str
    trading_state: str
    request_id: str | None = None
    order: Annotated[str, Meta(description="EPOCH-NUMBER; empty: there is none.")] = ""
    client_order_id: str = ""
    reasons: Annotated[list[str], Meta(description="Every gate that failed.")] = []


class Rows(Struct, frozen=True, kw_only=True):
    """A page of rows, and where the next one begins."""

    rows: list[dict[str, Any]]
    after: Annotated[int, Meta(description="Give this as `after` for the next page.")]
    session: str


class Listing(Struct, frozen=True, kw_only=True):
    """All rows there are."""

    rows: list[dict[str, Any]]


class Identity(Struct, frozen=True, kw_only=True):
    """Who a caller is, what they may, and the word a page sends with a change."""

    name: str
    role: str
    scopes: list[str]
    csrf: str = ""


class Document(Struct, frozen=True):
    """A document whose fields are described in docs/api.md."""


class Problem(Struct, frozen=True, kw_only=True):
    """Why nothing was done."""

    error: str
    missing: Annotated[str, Meta(description="Of 501: the part that is not built.")] = ""
