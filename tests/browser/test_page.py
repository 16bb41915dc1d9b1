"""The page in a real browser, on a real engine: it shows the market and its buttons work."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chromium import Browser
from tests.engine_process import Engine, wait_for, wanting
from tests.page_rig import as_on_a_phone, log_in, press, state, text, token_of, within

pytestmark = [pytest.mark.browser, pytest.mark.slow]


# A strategy that wants to enter at many quotes, and every entry waits for a word. A browser beside
# the engine may take every core for seconds: no role is hung for that.
CONFIG = """
strategies = ["often"]
heartbeat_timeout_ms = 60000
[approval]
notional = 1.0
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("home")
    config = home / "page.toml"
    config.write_text(CONFIG + wanting(0.5), encoding="utf-8")
    words = ("--generate", "2", "--seed", "3", "--config", str(config))
    running = Engine(home, *words, "--name", f"page{os.getpid()}")
    try:
        running.wait_ready()
        yield running
        code, output, errors = running.terminate()
        assert code == 0, f"{output}\n{errors}"
    finally:
        running.kill()


def test_the_page_shows_money_roles_and_instruments(page: Browser) -> None:
    assert page.evaluate(text("#money")) == "practice money"
    assert page.wait(f"{text('#roles')}.includes('READY')")
    assert page.wait(f"{text('#instruments')}.includes(' live')")
    prices = (
        "[...document.querySelectorAll('#instruments tr td:nth-child(2)')].map(t=>+t.textContent)"
    )
    assert page.wait(f"{prices}.some(price => price > 0)")
    assert page.wait(f"{text('#feeds')}.includes('up')")
    assert page.evaluate(text("#banner")) == ""


# As of a busy venue: the page asks again.
FIRST_CONFIRMATION_LATE = """{
    const real = window.fetch;
    let late = 1;
    window.fetch = (url, more) => String(url).endsWith("confirm_halt") && late-- > 0
        ? Promise.resolve(new Response('{"error": "late"}', {status: 409}))
        : real(url, more);
    0
}"""


def test_this_machine_may_halt_and_the_venue_confirms_it(page: Browser, engine: Engine) -> None:
    assert page.wait("!document.getElementById('halt').disabled")
    assert page.evaluate("document.getElementById('acts').hidden"), "that needs a login"
    page.evaluate(FIRST_CONFIRMATION_LATE)
    page.evaluate("document.getElementById('halt').click()")
    page.wait(f"{text('#state')} === 'HALTED'")
    page.wait(f"{text('#banner')}.includes('the venue shows no open order')")
    assert state(engine) == "HALTED"


def test_a_wrong_token_is_told_and_the_right_one_resumes(page: Browser, engine: Engine) -> None:
    page.wait(f"{text('#who')}.includes('log in')")
    page.provoke("401 (Unauthorized)")
    log_in(page, "wrong")
    page.wait(f"{text('#loginerror')}.includes('wrong')")
    log_in(page, token_of(engine))
    page.wait(f"{text('#who')}.includes('log out')")
    assert page.wait("document.getElementById('acts')?.hidden === false")
    page.wait("document.getElementById('resume')?.hidden === false")
    press(page, "#resume")
    page.wait(f"{text('#state')} === 'ENABLED'")
    wait_for("the engine to be enabled", lambda: state(engine) == "ENABLED")
    page.evaluate("document.getElementById('who').click()")
    page.wait(f"{text('#who')}.includes('log in')")
    assert page.evaluate("document.getElementById('acts').hidden")


def mode_of(part: str) -> str:
    return f"document.querySelector('select[aria-label=\"mode of {part}\"]')"


def give_mode(page: Browser, part: str, mode: str, reason: str) -> None:
    page.wait(f"{mode_of(part)}?.disabled === false")
    page.evaluate(
        f"{mode_of(part)}.value = {mode!r}; {mode_of(part)}.dispatchEvent(new Event('change'))"
    )
    assert page.evaluate("document.getElementById('ask').open")
    page.evaluate(f"document.getElementById('reason').value = {reason!r}")
    page.evaluate("document.getElementById('askyes').click()")


