"""Children of the journal's crash tests: they work until somebody kills them."""

import signal
import sys
import time
from pathlib import Path

from engine.store.journal import SOURCE_MARKET, SourceWriter
from tests.orchestrator_rig import OrchestratorRig
from tests.store_builders import as_bytes, market_records
from tests.store_events import decision, opening_cash, request


def append_for_ever(directory: str, segment_bytes: str) -> None:
    """Append frames of 1 to 40 records and say after each how many the journal took."""
    writer = SourceWriter(
        Path(directory), Path(directory).name, SOURCE_MARKET, 64, segment_bytes=int(segment_bytes)
    )
    count = 1
    while True:
        first = writer.next_sequence
        writer.append(first, as_bytes(market_records(count, first)))
        sys.stdout.write(f"{writer.next_sequence}\n")
        sys.stdout.flush()
        count = count % 40 + 1


def play_main(home: str, how: str) -> None:
    """Be main: start an orchestrator, publish events, and wait to be killed.

    With `abandon` the orchestrator is killed first, so that the rings keep what was published.
    """
    rig = OrchestratorRig(Path(home))
    rig.start()
    rig.publish_events(opening_cash(1_000), decision())
    if how == "abandon":
        rig.kill()
    rig.publish_events(request(1), request(2))
    assert rig.process is not None
    sys.stdout.write(f"{rig.config.name} {rig.process.pid}\n")
    sys.stdout.flush()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    {"append": append_for_ever, "main": play_main}[sys.argv[1]](*sys.argv[2:])
