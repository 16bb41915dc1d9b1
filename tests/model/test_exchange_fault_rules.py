"""Rules of stream faults and slow lines against plain models: what goes in, what may come out."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from exchange.shaping import NS_PER_S, Shaper
from exchange.stream_faults import (
    Action,
    Burst,
    Drop,
    HoldBack,
    Lag,
    Repeat,
    Replay,
    StreamFaults,
    StreamRule,
)

KEY = (0, 0, "")
SPANS = st.integers(min_value=1, max_value=6)


@st.composite
def actions(draw: st.DrawFn) -> Action:
    span = draw(SPANS)
    made: list[Action] = [
        Drop(), Repeat(span), HoldBack(span), Replay(span), Burst(span), Lag(span)
    ]  # fmt: skip
    return draw(st.sampled_from(made))


@st.composite
def rules(draw: st.DrawFn) -> StreamRule:
    return StreamRule(
        draw(actions()),
        draw(st.integers(min_value=1, max_value=5)),
        skip=draw(st.integers(min_value=0, max_value=4)),
        share=draw(st.sampled_from([1.0, 0.5])),
        random=Random(draw(st.integers(min_value=0, max_value=9))),
    )


def bodies(count: int) -> list[bytes]:
    return [b"%d" % k for k in range(count)]


def played(faults: StreamFaults, frames: list[bytes]) -> list[bytes]:
    return [one for body in frames for one in faults.tamper(KEY, body)]


@given(st.lists(rules(), max_size=4), st.integers(min_value=0, max_value=120))
def test_nothing_is_invented_and_only_drops_lose(armed: list[StreamRule], count: int) -> None:
    faults = StreamFaults()
    for rule in armed:
        faults.add(KEY, rule)
    sent = bodies(count)
    heard = played(faults, sent)
    for rule in list(faults.rules.get(KEY, [])):
        heard += faults.remove(KEY, rule)
    assert faults.rules == {}
    lost = Counter(sent) - Counter(heard)
    dropped = sum(rule.uses for rule in armed if isinstance(rule.action, Drop))
    assert lost.total() == dropped
    assert set(heard) <= set(sent)
    copies = sum(rule.uses * _copies(rule.action) for rule in armed)
    assert len(heard) == count - dropped + copies


def _copies(action: Action) -> int:
    if isinstance(action, Repeat):
        return action.copies
    return action.span if isinstance(action, Replay) else 0


@given(rules(), st.integers(min_value=0, max_value=60))
def test_frames_before_and_after_a_rule_are_untouched(rule: StreamRule, before: int) -> None:
    rule.skip, rule.share = before, 1.0
    faults = StreamFaults()
    faults.add(KEY, rule)
    first = bodies(before)
    assert played(faults, first) == first
    middle = [b"m%d" % k for k in range(200)]
    played(faults, middle)
    assert faults.rules == {}
    after = [b"a%d" % k for k in range(20)]
    assert played(faults, after) == after


@given(st.sampled_from([Burst, Lag]), SPANS, st.integers(min_value=0, max_value=50))
def test_delays_keep_the_order(make: type[Burst] | type[Lag], span: int, count: int) -> None:
    faults = StreamFaults()
    rule = StreamRule(make(span), 10**9)
    faults.add(KEY, rule)
    sent = bodies(count)
    heard = played(faults, sent)
    assert len(sent) - len(heard) <= span
    assert heard + list(faults.remove(KEY, rule)) == sent


# Slow lines ---------------------------------------------------------------------------------


@given(
    payloads=st.lists(
        st.tuples(st.integers(0, 40_000_000), st.integers(0, 5_000)), max_size=40
    ),
    latency_ns=st.integers(0, 50_000_000),
    jitter_ns=st.integers(0, 20_000_000),
    rate=st.sampled_from([0, 1_000, 100_000, 10_000_000]),
    buffer_bytes=st.integers(1_024, 20_000),
)  # fmt: skip
def test_slow_line_keeps_order_bound_rate_and_latency(
    payloads: list[tuple[int, int]], latency_ns: int, jitter_ns: int, rate: int, buffer_bytes: int
) -> None:
    shaper = Shaper(latency_ns, jitter_ns, rate, buffer_bytes, Random(1))
    now_ns, taken, heard, last_ns = 0, bytearray(), bytearray(), 0
    arrivals: list[tuple[int, int]] = []  # when, how many bytes by then
    for place, (pause_ns, size) in enumerate(payloads):
        now_ns += pause_ns
        heard += shaper.take(now_ns)
        arrivals.append((now_ns, len(heard)))
        payload = bytes((place % 251,)) * size
        fits = shaper.queued_bytes + size <= buffer_bytes
        assert shaper.put(payload, now_ns) is fits
        if fits:
            taken += payload
            last_ns = now_ns
        assert shaper.queued_bytes <= buffer_bytes
        assert shaper.queued_bytes == len(taken) - len(heard)
        due_ns = shaper.next_due_ns
        assert due_ns is None or due_ns >= now_ns or not latency_ns
    for when_ns, count in arrivals:
        if rate:
            assert count <= when_ns * rate // NS_PER_S + 1
    if len(taken) > len(heard):
        early = shaper.take(last_ns + latency_ns - 1) if latency_ns else b""
        heard += early
        heard += shaper.take_all()
    assert heard == taken
    assert shaper.next_due_ns is None
    assert shaper.queued_bytes == 0


@given(st.integers(1, 10**6), st.integers(0, 10**9))
def test_nothing_arrives_before_its_latency(size: int, latency_ns: int) -> None:
    shaper = Shaper(latency_ns, buffer_bytes=10**6)
    assert shaper.put(b"x" * size, 5)
    assert shaper.take(4 + latency_ns) == b""
    assert len(shaper.take(5 + latency_ns)) == size