def test_a_strategy_gets_a_mode_and_a_milder_one_needs_a_reason(
    page: Browser, engine: Engine
) -> None:
    part = "strategy:often"
    page.wait(f"{mode_of(part)}?.disabled === true")
    assert "Log in as an operator" in page.evaluate(text("#partsays"))
    log_in(page, token_of(engine))
    give_mode(page, part, "shadow", "")
    page.wait(f"{mode_of(part)}?.value === 'shadow'")
    page.wait(f"{text('#scopes')}.includes('strategies (1 not live)')")
    page.provoke("409 (Conflict)")
    give_mode(page, part, "live", "")
    page.wait(f"{text('#banner')}.includes('needs a reason')")
    assert page.evaluate(f"{mode_of(part)}.value") == "shadow", (
        "it shows what is, not what was asked"
    )
    give_mode(page, part, "live", "browser test")
    page.wait(f"{mode_of(part)}?.value === 'live'")
    page.wait(f"{text('#trail')}.includes('set_module_state strategy:often live')")
    for scope, shown in (("instrument", "BTCUSDT"), ("regime", "wild"), ("module", "orderflow")):
        page.evaluate(f"document.querySelector('[data-scope={scope}]').click()")
        page.wait(f"{text('#parts')}.includes({shown!r})")


def test_market_data_goes_to_other_lines_and_gaps_are_looked_for(
    page: Browser, engine: Engine
) -> None:
    assert page.evaluate("document.querySelectorAll('#lines button:disabled').length") == 3
    log_in(page, token_of(engine))
    page.wait("document.querySelectorAll('#lines button:enabled').length === 3")
    page.wait(f"{text('#feeds')}.includes('in reserve')")
    for which, told in (
        ("second", "go to their second lines"),
        ("first", "first lines"),
        ("gaps", "nothing is missing"),
    ):
        press(page, f"[data-feed={which}]", "")
        assert page.wait(f"{text('#banner')}.includes({told!r})")
    page.wait(f"{text('#trail')}.includes('switch_primary_feeds')")
    page.wait(f"{text('#trail')}.includes('trigger_reconcile_gap')")


@pytest.mark.parametrize("word", ["Approve", "Reject"])
def test_an_entry_that_waits_is_approved_or_rejected(
    page: Browser, engine: Engine, word: str
) -> None:
    button = f"document.querySelector('button[aria-label^=\"{word} entry\"]')"
    page.wait(f"{text('#waits')}.includes('wait')")
    page.wait(f"{button}?.disabled === true")
    log_in(page, token_of(engine))
    page.wait(f"{button}?.disabled === false")
    number = page.evaluate(f"{button}.ariaLabel").rpartition(" ")[2]
    press(page, f'button[aria-label="{word} entry {number}"]', "")
    said = {"Approve": "approved", "Reject": "rejected"}[word]
    page.wait(f"{text('#banner')}.includes('number {number} {said}')")
    page.wait(f"!document.querySelector('button[aria-label=\"{word} entry {number}\"]')")
    page.wait(f"{text('#trail')}.includes('{word.lower()}_intent {number}')")


def test_the_trail_is_searched(page: Browser) -> None:
    page.wait(f"{text('#trail')}.includes('halt')")
    page.evaluate("document.getElementById('whose').value = 'no such word'")
    page.evaluate("document.getElementById('whose').oninput()")
    assert page.evaluate(text("#trail")) == "nothing found"


def test_the_page_shows_results_limits_histogram_journal_and_audit(page: Browser) -> None:
    page.wait(f"{text('#limits')}.includes('entries today')")
    page.wait(f"{text('#balance')}.includes('sums to zero')")
    page.wait("document.querySelectorAll('#histogram rect').length > 0")
    page.wait(f"{text('#waterfall')} !== ''")
    page.wait(f"{text('#nomodels')}.includes('No model is loaded')")
    page.wait(f"{text('#models')}.includes('Missing: the model registry')")
    page.wait(f"{text('#trail')}.includes('halt')")
    for words, shown in (
        ("reconciled", "includes('RECONCILED')"),
        ("no such word", "trim() === 'nothing found'"),
    ):
        page.evaluate(f"document.getElementById('words').value = {words!r}")
        page.evaluate("document.querySelector('#find button').click()")
        page.wait(f"{text('#found')}.{shown}")


