"""The usual way of the paced bench: websockets, orjson and a strategy in Python, one process.

    python -m bench.sides.paced_usual PORT CORE

Connects, prints `ready`, then takes lines `COUNT FILE`: decides on the next COUNT quotes and saves
when each decision was over, and on which frame. Its collector is as Python left it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import numpy as np
import orjson
import uvloop
import websockets

from bench.sides.paced_frames import FIRST_ID

THRESHOLD = 0.9


async def decide(connection: websockets.ClientConnection, count: int, file: str) -> int:
    """Decide on `count` quotes; return how many orders the strategy would have sent."""
    rows = np.zeros((count, 2), dtype=np.int64)
    position = orders = 0
    for k in range(count):
        data = orjson.loads(await connection.recv(decode=False))["data"]
        bid_qty, ask_qty = float(data["B"]), float(data["A"])
        imbalance = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        if imbalance > THRESHOLD and position <= 0:
            position += 1
            orders += 1
        elif imbalance < -THRESHOLD and position >= 0:
            position -= 1
            orders += 1
        rows[k] = (time.monotonic_ns(), data["u"] - FIRST_ID)
    np.save(file, rows)
    return orders


async def main(port: int, core: int) -> None:
    """Answer one line per pass until standard input ends."""
    os.sched_setaffinity(0, {core})
    loop = asyncio.get_running_loop()
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/x", compression=None, max_size=None, ping_interval=None
    ) as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            count, file = line.split()
            orders = await decide(connection, int(count), file)
            sys.stdout.write(f"{orders}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
