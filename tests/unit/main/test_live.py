"""The live stream: one reader for all pages, and a page that comes back misses no event."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.responses import StreamingResponse

from engine.store.pages import SessionPages
from engine.web import live
from tests.api_rig import SESSION, Board, Served, serving
from tests.engine_process import wait_for


class Pages:
    """A session's events, as many as there are by now."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.reads = 0

    def events(self, session: str, after: int, limit: int) -> list[dict[str, Any]]:
        assert session == SESSION
        self.reads += 1
        found = [number for number in self.sequences if number > after][:limit]
        return [{"event": "fill", "sequence": number} for number in found]

    def last_sequence(self, _session: str) -> int:
        return max(self.sequences, default=-1)


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def served(tmp_path: Path, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(live, "PERIOD_S", 0.02)
    monkeypatch.setattr(live, "UNCHANGED_S", 0.0)
    monkeypatch.setattr(live, "EVENTS_AT_HAND", 4)
    monkeypatch.setattr("tests.api_rig.SessionPages", lambda *_: pages)
    with serving(tmp_path) as made:
        yield made


class Stream:
    """One page that watches."""

    def __init__(self, served: Served, path: str = "/v1/stream", last: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", served.api.port, timeout=20)
        headers = {"Last-Event-ID": last} if last else {}
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()

    def fields(self) -> dict[str, str]:
        """Return the fields of the next event."""
        found = {}
        while line := self.answer.readline().strip().decode():
            name, _, text = line.partition(": ")
            found[name] = text
        return found

    def next(self, event: str) -> dict[str, str]:
        """Return the fields of the next event of this name."""
        while True:
            found = self.fields()
            if found.get("event") == event:
                return found

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def place(fields: dict[str, str]) -> int:
    """Return the sequence of an event."""
    return int(fields["id"].rpartition(":")[2])


def test_events_come_with_their_place(served: Served, pages: Pages) -> None:
    stream = Stream(served)
    assert json.loads(stream.next("status")["data"]) == served.board.status()
    pages.sequences.append(7)
    found = stream.next("fill")
    assert found["id"] == f"{SESSION}:7"
    assert json.loads(found["data"])["sequence"] == 7
    stream.close()


def test_what_happened_before_is_not_told_to_a_first_comer(served: Served, pages: Pages) -> None:
    pages.sequences.extend([1, 2, 3])
    stream = Stream(served)
    stream.next("status")
    pages.sequences.append(9)
    assert stream.next("fill")["id"].endswith(":9")
    stream.close()


def test_a_page_that_comes_back_goes_on_where_it_was(served: Served, pages: Pages) -> None:
    pages.sequences.extend(range(20))  # more than is at hand
    stream = Stream(served, last=f"{SESSION}:4")
    assert [stream.next("fill")["id"] for _ in range(15)] == [
        f"{SESSION}:{number}" for number in range(5, 20)
    ]
    pages.sequences.append(20)
    assert stream.next("fill")["id"] == f"{SESSION}:20"
    stream.close()


def test_a_page_of_another_session_is_told_so(served: Served, pages: Pages) -> None:
    pages.sequences.append(1)
    for last in ("20250101t000000-9:4", f"{SESSION}:x", "nonsense", f"{SESSION}:-1"):
        stream = Stream(served, last=last)
        assert json.loads(stream.next("restarted")["data"]) == {"session": SESSION}
        stream.next("status")
        stream.close()


def test_many_pages_are_one_reader(served: Served, pages: Pages) -> None:
    streams = [Stream(served) for _ in range(20)]
    for stream in streams:
        stream.next("status")
    before = pages.reads
    for _ in range(5):
        streams[0].next("status")
    assert pages.reads - before <= 10
    for stream in streams:
        stream.close()


class Source:
    """A status, and how often it was asked for."""

    def __init__(self) -> None:
        self.looks = 0
        self.state = "ENABLED"
        self.loop = asyncio.get_running_loop()
        self.looked_often = asyncio.Event()

    def status(self) -> dict[str, Any]:
        self.looks += 1
        if self.looks == 20:
            self.loop.call_soon_threadsafe(self.looked_often.set)
        return {"trading_state": self.state, "uptime_s": self.looks}


async def sent(page: StreamingResponse) -> bytes:
    """Return what a page is sent next."""
    chunk = await anext(aiter(page.body_iterator))
    assert isinstance(chunk, bytes)
    return chunk


def test_every_page_is_sent_the_same_bytes_made_once(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.0)

    async def watch() -> None:
        source = Source()
        streams = live.LiveStreams(source.status, cast("SessionPages", pages), SESSION)
        watching = [streams.response(lambda: True, "") for _ in range(50)]
        first = await asyncio.gather(*(sent(page) for page in watching if page))
        assert len(set(first)) == 1
        pages.sequences.append(3)
        second = await asyncio.gather(*(sent(page) for page in watching if page))
        assert len({id(chunk) for chunk in second}) == 1, "one object for fifty pages"
        assert second[0].endswith(b'{"event":"fill","sequence":3}\n\n')
        for _ in watching:
            streams.leave()

    asyncio.run(watch())


def test_a_status_without_news_is_not_sent_again(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.0)
    monkeypatch.setattr(live, "UNCHANGED_S", 3_600.0)

    async def watch() -> None:
        source = Source()
        streams = live.LiveStreams(source.status, cast("SessionPages", pages), SESSION)
        page = streams.response(lambda: True)
        assert page is not None
        assert json.loads((await sent(page))[6:])["trading_state"] == "ENABLED"
        following = asyncio.create_task(sent(page))
        await source.looked_often.wait()
        assert not following.done(), "that it is later is no news"
        source.state = "HALTED"
        assert json.loads((await following)[6:])["trading_state"] == "HALTED"
        monkeypatch.setattr(live, "UNCHANGED_S", 0.0)
        assert json.loads((await sent(page))[6:])["trading_state"] == "HALTED", "it still lives"
        streams.leave()

    asyncio.run(watch())


def test_a_slow_page_is_sent_the_newest_status_and_every_event(
    tmp_path: Path, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter(range(100_000))

    def status(_board: Board) -> dict[str, Any]:
        number = next(made)
        pages.sequences.append(number)
        return {"number": number, "big": "x" * 500_000}

    monkeypatch.setattr(live, "PERIOD_S", 0.01)
    monkeypatch.setattr(Board, "status", status)
    monkeypatch.setattr("tests.api_rig.SessionPages", lambda *_: pages)
    with serving(tmp_path) as served:
        slow, quick = Stream(served), Stream(served)
        slow.next("status")
        reached = 0
        while reached < 100:
            reached = json.loads(quick.next("status")["data"])["number"]
        quick.close()
        statuses, events = [], [place(slow.next("fill"))]
        while events[-1] < reached:
            fields = slow.fields()
            if fields["event"] == "status":
                statuses.append(json.loads(fields["data"])["number"])
            else:
                events.append(place(fields))
        slow.close()
    assert events == list(range(events[0], events[-1] + 1)), "not one was left out"
    assert statuses == sorted(set(statuses))
    assert len(statuses) < 50, "those it had no time for were not kept for it"


def test_there_are_no_more_pages_than_places(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CLIENTS_MAX", 2)
    streams = [Stream(served) for _ in range(3)]
    assert [stream.answer.status for stream in streams] == [200, 200, 503]
    for stream in streams:
        stream.close()

    def free() -> bool:
        stream = Stream(served)
        stream.close()
        return stream.answer.status == 200

    wait_for("a place that is free again", free)


def test_a_status_that_fails_ends_the_stream_and_the_next_page_reads_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: live.LiveStreams) -> None:
        raise OSError("no status")

    stream = Stream(served, "/events")
    assert stream.answer.readline().startswith(b"data: ")
    with monkeypatch.context() as patch:
        patch.setattr(live.LiveStreams, "_look", fail)
        while stream.answer.readline():
            pass
    stream.close()
    again = Stream(served, "/events")
    assert again.answer.readline().startswith(b"data: ")
    again.close()
