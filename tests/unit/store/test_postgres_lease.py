"""The lease in PostgreSQL: one session holds it, and only as long as it lives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.errors import ProjectionError
from tests.engine_process import wait_for
from tests.postgres_server import PostgresServer

psycopg = pytest.importorskip("psycopg", reason="the postgres extra is not installed")
from engine.store.postgres_lease import PostgresLease, lock_key  # noqa: E402  after the skip

Open = Callable[..., PostgresLease]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    running = PostgresServer()
    yield running
    running.stop()
    running.remove()


@pytest.fixture
def lease(server: PostgresServer) -> Iterator[Open]:
    opened: list[PostgresLease] = []

    def open_lease(*names: str) -> PostgresLease:
        opened.append(PostgresLease(server.url, names))
        return opened[-1]

    yield open_lease
    for each in opened:
        each.close()


def wait_taken(lease: PostgresLease) -> None:
    """Wait until a lease is ours: a server needs a moment to see that a session has ended."""
    wait_for("a session that has ended", lambda: not lease.try_take(), 20.0)


def test_one_holds_it_and_asks_again_as_often_as_it_likes(lease: Open) -> None:
    first, second = lease("a"), lease("a")
    assert [first.try_take() for _ in range(3)] == ["", "", ""]
    assert "process" in second.try_take()
    first.close()
    wait_taken(second)
    assert "process" in first.try_take()


def test_who_gets_one_account_and_not_the_other_gets_none(lease: Open) -> None:
    first, both, third = lease("a"), lease("a", "b"), lease("b")
    assert first.try_take() == ""
    assert both.try_take()
    assert third.try_take() == "", "what was got beside the refused one was given back"
    third.close()
    first.close()
    wait_taken(both)
    assert lease("b").try_take()


def test_accounts_are_apart(lease: Open) -> None:
    assert [lease(name).try_take() for name in ("a", "b", "c")] == ["", "", ""]


def test_the_holder_is_named(lease: Open) -> None:
    first = lease("a")
    assert first.try_take() == ""
    said = lease("a").try_take()
    assert said.startswith("process ")
    assert " of " in said


def test_a_process_that_is_killed_holds_nothing(lease: Open, server: PostgresServer) -> None:
    program = (
        "import sys, time\n"
        "from engine.store.postgres_lease import PostgresLease\n"
        "held = PostgresLease(sys.argv[1], ['a'])\n"
        "print(repr(held.try_take()), flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, server.url]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "''\n"
        ours = lease("a")
        said = ours.try_take()
        assert said.startswith(f"process {holder.pid} of ")
        holder.kill()
        holder.wait()
    wait_taken(ours)


def test_a_server_that_goes_away_is_told_without_the_address_and_taken_again(
    lease: Open, server: PostgresServer
) -> None:
    ours, other = lease("a"), lease("a")
    assert ours.try_take() == ""
    server.stop()
    for each in (ours, other):
        with pytest.raises(ProjectionError) as raised:
            each.try_take()
        assert "is away" in str(raised.value)
        assert server.url not in str(raised.value)
    server.start()
    wait_taken(ours)
    assert other.try_take()


def test_who_comes_back_second_finds_it_taken(lease: Open, server: PostgresServer) -> None:
    ours, other = lease("a"), lease("a")
    assert ours.try_take() == ""
    server.stop()
    server.start()
    assert other.try_take() == ""
    with pytest.raises(ProjectionError):  # the connection is found broken first
        ours.try_take()
    assert ours.try_take().startswith("process ")


@given(st.lists(st.text(), unique=True, max_size=50))
def test_keys_are_numbers_of_64_bits_and_differ(names: list[str]) -> None:
    keys = [lock_key(name) for name in names]
    assert len(set(keys)) == len(keys)
    assert all(-(1 << 63) <= key < 1 << 63 for key in keys)
