"""How feature vectors leave the kernel thread: behind a step's orders, into a ring nobody waits on.

The orchestrator journals them. A full ring costs the vector, which is counted: it is not needed to
trade, nor to run the session again, and can be computed again from the market journal.
"""

from __future__ import annotations

from engine.domain.kernel import kernel
from engine.domain.market_state import VECTORS_LOST, VECTORS_WAITING, MarketState
from engine.processes.brain_words import LoopWord, Ports
from ringbuffer.kernels import begin, commit, publish, try_claim


@kernel
def publish_vectors(ports: Ports, market: MarketState) -> None:
    """Publish the vectors that wait, and forget them; what finds no room is counted as lost."""
    progress, ring = market.progress, ports.vector_ring
    for k in range(progress[VECTORS_WAITING]):
        sequence = try_claim(ring, 1)
        if sequence < 0:
            progress[VECTORS_LOST] += 1
            continue
        # A busy slot stays busy until commit: the copied sequence must never look valid.
        market.vectors["sequence"][k] = -1
        ports.vector_slots[begin(ring, sequence)] = market.vectors[k]
        commit(ring, sequence)
        publish(ring)
        ports.counters[ports.words[LoopWord.VECTOR_COUNTER]] += 1
    progress[VECTORS_WAITING] = 0
    ports.counters[ports.words[LoopWord.VECTOR_COUNTER] + 1] = progress[VECTORS_LOST]
