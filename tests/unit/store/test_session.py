"""A session's document survives a round trip, and sessions are found in the order they ran."""

import resource
from pathlib import Path

import pytest

from engine.config import Config, VenueConfig
from engine.store.errors import SessionError
from engine.store.session import (
    DOCUMENT_NAME,
    SourceSeal,
    read_document,
    session_directory,
    session_of_engine,
    sessions,
    state_key,
    write_document,
)
from tests.store_builders import session_document


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    document = session_document(seals={"market": SourceSeal(next_sequence=7, digest="ab")})
    directory = tmp_path / document.session_id

    write_document(directory, document)

    assert read_document(directory) == document
    assert [path.name for path in directory.iterdir()] == [DOCUMENT_NAME]


def test_a_document_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    document = session_document()
    write_document(tmp_path / document.session_id, document)

    assert (tmp_path / document.session_id / DOCUMENT_NAME).stat().st_mode & 0o077 == 0


def test_a_document_that_a_disk_takes_only_in_part_leaves_the_one_before(tmp_path: Path) -> None:
    before = session_document()
    directory = tmp_path / before.session_id
    write_document(directory, before)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # a write beyond is cut, then fails
    try:
        with pytest.raises(OSError, match="File too large"):
            write_document(
                directory,
                session_document(seals={"market": SourceSeal(next_sequence=7, digest="ab")}),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert read_document(directory) == before


@pytest.mark.parametrize("text", ["", "{", '{"session_id": 3}', "[]"])
def test_a_damaged_document_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / DOCUMENT_NAME).write_text(text)

    with pytest.raises(SessionError, match=r"session\.json is damaged"):
        read_document(tmp_path)


def test_a_document_in_another_directory_is_refused(tmp_path: Path) -> None:
    document = session_document()
    write_document(tmp_path / document.session_id, document)
    (tmp_path / document.session_id).rename(tmp_path / "moved")

    with pytest.raises(SessionError, match="belongs to session"):
        read_document(tmp_path / "moved")


def test_a_missing_document_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no session document"):
        read_document(tmp_path / "nothing")


def test_sessions_come_oldest_first_whatever_their_names(tmp_path: Path) -> None:
    for name, epoch in (("b", 1), ("a", 3), ("c", 2)):
        document = session_document(session_id=name, epoch=epoch)
        write_document(tmp_path / "journal" / name, document)
    (tmp_path / "journal" / "without-document").mkdir()

    assert [document.epoch for _, document in sessions(tmp_path)] == [1, 2, 3]


def test_an_engine_finds_its_session_by_its_main_process(tmp_path: Path) -> None:
    for name, pid in (("a", 10), ("b", 11)):
        document = session_document(session_id=name, main_pid=pid, main_start_ticks=5)
        write_document(tmp_path / "state" / f"practice-{name}-paper" / "journal" / name, document)

    found = session_of_engine(tmp_path, 11, 5)

    assert found is not None
    assert found.name == "b"
    assert session_of_engine(tmp_path, 11, 6) is None


def test_state_is_kept_apart_by_venue_account_and_mode(tmp_path: Path) -> None:
    configs = [
        Config(home=str(tmp_path), session_id="s", trading_mode=mode, venue=venue)
        for mode in ("paper", "live")
        for venue in (VenueConfig(), VenueConfig(name="binance"), VenueConfig(account="second"))
    ]

    assert len({state_key(config) for config in configs}) == 6
    assert len({session_directory(config) for config in configs}) == 6


def test_clocks_convert_between_monotonic_and_wall_time() -> None:
    document = session_document(started_realtime_ns=1_000_000, started_monotonic_ns=400)

    assert document.realtime_ns(500) == 1_000_100


@pytest.mark.parametrize(
    ("epoch", "low", "expected"), [(5, 5, 5), (5, 4, 4), (256, 255, 255), (300, 44, 300), (3, 3, 3)]
)
def test_an_order_epoch_is_the_nearest_one_with_that_byte(
    epoch: int, low: int, expected: int
) -> None:
    assert session_document(epoch=epoch).order_epoch(low) == expected


def test_indices_have_names_only_inside_their_session() -> None:
    document = session_document()

    assert document.symbol(0) == "BTCUSDT"
    assert document.strategy(1) == "orderflow"
    assert (document.symbol(-1), document.symbol(9), document.strategy(-1)) == ("", "", "")
