"""The one configuration: frozen, typed, read once, printed with its secrets hidden.

Every field carries its unit, range, default and what is lost by changing it;
`docs/configuration.md` is generated from them and a test compares the two. Values come, weakest
first, from the defaults here, the profile, the TOML file, the environment and the command line
(`engine.config_load`).
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from engine.config_bounds import Amount, ApprovalConfig, BoundsConfig, PortfolioConfig
from engine.config_claims import ClaimsConfig
from engine.config_journal import JournalConfig
from engine.config_onboard import OnboardConfig
from engine.config_paper import PaperConfig
from engine.config_people import AccessConfig, AlertsConfig, Count, Positive, TracesConfig

NAME_PATTERN = "^[a-z0-9][a-z0-9_-]{0,23}$"

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Ratio = Annotated[float, Meta(ge=0.0, le=1.0)]


class VenueConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where it trades and who we are there."""

    name: Annotated[str, Meta(description="Venue module: practice or binance.")] = "practice"
    rest_url: Annotated[str, Meta(description="REST base URL; empty: the venue's own.")] = ""
    stream_url: Annotated[
        str, Meta(description="WebSocket base URL, without a category; empty: the venue's own.")
    ] = ""
    order_url: Annotated[
        str, Meta(description="WebSocket base URL of the order API; empty: the venue's own.")
    ] = ""
    api_key: Annotated[str, Meta(description="Public half of the API key.")] = ""
    api_secret: Annotated[
        str,
        Meta(
            description="Secret half, or an Ed25519 private key as PEM text, with which orders go "
            "over a session that is logged on once; never printed, logged or stored."
        ),
    ] = ""
    leverage: Annotated[
        Count, Meta(le=125, description="Set for every instrument at the start; 0: left as it is.")
    ] = 0
    margin_type: Annotated[
        str,
        Meta(
            pattern="^(|cross|isolated)$",
            description="Set for every instrument at the start: cross, isolated; empty: left.",
        ),
    ] = ""
    calendar: Annotated[
        str,
        Meta(
            pattern="^(|always|cme)$",
            description="Trading hours, outside of which nothing is entered; empty: the venue's.",
        ),
    ] = ""
    account: Annotated[Name, Meta(description="Account tag; state is kept per account.")] = (
        "practice"
    )
    third_party: Annotated[
        bool,
        Meta(description="Derived: somebody else's market. Orders leave for it in mode live only."),
    ] = False


class ArmingConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The three switches; all three must say yes before an order leaves for a third party."""

    allow_orders: Annotated[bool, Meta(description="ALLOW_ORDERS=1.")] = False
    dry_run: Annotated[bool, Meta(description="DRY_RUN=0 arms; 1 refuses every order.")] = True
    enable_order_exec: Annotated[bool, Meta(description="ENABLE_ORDER_EXEC=1.")] = False

    @property
    def armed(self) -> bool:
        """Return whether all three switches agree that orders may leave."""
        return self.allow_orders and not self.dry_run and self.enable_order_exec


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds checked before every send. 0 of a `max_` refuses everything; none means 'no limit'."""

    max_order_size: Annotated[
        Amount, Meta(description="Largest order, contracts; where the unit is contracts.")
    ] = 2.0
    max_position_exposure: Annotated[
        Amount, Meta(description="Largest position, contracts; where the unit is contracts.")
    ] = 3.0
    max_order_notional: Annotated[Amount, Meta(description="Largest order, quote currency.")] = (
        1_000.0
    )
    max_position_notional: Annotated[
        Amount, Meta(description="Largest position of one instrument, quote currency.")
    ] = 3_000.0
    max_total_notional: Annotated[
        Amount, Meta(description="Largest sum over instruments, quote currency.")
    ] = 10_000.0
    max_entries_per_day: Annotated[
        Count, Meta(description="Entries per UTC day (MAX_TRADES_PER_DAY).")
    ] = 20
    max_daily_loss_ratio: Annotated[
        Ratio, Meta(description="Loss of a UTC day against its opening equity; then HALTED.")
    ] = 0.02
    max_drawdown_ratio: Annotated[
        Ratio, Meta(description="Fall from the equity peak; then HALTED.")
    ] = 0.10
    daily_profit_lock_ratio: Annotated[
        Ratio, Meta(description="Gain of a UTC day on its opening equity; then PAUSED. 0: no lock.")
    ] = 0.0
    max_consecutive_failures: Annotated[
        Positive, Meta(description="Venue rejects or unknown outcomes in a row; then HALTED.")
    ] = 5
    price_collar_bps: Annotated[
        Amount, Meta(description="Furthest limit price from mid, basis points.")
    ] = 50.0
    price_age_ms: Annotated[Positive, Meta(description="Oldest quote an entry may rest on.")] = (
        5_000
    )
    decision_latency_ms: Annotated[
        Positive, Meta(description="Oldest cause an order may have (DECISION_LATENCY_MS).")
    ] = 100
    orders_per_10s: Annotated[Positive, Meta(description="Orders in 10 s, all instruments.")] = 100
    orders_per_10s_instrument: Annotated[
        Positive, Meta(description="Orders in 10 s, one instrument.")
    ] = 20
    max_memory_mb: Annotated[
        Positive, Meta(description="RSS of all roles; above it no entries (MAX_MEMORY_MB).")
    ] = 6_000


class SourcesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where market data comes from, and what stands in when it does not."""

    backup: Annotated[
        str,
        Meta(
            pattern="^(off|demand|always)$",
            description="Second connection for the same streams: off, demand (while the first is "
            "down, late or silent), always (the first to deliver counts; twice the load).",
        ),
    ] = "demand"
    stream_url: Annotated[
        str, Meta(description="WebSocket base URL of the second connection; empty: the venue's.")
    ] = ""
    rest_url: Annotated[
        str,
        Meta(
            description="Second REST base URL for market data (snapshots, history, clock, quotes): "
            "asked while the venue's first does not answer; empty: none."
        ),
    ] = ""
    connection_life_s: Annotated[
        Positive,
        Meta(
            le=86_000, description="A connection is replaced at this age; the venue cuts at 24 h."
        ),
    ] = 82_800
    streams_per_connection: Annotated[
        Positive, Meta(le=1_024, description="More share one silence; fewer need more attempts.")
    ] = 200
    heal_ms: Annotated[
        Count,
        Meta(
            le=30_000,
            description="A hole in trade ids is waited for so long while it is fetched, and no "
            "entry is made on that instrument; 0: it is a gap record at once.",
        ),
    ] = 3_000
    poll_after_ms: Annotated[
        Count,
        Meta(
            description="Without any connection for quotes they are asked for by request each "
            "second, for exits only; 0: never."
        ),
    ] = 5_000
    open_interest_s: Annotated[
        Count,
        Meta(
            le=3_600,
            description="Between two questions for an instrument's open interest, which no stream "
            "carries; at most one request a second, so longer with many instruments; 0: never.",
        ),
    ] = 60
    news_file: Annotated[
        str, Meta(description="Calendar of events behind the feature crowd.news; empty: none.")
    ] = ""
    lag_limit_ms: Annotated[
        Positive,
        Meta(
            description="Data later than usual by more than this, or soon to be, allows no entry "
            "until it is below half of it for 5 s."
        ),
    ] = 1_000


class StrategyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row added to, or replacing, a row of the built-in strategy table."""

    name: Name
    kind: Annotated[str, Meta(description="Kernel that decides; see docs/first_strategy.md.")]
    timeframe_s: Annotated[Positive, Meta(description="Bar length it reads.")] = 1
    bars: Annotated[
        str,
        Meta(
            description="Bars it reads instead: tick, volume, dollar or imbalance, with a size, "
            'such as "volume:2.5 DOGEUSDT=90000"; empty: by the clock.'
        ),
    ] = ""
    notional: Annotated[Amount, Meta(description="Entry size, quote currency.")] = 200.0
    parameters: Annotated[dict[str, float], Meta(description="Named parameters of the kind.")] = {}
    rules: Annotated[
        dict[str, str], Meta(description="Of kind rules: rules and the features they read.")
    ] = {}


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a run is told. Roles receive it on standard input, never by argv."""

    name: Annotated[Name, Meta(description="Instance name; one engine per name.")] = "main"
    profile: Annotated[
        str, Meta(pattern="^(dev|staging|production)$", description="Set of defaults in use.")
    ] = "dev"
    home: Annotated[
        str, Meta(description="Journal, database, logs, kernel cache (AEGIS_HOME).")
    ] = ""
    trading_mode: Annotated[
        str, Meta(pattern="^(paper|live)$", description="paper: practice money. live: real money.")
    ] = "paper"
    venue: VenueConfig = VenueConfig()
    paper: PaperConfig = PaperConfig()
    arming: ArmingConfig = ArmingConfig()
    limits: LimitsConfig = LimitsConfig()
    claims: ClaimsConfig = ClaimsConfig()
    bounds: BoundsConfig = BoundsConfig()
    approval: ApprovalConfig = ApprovalConfig()
    onboard: OnboardConfig = OnboardConfig()
    portfolio: PortfolioConfig = PortfolioConfig()
    journal: JournalConfig = JournalConfig()
    sources: SourcesConfig = SourcesConfig()
    access: AccessConfig = AccessConfig()
    alerts: AlertsConfig = AlertsConfig()
    traces: TracesConfig = TracesConfig()
    instruments: Annotated[
        tuple[str, ...],
        Meta(
            description='Symbols or words for them (BTC, BTC/USDT:USDT), or "top:N": the N most '
            "traded; empty: what the venue offers, up to the bound."
        ),
    ] = ()
    instruments_top: Annotated[
        Count,
        Meta(
            le=500,
            description="So many active perpetual USDT pairs by 24 h quote volume, in that order; "
            "0: those of `instruments`.",
        ),
    ] = 0
    instruments_max: Annotated[Positive, Meta(le=500, description="Bound on instruments.")] = 300
    leader: Annotated[str, Meta(description="Symbol others are compared with.")] = "BTCUSDT"
    listing_refresh_s: Annotated[
        Positive,
        Meta(description="Between two looks at what the venue lists: statuses, ends, filters."),
    ] = 120
    price_spike_sigmas: Annotated[
        Count,
        Meta(
            le=10_000,
            description="Prices further from the last one than so many standard deviations of "
            "their stream's own moves, and than 50 bps, are refused; 0: no such law.",
        ),
    ] = 50
    channels: Annotated[
        tuple[str, ...], Meta(description="Market data streams per instrument.")
    ] = (
        "bookTicker",
        "depth",
        "aggTrade",
        "markPrice",
        "kline_1m",
        "forceOrder",
    )
    depth_instruments_max: Annotated[
        Count, Meta(description="Instruments that keep a full book; the first ones.")
    ] = 50
    strategies: Annotated[
        tuple[str, ...], Meta(description="Names of strategies to run; empty: the default set.")
    ] = ()
    strategy: Annotated[
        tuple[StrategyConfig, ...], Meta(description="Own rows of the strategy table.")
    ] = ()
    idle: Annotated[
        str,
        Meta(
            pattern="^(auto|spin|yield|hybrid|sleep)$",
            description="The brain without work: auto (as hybrid, the spin chosen by load), spin "
            "(feed, brain and executor never sleep, on four cores or more), yield (one core that "
            "brain and feed share and that never halts; pin both to it), hybrid (spin_us, then "
            "sleep), sleep.",
        ),
    ] = "auto"
    spin_us: Annotated[
        Count, Meta(le=1000, description="Spin before the futex, auto and hybrid only.")
    ] = 30
    pin: Annotated[dict[str, int], Meta(description="Core per role; empty: not pinned.")] = {}
    on_role_death: Annotated[
        str,
        Meta(pattern="^(exit|restart)$", description="exit: the platform restarts the engine."),
    ] = "exit"
    reconcile_interval_s: Annotated[Positive, Meta(description="Between reconciliations.")] = 30
    order_timeout_ms: Annotated[
        Positive, Meta(description="Without an answer an order becomes UNKNOWN.")
    ] = 2_000
    drain_budget_s: Annotated[Positive, Meta(description="Longest orderly stop.")] = 10
    heartbeat_timeout_ms: Annotated[
        Positive, Meta(description="A warm role that beats less often is hung.")
    ] = 5_000
    warm_timeout_s: Annotated[Positive, Meta(description="Longest step of a warm-up.")] = 180
    resting_order_countdown_s: Annotated[
        Count,
        Meta(le=3_600, description="Silence after which the venue cancels what rests; 0: no."),
    ] = 120
    keep_resting_orders: Annotated[
        bool, Meta(description="On stop leave resting orders at the venue.")
    ] = False
    database_url: Annotated[
        str, Meta(description="PostgreSQL URL (DATABASE_URL); empty: SQLite in home.")
    ] = ""
    cloudwatch_metrics: Annotated[
        bool,
        Meta(description="Once a minute a line of CloudWatch's embedded metrics on stderr."),
    ] = False
    aws_endpoint: Annotated[
        str, Meta(description="Address of S3-compatible storage; empty: Amazon's.")
    ] = ""
    aws_region: Annotated[
        str, Meta(description="Region of s3_bucket; empty: what its client finds.")
    ] = ""
    s3_bucket: Annotated[
        str, Meta(description="Bucket `aegis record` copies finished tapes to; empty: none.")
    ] = ""
    # Derived for one run, not settings: written by the supervisor.
    session_id: str = ""
    onboarded: tuple[str, ...] = ()  # symbols beside those that are discovered
    engine_tag: Annotated[str, Meta(pattern="^[a-z]{1,2}$")] = "a"
    epoch: Count = 0

    @property
    def orders_leave(self) -> bool:
        """Return whether orders go to a third party: then the arming switches apply."""
        return self.venue.third_party and self.trading_mode == "live"

    @property
    def fills_here(self) -> bool:
        """Return whether orders on a third party's market are filled by a paper account here."""
        return self.venue.third_party and self.trading_mode == "paper"

    @property
    def state_dir(self) -> str:
        """Return the directory of ledger, journal and limits: one per (venue, account, mode)."""
        return f"{self.home}/state/{self.venue.name}-{self.venue.account}-{self.trading_mode}"


SECRET_FIELDS = frozenset(
    {"api_secret", "api_key", "api_token", "database_url", "urls", "escalate_urls"}
)


def compiler_target() -> tuple[str | None, str | None]:
    """Return the CPU and its features that Numba is told to compile for; None: this machine's.

    Numba reads both variables itself when it is imported; who asks here does not import it.
    """
    name = os.environ.get("NUMBA_CPU_NAME") or None
    unset = "" if name is not None and name.lower() == "generic" else None
    return name, os.environ.get("NUMBA_CPU_FEATURES", unset)


def shown(config: Config) -> dict[str, object]:
    """Return the configuration as plain values with every secret replaced."""
    tree: dict[str, object] = msgspec.to_builtins(config)
    _hide(tree)
    return tree


def _hide(tree: dict[str, object]) -> None:
    for key, entry in tree.items():
        if isinstance(entry, dict):
            _hide(entry)
        elif key in SECRET_FIELDS and entry:
            tree[key] = "***"