REFUSED_AGAIN = """(async () => {
    const real = window.fetch;
    const row = (time, refused_by) => ({time, refused_by, event: "decision", side: "BUY",
        instrument: "BTCUSDT", strategy: "often", reason: "QUOTE_IMBALANCE"});
    const answer = {rows: [row("4", "TRADING_STATE"), row("3", ""), row("2", ""),
        row("1", "TRADING_STATE"), row("0", "PRICE_AGE")]};
    window.fetch = async (url, more) => !String(url).startsWith("/v1/search_journal")
        ? real(url, more) : new Response(JSON.stringify(answer));
    await its.searchJournal();
    return [...document.getElementById("found").tBodies[0].rows].map(r => r.textContent);
})()"""


def test_a_decision_refused_again_and_again_is_one_row_of_the_journal(page: Browser) -> None:
    said = "decisionBTCUSDToftenBUY quote imbalance"
    assert page.evaluate(within("reports", REFUSED_AGAIN)) == [
        f"4{said} refused: TRADING_STATE · 2 times",
        f"3{said}",
        f"2{said}",
        f"0{said} refused: PRICE_AGE",
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_page_fits_a_phone_in_both_themes(page: Browser, theme: str) -> None:
    page.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": theme}],
    )
    as_on_a_phone(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    style = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(style) == theme
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(style) != theme


# The buttons of which something stands outside of the box in which they scroll, or of the window.
CUT = """[...document.querySelectorAll('button')].filter(button => {
    const {left, right, width} = button.getBoundingClientRect();
    const box = (button.closest('.scroll,section') ?? document.body).getBoundingClientRect();
    return width && (left < Math.max(0, box.left) || right > Math.min(innerWidth, box.right));
}).map(button => button.ariaLabel || button.textContent)"""


def test_no_button_is_cut_off_on_a_phone(page: Browser) -> None:
    as_on_a_phone(page)
    page.wait("document.querySelectorAll('#waiting button').length >= 2")
    page.evaluate(
        "document.querySelectorAll('#acts, #resume, #older').forEach(e => e.hidden = false)"
    )
    assert page.evaluate(CUT) == []


def test_every_button_has_a_name_and_is_reached_by_key(page: Browser) -> None:
    found = page.evaluate(
        "[...document.querySelectorAll('button,input,select')].map(e => [e.tabIndex, "
        "(e.textContent || e.ariaLabel || e.placeholder || '').trim(), e.outerHTML])"
    )
    assert [html for index, name, html in found if index < 0 or not name] == []


def test_the_page_makes_no_foreign_request(page: Browser, engine: Engine) -> None:
    names = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in names if not name.startswith((engine.url, "data:"))] == []


def test_what_has_the_focus_keeps_it_while_the_page_is_updated(page: Browser) -> None:
    page.wait("document.querySelector('#instruments a') !== null")
    page.evaluate("document.querySelector('#instruments a').focus(); showings = 0")
    page.wait(within("live", "its.connection.stream !== null"))
    heard = "its.connection.stream.addEventListener('message', () => showings++)"
    page.evaluate(within("live", heard))
    page.wait("showings >= 5")
    assert page.evaluate("document.activeElement.matches('#instruments a')")


# Gains and losses of cents in turns of a thousand fills, and what they come to.
MANY_FILLS = """(() => {
    const kept = its.unread();
    let sum = 0, peak = 0, deep = 0;
    for (let n = 0; n < 100000; n++) {
        const realised_pnl = Math.floor(n / 1000) % 2 ? -2 : 1;
        its.add(kept, {realised_pnl, fee: 0.5});
        sum += realised_pnl - 0.5; peak = Math.max(peak, sum); deep = Math.max(deep, peak - sum);
    }
    const falls = kept.points.map(point => point[1]), last = kept.points.at(-1)[0];
    return {points: kept.points.length, count: kept.count, sum: kept.sum === sum, far: last - sum,
        deep: kept.deepest === deep && Math.max(...falls, kept.fall) === deep};
})()"""


def test_the_curve_of_many_fills_is_bounded_and_keeps_its_depth(page: Browser) -> None:
    found = page.evaluate(within("fills", MANY_FILLS))
    assert 600 <= found.pop("points") < 1200
    assert abs(found.pop("far")) < 128 * 2.5, "fills of less than one point are not drawn yet"
    assert found == {"count": 100_000, "sum": True, "deep": True}
