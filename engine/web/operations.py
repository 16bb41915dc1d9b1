"""Every operation under /v1, once: name, method, who may, what goes in, what is not built yet.

Routes, the OpenAPI document and the tests are made from this table. An operation whose part of the
engine does not exist is in it too: it answers 501 and names the part, so that a client is written
once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from engine.web.bodies import (
    BookQuery,
    CancelBody,
    ChartQuery,
    CommandBody,
    CostsBody,
    Document,
    Effect,
    ExecuteBody,
    ExportQuery,
    FeatureHistoryQuery,
    FeatureQuery,
    FeedLineBody,
    GapsBody,
    HeldBody,
    Identity,
    Listing,
    LoginBody,
    ModuleBody,
    NewestQuery,
    NoteBody,
    Nothing,
    OnboardBody,
    OrderBody,
    OrderEffect,
    PartBody,
    Rows,
    SearchQuery,
    TickBody,
)


class Scope(StrEnum):
    """What a caller may do, each by itself."""

    NONE = "none"  # anybody: whether the engine lives
    READ = "read"
    HALT = "halt"
    OPERATE = "operate"
    ADMIN = "admin"


class Operation(NamedTuple):
    """One operation; the path is /v1/NAME."""

    name: str
    method: str
    group: str
    summary: str
    scope: Scope
    takes: type[Struct] = Nothing
    gives: type[Struct] = Document
    missing: str = ""
    refused: str = ""  # why this is never done


def _read(
    name: str,
    group: str,
    summary: str,
    takes: type[Struct] = Nothing,
    gives: type[Struct] = Document,
    scope: Scope = Scope.READ,
) -> Operation:
    return Operation(name, "GET", group, summary, scope, takes, gives)


def _act(
    name: str,
    summary: str,
    scope: Scope = Scope.OPERATE,
    takes: type[Struct] = CommandBody,
    group: str = "control",
) -> Operation:
    return Operation(name, "POST", group, summary, scope, takes, Effect)


def _order(name: str, summary: str, takes: type[Struct]) -> Operation:
    return Operation(name, "POST", "execution", summary, Scope.OPERATE, takes, OrderEffect)


def _open(name: str, method: str, group: str, missing: str) -> Operation:
    scope = Scope.READ if method == "GET" else Scope.OPERATE
    return Operation(name, method, group, "Not built yet.", scope, missing=missing)


_MODELS = "the model registry"

OPERATIONS: Final = (
    # health and status
    Operation(
        "healthcheck", "GET", "health", "Whether the engine lives, role by role.", Scope.NONE
    ),
    _read("system_status", "health", "Everything a running engine says of itself."),
    _read("latency", "health", "Every latency histogram, below each power of two of ns."),
    _read(
        "ledger",
        "execution",
        "The double-entry ledger: by strategy and instrument, what is open, the wallet's curve.",
    ),
    _read("limits", "health", "How much of each limit is used.", gives=Listing),
    # who
    Operation("whoami", "GET", "access", "Who the caller is.", Scope.NONE, gives=Identity),
    Operation(
        "login", "POST", "access", "Open a session for a page.", Scope.NONE, LoginBody, Identity
    ),
    Operation("logout", "POST", "access", "Close the page's session.", Scope.NONE, gives=Identity),
    # data intake
    _act(
        "submit_tick",
        "Have the practice exchange print a trade; refused on any other market.",
        takes=TickBody,
        group="data",
    ),
    _act(
        "switch_primary_feeds",
        "Have market data carried by the first or the second line; both deliver meanwhile.",
        takes=FeedLineBody,
        group="data",
    ),
    _act(
        "trigger_reconcile_gap",
        "Look for market data that is missing, and ask the venue's history for it.",
        takes=GapsBody,
        group="data",
    ),
    # features, predictions
    _read(
        "extract_features",
        "features",
        "The newest feature vector of an instrument, by the names of its columns.",
        FeatureQuery,
    ),
    _read(
        "get_historical_features",
        "features",
        "Feature vectors of an instrument, from the journal of a session.",
        FeatureHistoryQuery,
        Rows,
    ),
    Operation(
        "patch_feature_window",
        "POST",
        "features",
        "Refused: a feature store is made again, never patched.",
        Scope.OPERATE,
        refused="vectors are what strategies read, bit for bit, and are never rewritten; "
        "`aegis features write` makes the store again from the journal",
    ),
    _open("run_similarity_search", "POST", "predictions", "similarity search over feature vectors"),
    _open("predict", "POST", "predictions", "models behind scores"),
    _open("blend_outputs", "POST", "predictions", "models behind scores"),
    _open("record_live_update", "POST", "predictions", "learning while trading"),
    # risk and execution
    _order("check_trade_signal", "Ask the gates what they would say of an order now.", OrderBody),
    _order("submit_order", "Send an order through every gate, once per request id.", OrderBody),
    _order("execute_order", "Start a parent order, which an algorithm works.", ExecuteBody),
    _read("executions", "execution", "Parent orders and how far they are.", gives=Listing),
    _read(
        "routes",
        "execution",
        "What the router knows of each venue, by instrument, and which way it would go now.",
        gives=Listing,
    ),
    _order("cancel_order", "Cancel one order of this engine.", CancelBody),
    _read("positions", "execution", "Positions by strategy, open ones first.", gives=Listing),
    _read(
        "strategies",
        "execution",
        "What each strategy has made on this account: positions from flat to flat, after fees.",
        gives=Listing,
    ),
    _read("orders", "execution", "Orders that may still fill, oldest first.", gives=Listing),
    _act(
        "update_position",
        "Take positions from the venue, which is right about them, as `reconcile` does; none is "
        "set by hand.",
        group="execution",
    ),
    _act(
        "record_slippage",
        "Write down what an order's execution cost, from the journal: slippage and markouts.",
        takes=CostsBody,
        group="execution",
    ),
    # control
    _act("halt", "Refuse every new order at once, then cancel what rests.", Scope.HALT),
    _act(
        "confirm_halt",
        "Wait for the venue's word that, after a halt, no order is open; 409: it is not.",
        Scope.HALT,
    ),
    _act("pause", "Stop entries; exits and cancels go on."),
    _act("reduce", "Let only orders pass that close positions."),
    _act("flatten", "Cancel all orders and close all positions."),
    _act("cancel_all", "Cancel every resting order; the trading state stays."),
    _act("reconcile", "Compare orders, positions and balances with the venue now."),
    _act("resume", "Check in order what must hold, then re-arm; needs a reason."),
    _act("trigger_startup", "The same as `resume`."),
    _act("trigger_shutdown", "Stop the engine in order.", Scope.ADMIN),
    _act(
        "set_module_state",
        "Give trading a state, or a module, strategy, instrument or regime a mode.",
        takes=ModuleBody,
    ),
    _read("modes", "control", "Every part that is not live, by whom and why.", gives=Listing),
    _read("parts", "control", "Every part there is, live ones too, and its mode.", gives=Listing),
    _read(
        "held_intents",
        "control",
        "Entries that wait for an operator's word, the oldest first.",
        gives=Listing,
    ),
    _act(
        "approve_intent",
        "Send an entry that waits, if every gate passes it now.",
        takes=HeldBody,
    ),
    _act("reject_intent", "Drop an entry that waits.", takes=HeldBody),
    # audit
    _act(
        "log_decision", "Write a person's word on a decision down.", takes=NoteBody, group="audit"
    ),
    _read(
        "fetch_audit_trail", "audit", "Who did what, when, and what it changed.", NewestQuery, Rows
    ),
    _read(
        "fetch_access_trail",
        "audit",
        "Who changed accounts, tokens and buttons of this AEGIS_HOME, and how.",
        NewestQuery,
        Rows,
        Scope.ADMIN,
    ),
    _read("get_trade_journal", "audit", "Fills of a session.", NewestQuery, Rows),
    _read("search_journal", "audit", "Newest events with a text in them.", SearchQuery, Listing),
    _read("export_data", "audit", "Rows of a session as JSON or CSV.", ExportQuery, Rows),
    # models, onboarding
    _open("submit_candidate_model", "POST", "models", _MODELS),
    _act(
        "trigger_shadow_mode",
        "Give a part the mode shadow: what it decides is recorded, nothing is sent.",
        takes=PartBody,
        group="models",
    ),
    _open("force_model_rollback", "POST", "models", _MODELS),
    _act(
        "onboard",
        "Take a strategy or a symbol through shadow and the out-of-sample gate to live.",
        takes=OnboardBody,
        group="models",
    ),
    _act("offboard", "Take a strategy or a symbol off.", takes=OnboardBody, group="models"),
    _read("onboarding", "models", "What is onboarded, how far, and its record.", gives=Listing),
)
# What is asked of somebody who may not know it, or may not be there now.
MAY_BE_AWAY: Final = frozenset({"ledger", "extract_features", "get_historical_features"})
BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}
BOOK: Final = Operation(
    "book/{symbol}", "GET", "data", "A whole book, asked of the feed.", Scope.READ, BookQuery
)
CHART: Final = Operation(
    "chart/{symbol}",
    "GET",
    "health",
    "A page with an instrument's bars, structure, decisions and fills; drawn when asked.",
    Scope.READ,
    ChartQuery,
)
PRESS: Final = Operation(
    "press/{button}",
    "POST",
    "control",
    "HALT by a signed address that counts once; `aegis access button` makes it.",
    Scope.NONE,
    gives=Effect,
)
STREAM: Final = Operation(
    "stream",
    "GET",
    "health",
    "The status when it changes, at most five times a second, and each event of this session, as "
    "server-sent events; `Last-Event-ID` goes on where a connection broke off.",
    Scope.READ,
)
