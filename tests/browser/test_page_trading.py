"""The page of an engine that trades: its newest fills, and charts that fit a phone too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chromium import Browser
from tests.engine_process import Engine, fetch
from tests.page_rig import as_on_a_phone, stop, text, trading, within

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOWN = 50
COLUMNS = [
    "time",
    "instrument",
    "side",
    "quantity",
    "price",
    "fee",
    "realised",
    "order",
    "strategy",
]
ROWS = (
    "[...document.querySelectorAll('#fills tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
)


# As if a round of questions never ended: what comes, comes by the stream.
NO_MORE_ROUNDS = within("live", "!its.connection.isAsking && (its.connection.isAsking = true)")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    running = trading(tmp_path_factory.mktemp("home"), seed=3, fills=SHOWN + 5)
    yield running
    stop(running)


def fills(expression: str) -> str:
    """Return the expression of something of the fills that the page has read."""
    return within("fills", f"its.book.fills.{expression}")


def journal_rows(engine: Engine) -> list[list[str]]:
    """Return the session's fills as the page writes them, by the numbers of the journal."""
    found = (fetch(engine.url, "/v1/get_trade_journal?limit=1000") or {})["rows"]
    return [
        [
            *(row[name] for name in ("time", "instrument", "side", "quantity", "price")),
            f"{row['fee']:.4f}",
            signed(row["realised_pnl"]),
            row["order_id"],
            row["strategy"],
        ]
        for row in found
    ]


def signed(result: float) -> str:
    """Return a result as the page writes it: none has no sign."""
    text = f"{abs(result):.4f}"
    sign = "+" if result > 0 else "\N{MINUS SIGN}"
    return text if float(text) == 0.0 else sign + text


def test_the_newest_fills_are_shown_newest_first_and_no_more_than_fit(
    page: Browser, engine: Engine
) -> None:
    page.wait(fills(f"count > {SHOWN}"))
    loaded = page.evaluate(fills("count"))
    page.wait(fills(f"count > {loaded}"))  # of a page loaded, and of one that was told of more
    heads = "[...document.querySelectorAll('#fills th')].map(h => h.textContent)"
    assert page.evaluate(heads) == COLUMNS
    shown = page.evaluate(ROWS)
    assert len(shown) == SHOWN
    booked = journal_rows(engine)
    newest = booked.index(shown[0]) + 1
    assert shown == booked[newest - SHOWN : newest][::-1]


def test_a_fill_that_comes_is_shown_before_the_next_slow_round(page: Browser) -> None:
    page.wait(fills("count > 0"))
    page.wait(NO_MORE_ROUNDS)
    before = page.evaluate(fills("count"))
    assert page.wait(fills(f"count > {before}"))


def test_fills_are_reached_by_key_and_scroll_inside_a_phone(page: Browser) -> None:
    as_on_a_phone(page)
    page.wait(fills("count > 0"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = "document.getElementById('fills').parentElement"
    assert page.evaluate(f"{box}.scrollWidth > {box}.clientWidth"), "what is wider scrolls in it"
    assert page.evaluate(f"[{box}.tabIndex, {box}.role, {box}.ariaLabel]") == [
        0,
        "region",
        "Latest fills",
    ]
    page.evaluate(f"{box}.focus()")
    for _ in range(3):
        for kind in ("rawKeyDown", "keyUp"):
            page.call(
                "Input.dispatchKeyEvent", type=kind, key="ArrowRight", windowsVirtualKeyCode=39
            )
    page.wait(f"{box}.scrollLeft > 0")


# Every text of a chart of which something stands outside of the chart.
CUT = """[...document.querySelectorAll('svg.plot text')].filter(text => {
    const box = text.getBoundingClientRect(), whole = text.ownerSVGElement.getBoundingClientRect();
    return box.left < whole.left - 1 || box.right > whole.right + 1
        || box.top < whole.top - 1 || box.bottom > whole.bottom + 1;
}).map(text => text.textContent)"""


@pytest.mark.parametrize("width", [360, 1280])
def test_no_text_of_a_chart_is_cut_off(page: Browser, width: int) -> None:
    if width == 360:
        as_on_a_phone(page)
    page.evaluate(within("charts", "Promise.all([its.showWaterfall(), its.showHistogram()])"))
    for chart in ("waterfall", "histogram"):
        page.wait(f"document.querySelectorAll('#{chart} text').length >= 4")
    assert page.evaluate(CUT) == []


def test_a_difference_of_percentiles_is_not_called_one(page: Browser) -> None:
    page.wait(f"{text('#waterfall')}.includes('decided')")
    stages = page.evaluate(
        "[...document.querySelectorAll('#waterfall text')].map(t=>t.textContent)"
    )
    assert [stage.split(" (")[0].rsplit(" ", 2)[0] for stage in stages] == [
        "in the ring",
        "decided",
        "first byte",
        "tick to order",
    ]
    assert ["p99" in stage for stage in stages] == [True, False, True, True]


def test_a_page_opened_late_reads_the_newest_fills_and_older_ones_when_asked(page: Browser) -> None:
    page.wait(fills("isWhole === true"))
    assert page.evaluate("document.getElementById('older').hidden"), "all are read"
    page.wait(NO_MORE_ROUNDS)
    page.evaluate(within("fills", "(its.book.depth = 10, its.forgetFills(), its.showFills())"))
    page.wait(fills("isWhole === false && !document.getElementById('older').hidden"))
    assert 10 <= page.evaluate(fills("count")) < SHOWN
    page.wait(f"/^newest [0-9]+ fills/.test({text('#result')})")
    page.evaluate("document.getElementById('older').click()")
    page.wait(fills("isWhole === false && its.book.fills.count >= 40"))
    page.evaluate(within("fills", "its.book.depth = 300_000"))
    page.evaluate("document.getElementById('older').click()")
    depth = page.evaluate(within("fills", "its.book.depth"))
    assert depth == 1_000_000, "as much as may be asked for"
    page.wait(fills("isWhole === true && document.getElementById('older').hidden"))
    assert page.evaluate(fills("count")) >= SHOWN
