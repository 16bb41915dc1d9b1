"""Every counter and histogram, declared once, with its label and unit, per role.

A counter's position in its tuple is its word in the role's page of the counters segment; append
only within a run's version. Pages: main 0, feed 1, brain 2, orchestrator 3.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.codes import Liveness
from engine.domain.firewall_reasons import FIREWALL_REASON_TEXT, FirewallReason
from engine.domain.risk_reasons import RISK_REASON_TEXT


class Counter(NamedTuple):
    """One 64-bit number in a counters page."""

    name: str
    label: str
    unit: str


class Histogram(NamedTuple):
    """One latency histogram in a counters page; values in ns."""

    name: str
    label: str


MAIN_COUNTERS: tuple[Counter, ...] = (
    Counter("api_requests_total", "HTTP requests answered", "requests"),
    Counter("watchdog_checks_total", "Passes of the watchdog", "checks"),
)
# In the order of `enum aegis_feed_counter` in native_ext/feed.h: the core counts these itself.
CORE_COUNTERS: tuple[Counter, ...] = (
    Counter("reads_total", "Socket reads", "reads"),
    Counter("bytes_total", "Bytes received on stream connections", "bytes"),
    Counter("frames_total", "WebSocket frames received", "frames"),
    Counter("records_total", "Market records published", "records"),
    Counter("rejected_total", "Frames or records refused by the firewall", "records"),
    Counter("general_path_total", "Frames of an unusual layout", "frames"),
    Counter("conflated_total", "Records merged because the market ring was full", "records"),
    Counter("resyncs_total", "References moved after a run of refusals that agreed", "times"),
    Counter("book_resyncs_total", "Books that had to be fetched again", "books"),
    Counter("levels_cut_total", "Levels dropped at the far end of a full book side", "levels"),
    Counter("diffs_held_total", "Diffs taken while a book waited for its snapshot", "frames"),
    Counter("gaps_total", "Gap records published", "records"),
    Counter("books_compared_total", "Books and quotes that met at one update id", "times"),
    Counter("books_diverged_total", "Of these, with different best levels", "times"),
    Counter("books_behind_total", "Books called stale: the quotes moved on alone", "times"),
    Counter("duplicates_total", "Frames that another connection had delivered", "frames"),
    Counter("holes_total", "Holes in trade ids that were waited for", "holes"),
    Counter("trades_healed_total", "Trades that filled a hole", "trades"),
    Counter("trades_lost_total", "Trades that a hole was given up for", "trades"),
    Counter("books_standing_total", "Books compared with the quote that stood", "times"),
    Counter("books_standing_diverged_total", "Of these, with different best levels", "times"),
)
# Then one per reason, by its number.
REJECT_COUNTERS: tuple[Counter, ...] = tuple(
    Counter(
        f"rejected_{reason.name.lower()}_total",
        f"Refused by the firewall: {FIREWALL_REASON_TEXT[reason]}",
        "records",
    )
    for reason in FirewallReason
)
FEED_COUNTERS: tuple[Counter, ...] = (
    *CORE_COUNTERS,
    *REJECT_COUNTERS,
    Counter("connects_total", "Stream connections opened", "connections"),
    Counter("snapshots_total", "Book snapshots fetched", "snapshots"),
    Counter("snapshot_failures_total", "Book snapshots that failed or came too old", "snapshots"),
    Counter("books_waiting", "Books that wait for a snapshot", "books"),
    Counter("instruments_fallback", "Instruments taken from the fallback list", "instruments"),
    Counter("discovery_failures_total", "Rankings by volume that could not be had", "times"),
    Counter("instruments_winding_down", "Instruments that take exits only", "instruments"),
    Counter("listing_failures_total", "Lists of instruments that could not be had", "times"),
    Counter("clock_error_ns", "Error of the venue clock, for time bounds", "ns"),
    Counter("clock_rate_ppb", "Rate of the venue clock, less one", "ppb"),
    Counter("clock_offset_ns", "Venue clock ahead of this host's wall clock", "ns"),
    Counter("clock_bound_ns", "How far off that may be: half the shortest round trip", "ns"),
    Counter("connections_up", "Stream connections that carry the market", "connections"),
    Counter("connections_replaced_total", "Connections replaced by others", "connections"),
    Counter("connection_attempts_total", "Attempts to open a stream connection", "attempts"),
    Counter("connection_attempts_delayed_total", "Attempts that waited for budget", "attempts"),
    Counter("backups_taken_total", "Second connections taken on demand", "times"),
    Counter("lag_spikes_total", "Connections whose data became late", "times"),
    Counter("instruments_held", "Instruments held: late or polled", "instruments"),
    Counter("backfill_requests_total", "Requests for missed trades and bars", "requests"),
    Counter("bars_healed_total", "Bars that closed unseen and were fetched", "bars"),
    Counter("quotes_polled_total", "Quotes taken by request", "quotes"),
    Counter("incidents_total", "Losses of data, healed or not", "incidents"),
    Counter("incidents_open", "Losses of data that last", "incidents"),
    Counter("incident_last_ms", "How long the last loss lasted", "ms"),
    Counter("incident_max_ms", "How long the longest loss lasted", "ms"),
    *(
        Counter(
            f"channels_{state.name.lower()}", f"Channels that are {state.name.lower()}", "channels"
        )
        for state in Liveness
    ),
)
REFUSAL_COUNTERS: tuple[Counter, ...] = tuple(
    Counter(f"refused_{reason.name.lower()}_total", f"Refused: {text}", "refusals")
    for reason, text in RISK_REASON_TEXT.items()
)
BRAIN_COUNTERS: tuple[Counter, ...] = (
    Counter("records_total", "Market records decided on", "records"),
    Counter("steps_total", "Steps of the kernel", "steps"),
    Counter("decisions_total", "Entry opportunities that reached risk", "decisions"),
    Counter("orders_total", "Orders requested", "orders"),
    Counter("fills_total", "Fills applied", "fills"),
    Counter("refusals_total", "Orders refused by risk", "refusals"),
    Counter("rejected_total", "Market records refused by the second firewall", "records"),
    Counter("exits_total", "Exit opportunities that reached risk", "decisions"),
    Counter("cancels_total", "Cancels requested", "orders"),
    Counter("amendments_total", "Quotes asked to move in place", "orders"),
    Counter("orders_unknown_total", "Orders whose outcome was unknown for a time", "orders"),
    Counter("orders_rejected_total", "Orders the venue refused", "orders"),
    Counter("fetches_total", "Fetches of the account", "fetches"),
    Counter("fetches_failed_total", "Fetches of the account that failed", "fetches"),
    Counter("reconciled_total", "Reconciliations that found us equal to the venue", "times"),
    Counter("adjustments_total", "Corrections of our books to the venue's", "adjustments"),
    Counter("round_trips_total", "Strategy positions opened and closed", "positions"),
    Counter("reports_total", "Reports of the executor to the kernel", "reports"),
    Counter("reports_waiting", "Reports that wait for room in their ring", "reports"),
    Counter("orders_sent_total", "Orders whose first byte went out", "orders"),
    Counter("orders_on_line_total", "Orders that the deciding thread wrote itself", "orders"),
    Counter("stream_losses_total", "Losses of the user stream", "times"),
    Counter("jobs_refused_total", "Off-path jobs refused because the queue was full", "jobs"),
    Counter("realised_pnl_e8", "Realised PnL of this account's books", "1e-8 quote"),
    Counter("unrealised_pnl_e8", "Open positions marked to mid", "1e-8 quote"),
    Counter("fees_e8", "Fees paid, rebates negative", "1e-8 quote"),
    Counter("funding_e8", "Funding received, paid negative", "1e-8 quote"),
    Counter("equity_e8", "Cash and open positions", "1e-8 quote"),
    Counter("day_start_equity_e8", "Equity the day's loss is counted from", "1e-8 quote"),
    Counter("peak_equity_e8", "Highest equity, which the fall is counted from", "1e-8 quote"),
    Counter("day_entries", "Entries of the UTC day", "entries"),
    Counter("orders_open", "Orders that are not settled", "orders"),
    Counter("rotations_total", "Positions closed for a better entry", "positions"),
    Counter("scorer_faults_total", "Times that a scorer's answers were no scores", "times"),
    Counter("vectors_total", "Feature vectors of ended bars, to the journal", "vectors"),
    Counter("vectors_lost_total", "Feature vectors that found no room", "vectors"),
    Counter("strategies_warm", "Strategies that know their bars' ranges", "strategies"),
    Counter("strategies_cold", "Strategies that enter when they know them", "strategies"),
    *REFUSAL_COUNTERS,
    *REJECT_COUNTERS,
)
ORCHESTRATOR_COUNTERS: tuple[Counter, ...] = (
    Counter("journaled_total", "Records written to the journal", "records"),
    Counter("projected_total", "Events projected into the database", "events"),
    Counter("journal_bytes", "Size of all journals", "bytes"),
    Counter("journal_lag", "Largest distance of the journal behind a ring, last second", "records"),
    Counter("events_synced", "Brain events on the disk, by sequence", "events"),
    Counter("disk_free_mb", "Free space under AEGIS_HOME", "MB"),
    Counter("memory_mb", "Resident memory of main and all roles", "MB"),
)

FEED_HISTOGRAMS: tuple[Histogram, ...] = (Histogram("decode_ns", "Socket read to ring"),)
BRAIN_HISTOGRAMS: tuple[Histogram, ...] = (
    Histogram("lag_ns", "Receive time until the batch's answer is published, while the brain runs"),
    Histogram("tick_to_order_ns", "Receive time of the frame to first byte of the order"),
    Histogram("order_ack_ns", "First byte of the order to the venue's answer"),
    Histogram("decide_ns", "One step of the kernel over a batch, its answer published"),
    Histogram("decision_to_order_ns", "Decision to first byte of the order"),
)
MAIN_HISTOGRAMS: tuple[Histogram, ...] = ()
ORCHESTRATOR_HISTOGRAMS: tuple[Histogram, ...] = ()
