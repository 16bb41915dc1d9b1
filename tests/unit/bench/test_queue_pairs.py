"""The usual ways between two processes: what comes out is what went in, and a fault is seen."""

import pytest

from bench.ring_peers import USUAL, usual_ways
from bench.sides.queue_pairs import RECORD, Channel, FifoChannel, consume, producing, queue_pass

CORES = (0, 0)


def record(sequence: int, sent_ns: int = 1, due_ns: int = 1) -> bytes:
    return RECORD.pack(sequence, sent_ns, due_ns, *range(sequence, sequence + 5))


def test_a_record_is_64_bytes() -> None:
    assert RECORD.size == 64


def test_consume_gives_the_time_since_sent_and_since_due() -> None:
    records = iter([record(0, sent_ns=20, due_ns=10), record(1, sent_ns=40, due_ns=40)])
    pairs, first_ns = consume(lambda: next(records), 2)
    assert first_ns == 20
    assert (pairs[0, 1] - pairs[0, 0], pairs[1, 1] - pairs[1, 0]) == (10, 0)


@pytest.mark.parametrize(
    "second", [record(2), record(0), record(1)[:24] + record(2)[24:]], ids=["lost", "again", "torn"]
)
def test_consume_fails_on_a_wrong_record(second: bytes) -> None:
    records = iter([record(0), second])
    with pytest.raises(AssertionError):
        consume(lambda: next(records), 2)


@pytest.mark.parametrize("name", [*USUAL, "faster-fifo", "faster-fifo, 64 at once"])
def test_every_way_carries_records_between_processes(name: str) -> None:
    ways = usual_ways()
    if name not in ways:
        pytest.skip("faster-fifo is not installed")
    found = queue_pass(ways[name], CORES, "batch", 128, 0)
    assert found["records per second"] > 0


def test_a_paced_pass_counts_every_record() -> None:
    found = queue_pass(USUAL["multiprocessing.Pipe"], CORES, "paced", 20, 100_000)
    assert found["count"] == 20
    assert found["p50 since due"] >= found["p50"] > 0


def test_the_producer_is_ended_when_the_consumer_fails() -> None:
    channel: Channel = USUAL["multiprocessing.Pipe"]()
    with pytest.raises(RuntimeError, match="stop here"), producing(channel, CORES, 1, 0):
        raise RuntimeError("stop here")


def test_faster_fifo_gives_whole_blocks_only() -> None:
    pytest.importorskip("faster_fifo")
    channel = FifoChannel(many=True)
    put = channel.putter()
    for sequence in range(64):
        put(record(sequence))
    take = channel.taker()
    assert [RECORD.unpack(take())[0] for _ in range(64)] == list(range(64))
    channel.close()
