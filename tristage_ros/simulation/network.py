"""Two machines on one: network namespaces joined by a wire that can be slow, lose frames or be cut.

Needs Linux, root, iproute2 and /dev/net/tun. The wire is a process of ours, because not every kernel has `tc netem`:
`python -m tristage_ros.simulation.network FD FD`; a line of JSON on its standard input changes what happens to frames.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
DEVICE = "wire0"  # the same name on both machines
# Each machine has shared memory and an identity of its own: else the middleware takes both for one and needs no wire.
ENTER = 'mount --bind "$1/machine-id" /etc/machine-id && mount --bind "$1/shm" /dev/shm && shift && exec "$@"'


@dataclass(frozen=True)
class Wire:
    """Say what happens to every frame, in both directions."""

    delay: float = 0.0  # s, one way
    loss: float = 0.0  # share of the frames, 0..1
    cut: bool = False


class Network:
    """Own the namespaces of two machines, the wire between them, and nothing else of this computer's network."""

    def __init__(self, first: str = "robot", second: str = "host") -> None:
        """Set up machines called `first` and `second`.

        Raises:
            OSError: the kernel or the user's rights do not allow it; the message says what is missing.
        """
        self.addresses = {first: "10.213.0.1", second: "10.213.0.2"}
        self._folder = Path(tempfile.mkdtemp(prefix="tristage-network-", dir="/dev/shm"))
        self._wire: subprocess.Popen[str] | None = None
        try:
            self._build(first, second)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def obstacle() -> str:
        """Return why this computer cannot play two machines, for a person; empty when it can."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        if not shutil.which("ip"):
            return "network namespaces need `ip`: apt install iproute2"
        if not os.access(TUN, os.R_OK | os.W_OK):
            return f"the wire needs {TUN}: modprobe tun"
        probe = f"tristage-{os.getpid()}"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
        subprocess.run(["ip", "netns", "del", probe], capture_output=True)
        return made.stderr.strip()

    def _build(self, first: str, second: str) -> None:
        devices = {name: f"ts{os.getpid()}{name[0]}"[:15] for name in (first, second)}
        ends = [_tap(device) for device in devices.values()]
        command = [sys.executable, "-m", "tristage_ros.simulation.network", *map(str, ends)]
        self._wire = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=ends, text=True, start_new_session=True)
        for end in ends:
            os.close(end)
        for name, address in self.addresses.items():
            space, folder = self._space(name), self._folder / name
            (folder / "shm").mkdir(parents=True)
            (folder / "machine-id").write_text(uuid.uuid4().hex + "\n", encoding="ascii")
            _ip("netns", "add", space)
            _ip("link", "set", devices[name], "netns", space)
            _ip("-n", space, "link", "set", devices[name], "name", DEVICE)
            _ip("-n", space, "address", "add", f"{address}/24", "dev", DEVICE)
            _ip("-n", space, "link", "set", DEVICE, "txqueuelen", "20000")  # a slow reader of ours loses nothing
            for device in ("lo", DEVICE):
                _ip("-n", space, "link", "set", device, "up")

    def _space(self, name: str) -> str:
        return f"{self._folder.name}-{name}"

    @property
    def control(self) -> int:
        """Return the file descriptor that `set_wire` takes, here or in a process that inherits it."""
        assert self._wire is not None and self._wire.stdin is not None
        return self._wire.stdin.fileno()

    def command(self, name: str, command: Sequence[str]) -> list[str]:
        """Return what runs `command` on the machine called `name`."""
        inside = ["sh", "-c", ENTER, "sh", str(self._folder / name), *command]
        return ["ip", "netns", "exec", self._space(name), *inside]

    def close(self) -> None:
        """Take everything down; what still runs on the machines loses its network."""
        if self._wire:
            self._wire.kill()
            self._wire.wait()
        for name in self.addresses:
            subprocess.run(["ip", "netns", "del", self._space(name)], capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def set_wire(control: int, wire: Wire) -> None:
    """Let every frame from now on fare as `wire` says."""
    os.write(control, (json.dumps(asdict(wire)) + "\n").encode())


def sent_here() -> int:
    """Return how many bytes this machine, inside a `Network`, has sent over the wire, headers included."""
    return int(Path("/sys/class/net", DEVICE, "statistics", "tx_bytes").read_text())


def received_here() -> int:
    """Return how many bytes have come over the wire, likewise."""
    return int(Path("/sys/class/net", DEVICE, "statistics", "rx_bytes").read_text())


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _tap(name: str) -> int:
    end = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return end


# The wire: a process that carries Ethernet frames from one TAP device to the other until its standard input ends.

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
