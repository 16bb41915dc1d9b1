"""A small ring for the tests of this folder."""

from collections.abc import Iterator

import pytest

from ringbuffer.ring import Ring
from tests.ring_builders import scratch_ring


@pytest.fixture
def ring() -> Iterator[Ring]:
    """A ring of eight slots of 64 bytes, reader 0 reserved."""
    with scratch_ring(8, gating=(0,)) as made:
        yield made
