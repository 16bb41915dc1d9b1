"""Which entries count of a day's: those that filled, or still may."""

from engine.domain.codes import OrderStatus
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.words import Word
from tests.desk_rig import BID, GENEROUS, DeskRig


def connected(entries_per_day_max: int = 1_000) -> DeskRig:
    rig = DeskRig(GENEROUS._replace(entries_per_day_max=entries_per_day_max))
    rig.connect()
    return rig


def test_an_entry_that_never_filled_gives_its_place_back() -> None:
    rig = connected(entries_per_day_max=1)
    order = rig.order(1, 10, price=BID)
    assert RiskReason.ENTRIES_PER_DAY in reasons_of(int(rig.propose(1, 10)[1]["refusal_mask"]))
    rig.update(order, OrderStatus.EXPIRED)
    assert rig.word(Word.DAY_ENTRY_COUNT) == 0
    second = rig.order(1, 10)
    rig.fill(second, 1, 4, order_status=3, cum_qty_lots=4)
    rig.update(second, OrderStatus.CANCELED, cum_qty_lots=4)
    assert rig.word(Word.DAY_ENTRY_COUNT) == 1


def test_a_late_fill_takes_the_place_again() -> None:
    rig = connected()
    order = rig.order(1, 10)
    rig.update(order, OrderStatus.EXPIRED)
    assert rig.word(Word.DAY_ENTRY_COUNT) == 0
    rig.fill(order, 1, 4, order_status=9, cum_qty_lots=4)
    assert rig.word(Word.DAY_ENTRY_COUNT) == 1
