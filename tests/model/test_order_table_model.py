"""Every status under every stimulus, one after the other, against a twin without a table."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.domain.codes import OrderStatus
from engine.domain.orders import (
    ORDER_DTYPE,
    TERMINAL,
    Stimulus,
    is_settled,
    merge,
    reserved_lots,
)
from tests.plain_order import CLOSED, PlainOrder

S = OrderStatus
QUANTITIES = st.integers(1, 12)


class OrderTable(RuleBasedStateMachine):
    """One order as a row of the store, and as plain sentences."""

    @initialize(qty=QUANTITIES)
    def start(self, qty: int) -> None:
        self.rows = np.zeros(1, dtype=ORDER_DTYPE)
        self.rows["status"], self.rows["qty_lots"] = S.PENDING_NEW, qty
        self.plain = PlainOrder(qty)
        self.now_ns = 0
        self.cum_before = 0

    @rule(stimulus=st.sampled_from(Stimulus), said=st.integers(0, 14), fill=st.integers(0, 3))
    def report(self, stimulus: Stimulus, said: int, fill: int) -> None:
        """Whatever is said, with whatever total, and perhaps with a fill."""
        before = self.rows[0].copy()
        self.now_ns += 1
        changed = merge(self.rows, 0, stimulus, said, fill, self.now_ns)
        self.plain.hear(stimulus, said, fill)
        after = self.rows[0]
        names = ("status", "cum_qty_lots", "filled_lots")
        assert changed == any(before[name] != after[name] for name in names)
        assert (after["changed_ns"] == self.now_ns) == changed

    @rule()
    def look_up(self) -> None:
        """A lookup is under way: what the venue says next is a verdict."""
        self.rows["query_count"] += 1
        self.plain.queries += 1

    @rule(more=QUANTITIES)
    def amend_to_more(self, more: int) -> None:
        """Somebody asked the venue for more; the store takes it over of an open order."""
        if self.plain.status not in CLOSED:
            self.rows["qty_lots"] += more
            self.plain.qty += more

    @invariant()
    def the_table_says_what_the_sentences_say(self) -> None:
        row, plain = self.rows[0], self.plain
        assert S(int(row["status"])) == plain.status
        found = (row["qty_lots"], row["cum_qty_lots"], row["filled_lots"], row["acknowledged"])
        assert found == (plain.qty, plain.cum, plain.filled, plain.acknowledged)

    @invariant()
    def totals_agree_and_only_grow(self) -> None:
        row = self.rows[0]
        assert 0 <= row["filled_lots"] <= row["cum_qty_lots"] <= row["qty_lots"]
        assert row["cum_qty_lots"] >= self.cum_before
        self.cum_before = int(row["cum_qty_lots"])

    @invariant()
    def what_it_may_still_do_is_what_is_not_filled(self) -> None:
        plain = self.plain
        top = plain.cum if plain.status in CLOSED else plain.qty
        assert reserved_lots(self.rows, 0) == top - plain.filled
        settled = plain.status in CLOSED and plain.cum == plain.filled
        assert is_settled(self.rows, 0) == settled
        assert bool(TERMINAL[self.rows["status"][0]]) == (plain.status in CLOSED)


TestOrderTable = OrderTable.TestCase
TestOrderTable.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
