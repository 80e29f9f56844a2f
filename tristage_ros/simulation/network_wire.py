"""The wire between two machines of `network`: a process that carries Ethernet frames from one TAP device to the other.

`python -m tristage_ros.simulation.network_wire FD FD`; a line of JSON on standard input changes what happens to frames.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import sys
import time
from contextlib import suppress
from itertools import count

from tristage_ros.simulation.network import Wire

LONGEST_FRAME = 65536
BURST = 64  # frames that are taken from one end before the other's turn


def carry(ends: tuple[int, int]) -> None:
    """Carry frames between two TAP devices until standard input ends."""
    os.nice(-15)  # a wire waits for nobody
    wire, chance, order = Wire(), random.Random(0), count()
    under_way: list[tuple[float, int, int, bytes]] = []  # due, order, end, frame
    poll = select.poll()
    for source in (*ends, sys.stdin.fileno()):
        poll.register(source, select.POLLIN)
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) * 1e3 if under_way else None
        ready = [source for source, _ in poll.poll(wait)]
        if sys.stdin.fileno() in ready:
            line = sys.stdin.readline()
            if not line:
                return
            wire = Wire(**json.loads(line))
        due = time.monotonic() + wire.delay
        for here, there in (ends, ends[::-1]):
            for frame in _frames(here) if here in ready else ():
                if not wire.cut and chance.random() >= wire.loss:
                    heapq.heappush(under_way, (due, next(order), there, frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, there, frame = heapq.heappop(under_way)
            with suppress(OSError):  # its machine is not up, or is gone
                os.write(there, frame)


def _frames(end: int) -> list[bytes]:
    frames: list[bytes] = []
    with suppress(OSError):  # nothing more has come
        while len(frames) < BURST:
            frames.append(os.read(end, LONGEST_FRAME))
    return frames


if __name__ == "__main__":
    carry((int(sys.argv[1]), int(sys.argv[2])))
