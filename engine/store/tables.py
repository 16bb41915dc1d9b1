"""The projected tables: columns, key, and the statement that writes a row.

They are the tables of `migrations/`; a test compares the two. A row is a mapping from column to
value. Rows of a state table are written whole, so the last one written holds; rows of a log table
are written once, and writing one again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.store.database import Database, Value

KEYS_MAX: Final = 200  # of one statement
Cells = dict[str, Value]
Key = tuple[Value, ...]


class Table(NamedTuple):
    """One table of the schema."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    is_log: bool = False

    def key_of(self, cells: Cells) -> Key:
        """Return the key of a row."""
        return tuple(cells[column] for column in self.key)

    def on_conflict(self) -> str:
        """Return what an insert does with a row that is there already."""
        rest = [column for column in self.columns if column not in self.key]
        action = "NOTHING"
        if not self.is_log and rest:
            action = "UPDATE SET " + ", ".join(f"{column} = excluded.{column}" for column in rest)
        return f"ON CONFLICT ({', '.join(self.key)}) DO {action}"

    def select(self) -> str:
        """Return the statement that reads one row by its key."""
        where = " AND ".join(f"{column} = ?" for column in self.key)
        return f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE {where}"  # noqa: S608

    def load_many(self, database: Database, keys: Sequence[Key]) -> dict[Key, Cells]:
        """Return the rows of these keys that exist, by their key."""
        found: dict[Key, Cells] = {}
        row = f"({', '.join('?' * len(self.key))})"
        for first in range(0, len(keys), KEYS_MAX):
            asked = keys[first : first + KEYS_MAX]
            statement = (
                f"SELECT {', '.join(self.columns)} FROM {self.name} "  # noqa: S608  our own names
                f"WHERE ({', '.join(self.key)}) IN (VALUES {', '.join([row] * len(asked))})"
            )
            for cells in database.query(statement, [part for key in asked for part in key]):
                named = dict(zip(self.columns, cells, strict=True))
                found[self.key_of(named)] = named
        return found

    def load(self, database: Database, key: Key) -> Cells | None:
        """Return the row of a key, or None."""
        rows = database.query(self.select(), key)
        return dict(zip(self.columns, rows[0], strict=True)) if rows else None

    def write(self, database: Database, rows: list[Cells]) -> None:
        """Write rows; of two with one key the later one."""
        if not self.is_log:
            rows = list({self.key_of(row): row for row in rows}.values())
        cells = [[row[column] for column in self.columns] for row in rows]
        database.insert_many(self.name, self.columns, self.on_conflict(), cells)


_EVENT: Final = ("state_key", "session_id", "sequence")
_SOURCED: Final = ("state_key", "session_id", "source", "sequence")


def _table(name: str, key: tuple[str, ...], columns: str, *, is_log: bool = False) -> Table:
    return Table(name, key, (*key, *columns.split()), is_log)


SESSIONS: Final = _table(
    "sessions",
    ("state_key", "session_id"),
    "instance epoch version kernel_key market_journal started_ns ended_ns",
)
CURSORS: Final = _table(
    "journal_cursors", ("state_key", "session_id", "source"), "next_sequence is_complete"
)
INSTRUMENTS: Final = _table(
    "instruments",
    ("state_key", "instrument"),
    "quote tick_scaled price_exponent lot_scaled qty_exponent unit_e8",
)
ORDERS: Final = _table(
    "order_states",
    ("state_key", "order_id"),
    "session_id client_order_id venue_order_id epoch order_sequence cause_sequence instrument "
    "strategy side order_type time_in_force flags price_ticks qty_lots cum_qty_lots filled_lots "
    "status reason created_ns sent_ns updated_ns",
)
FILLS: Final = _table(
    "fills",
    ("state_key", "instrument", "trade_id"),
    "order_id session_id sequence strategy side price_ticks qty_lots fee_e8 realised_pnl_e8 "
    "venue_realised_pnl_e8 liquidity flags venue_time_ns time_ns",
)
POSITIONS: Final = _table(
    "positions",
    ("state_key", "instrument", "strategy"),
    "lots cost_e8 realised_pnl_e8 fee_e8 session_id updated_ns",
)
RECORDS: Final = _table(
    "strategy_records",
    ("state_key", "instrument", "strategy"),
    "entries exits wins gross_e8 fee_e8 held_ns entered_ns trade_net_e8 updated_ns",
)
BALANCES: Final = _table(
    "balances",
    ("state_key", "asset"),
    "wallet_e8 available_e8 venue_wallet_e8 updated_ns",
)
POSTINGS: Final = _table(
    "postings",
    ("state_key", "entry_id", "account"),
    "instrument strategy amount_e8 session_id venue_time_ns time_ns",
    is_log=True,
)
DECISIONS: Final = _table(
    "decisions",
    _EVENT,
    "time_ns instrument strategy side is_entry reason reason_name score input_1 input_2 input_3 "
    "input_4 price_ticks qty_lots position_lots cause_sequence request_id refusal_mask "
    "refusal_names window_first window_last expected_move_bps confidence cost_bps edge_bps",
    is_log=True,
)
PLANS: Final = _table("plans", ("state_key", "session_id", "strategy"), "plan_hash plan")
OUTCOMES: Final = _table(
    "shadow_outcomes",
    _EVENT,
    "graded_ns mid after_10s_bps after_60s_bps after_300s_bps filled_lots exit_ns pnl_e8",
)
REFUSALS: Final = _table(
    "refusals",
    _EVENT,
    "time_ns instrument strategy side qty_lots reason reason_name refusal_mask suppressed_count",
    is_log=True,
)
FAULTS: Final = _table(
    "faults",
    _SOURCED,
    "time_ns role kind reason instrument cause_sequence request_id message",
    is_log=True,
)
ADJUSTMENTS: Final = _table(
    "adjustments",
    _EVENT,
    "adjustment_id time_ns venue_time_ns kind instrument side qty_lots price_ticks position_lots "
    "position_cost_e8 realised_pnl_e8 amount_e8",
    is_log=True,
)
ROLE_STATES: Final = _table(
    "role_states",
    _SOURCED,
    "time_ns role kind state state_name reason message",
    is_log=True,
)
FEATURE_VECTORS: Final = _table(
    "feature_vectors",
    _EVENT,
    "instrument timeframe_s number start_ns open_ticks high_ticks low_ticks close_ticks "
    "volume_lots buy_lots plan vector",
    is_log=True,
)
FEATURE_COLUMNS: Final = _table("feature_columns", ("plan", "place"), "name")
TABLES: Final = (
    SESSIONS,
    INSTRUMENTS,
    PLANS,
    ORDERS,
    FILLS,
    POSITIONS,
    RECORDS,
    BALANCES,
    POSTINGS,
    DECISIONS,
    OUTCOMES,
    REFUSALS,
    FAULTS,
    ADJUSTMENTS,
    ROLE_STATES,
    FEATURE_VECTORS,
    FEATURE_COLUMNS,
    CURSORS,
)
