"""Epochs: they rise on one home, and no home that is new or lost begins where another one did."""

from __future__ import annotations

import argparse
import base64
import time
from pathlib import Path

import msgspec
import pytest

from engine.config import Config, VenueConfig, shown
from engine.config_claims import ClaimsConfig
from engine.domain.client_id import CLIENT_ID_CHARACTERS_MAX, ClientId, encode_client_id
from engine.processes import practice, session_start
from engine.processes.engine_start import open_exchange
from engine.processes.practice import PracticeExchange
from engine.processes.strategy_rows import strategy_rows
from engine.store.projection import project_all
from engine.store.session import write_document
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from engine.venues.binance.signing import signer_of
from exchange.keys import public_key
from tests.order_api_client import pem_of
from tests.store_builders import session_document, write_session
from tests.store_events import position

OPTIONS = argparse.Namespace(exchange="http://127.0.0.1:1", account=None, resume=False)


def start(home: Path) -> Config:
    config = session_start.choose_account(Config(home=str(home)), OPTIONS, None)
    return session_start.begin_session(config)


def at(monkeypatch: pytest.MonkeyPatch, realtime_ns: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: realtime_ns)


def test_runs_on_one_home_count_up_by_one(tmp_path: Path) -> None:
    first = start(tmp_path).epoch
    assert [start(tmp_path).epoch for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_a_home_that_was_lost_repeats_no_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 1_800_000_000_000_000_000
    seen: list[int] = []
    for life in range(3):
        at(monkeypatch, now_ns)
        for _ in range(20):
            # Runs as fast as they can follow one another on a home; the clock of main moved on.
            seen.append(start(tmp_path / f"life-{life}").epoch)
            now_ns += session_start.EPOCH_STEP_NS
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen)


def test_a_clock_before_the_origin_still_gives_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 0)
    assert start(tmp_path).epoch == 1


def test_the_longest_id_of_a_first_epoch_fits_for_a_century(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, time.time_ns() + 100 * 366 * 86_400 * 1_000_000_000)
    identity = ClientId(start(tmp_path).epoch, 35, 36**6 - 1, 36**9 - 1)
    assert len(encode_client_id("zz", identity)) <= CLIENT_ID_CHARACTERS_MAX


@pytest.mark.parametrize("text", [None, "", "12x\n", "-5\n", f"{10**30}\n"])
def test_a_lost_counter_goes_on_behind_the_journal(tmp_path: Path, text: str | None) -> None:
    state = Path(Config(home=str(tmp_path)).state_dir)
    for session_id, epoch in (("s-1", 41), ("s-2", 42)):
        document = session_document(session_id=session_id, epoch=epoch)
        write_document(state / "journal" / session_id, document)
    if text is not None:
        (state / "epoch").write_text(text, encoding="ascii")
    assert start(tmp_path).epoch == 43
    assert (state / "epoch").read_text(encoding="ascii") == "43\n"


@pytest.mark.parametrize(("written", "next_epoch"), [("7\n", 43), ("41\n", 43), ("50\n", 51)])
def test_an_old_copy_of_the_counter_goes_on_behind_the_newest_session(
    tmp_path: Path, written: str, next_epoch: int
) -> None:
    state = Path(Config(home=str(tmp_path)).state_dir)
    for session_id, epoch in (("20260101t000000-1", 41), ("20260102t000000-1", 42)):
        document = session_document(session_id=session_id, epoch=epoch)
        write_document(state / "journal" / session_id, document)
    (state / "epoch").write_text(written, encoding="ascii")
    assert start(tmp_path).epoch == next_epoch


def test_a_counter_is_believed_beside_a_damaged_document(tmp_path: Path) -> None:
    session = Path(Config(home=str(tmp_path)).state_dir) / "journal" / "20260101t000000-1"
    session.mkdir(parents=True)
    (session / "session.json").write_text("{", encoding="ascii")
    (session.parent.parent / "epoch").write_text("7\n", encoding="ascii")
    assert start(tmp_path).epoch == 8


def test_the_number_is_on_disk_before_it_is_used(tmp_path: Path) -> None:
    config = start(tmp_path)
    assert int((Path(config.state_dir) / "epoch").read_text(encoding="ascii")) == config.epoch


def test_a_state_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a directory", encoding="ascii")
    with pytest.raises(session_start.StateError, match="cannot be written"):
        start(tmp_path)


def test_a_lost_counter_beside_a_damaged_journal_is_not_guessed(tmp_path: Path) -> None:
    session = Path(Config(home=str(tmp_path)).state_dir) / "journal" / "s-1"
    session.mkdir(parents=True)
    (session / "session.json").write_text("{", encoding="ascii")
    with pytest.raises(session_start.StateError, match="the epoch is lost; "):
        start(tmp_path)


def test_a_real_key_never_meets_a_practice_address(tmp_path: Path) -> None:
    venue = VenueConfig(api_key="real-key", api_secret="real-secret")
    exchange = PracticeExchange("https://venue.example")
    options = argparse.Namespace(exchange=exchange.url, account=None, resume=False)
    config = session_start.choose_account(
        Config(home=str(tmp_path), venue=venue), options, exchange
    )
    assert (config.venue.api_key, config.venue.api_secret) == ("practice", "practice")
    assert config.venue.rest_url == "https://venue.example"


def test_a_practice_pair_fits_together_and_is_new_each_time() -> None:
    ours, theirs = practice.key_pair()
    signature = base64.b64decode(signer_of(ours).sign(b"order"))
    public_key(theirs).verify(signature, b"order")
    assert signer_of(ours).logs_on
    assert practice.key_pair() != (ours, theirs)


def test_the_kind_of_the_configured_key_decides_the_kind_of_the_practice_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(_market: object, _ledger: Path, *, logs_on: bool) -> PracticeExchange:
        secret = "pair" if logs_on else practice.PRACTICE_KEY
        return PracticeExchange("http://127.0.0.1:1", secret=secret)

    monkeypatch.setattr(PracticeExchange, "start", started)
    options = argparse.Namespace(exchange=None, account="own", resume=True)
    for configured, expected in (("", "practice"), ("shared", "practice"), (pem_of(), "pair")):
        config = Config(home=str(tmp_path), venue=VenueConfig(api_secret=configured))
        exchange = open_exchange(config, options, practice.Market())
        venue = session_start.choose_account(config, options, exchange).venue
        assert (venue.api_key, venue.api_secret) == ("practice", expected)


def trades(wins: int, losses: int) -> list[dict[str, object]]:
    """Return the positions of a strategy, opened and closed."""
    found = []
    for k in range(wins + losses):
        made = 100 if k < wins else -100
        found += [position(0, 1, 5), position(0, 1, 0, realised_pnl_e8=made)]
    return found


def home_with_record(home: Path, *, learn: bool) -> Config:
    """Return what a start concludes where the account's `orderflow` won 12 of 40."""
    config = Config(home=str(home), claims=ClaimsConfig(learn=learn))
    state = Path(config.state_dir)
    write_session(state, *trades(12, 28), is_end=True)
    database = SqliteDatabase(state / DATABASE_NAME)
    project_all(database, state)
    database.close()
    return session_start.begin_session(config)


def test_claims_are_learned_from_the_account_s_record_and_written_into_the_session(
    tmp_path: Path,
) -> None:
    config = home_with_record(tmp_path, learn=True)
    claim = config.claims.learned["orderflow"]
    assert 0.0 < claim < 0.5, "less than it claimed: it won 12 of 40"
    assert set(config.claims.learned) == {"orderflow"}, "the other has no record"
    rows = {row.name: row for row in strategy_rows(config)}
    assert rows["orderflow"].parameters["claim"] == claim
    assert rows["orderflow"].parameters["edge_min_bps"] == 0.0
    assert "claim" not in rows["smc_fvg_bos"].parameters
    told = msgspec.convert(shown(config), Config)
    assert strategy_rows(told) == strategy_rows(config), "the session's document says the same"


def test_nothing_is_learned_unless_it_is_asked_for(tmp_path: Path) -> None:
    config = home_with_record(tmp_path, learn=False)
    assert config.claims.learned == {}
    assert strategy_rows(config) == strategy_rows(Config())


def test_a_new_account_learns_nothing(tmp_path: Path) -> None:
    config = Config(home=str(tmp_path), claims=ClaimsConfig(learn=True))
    assert session_start.begin_session(config).claims.learned == {}
