"""Who else receives on a CAN channel of this computer, as the kernel lists it.

A program that commands an arm opens a socket that receives, too, save for the rarest. The kernel has a line for every
filter of every such socket, in the files /proc/net/can/rcvlist_*:

      device   can_id   can_mask  function  userdata   matches  ident
       can0     000    00000000  00000000a1b2c3d4  00000000e5f60718      4711  raw

`userdata` is one for each socket, where the kernel tells it; where it hides it as zeros, each line counts for a socket.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

RECEIVERS = Path("/proc/net/can")
_LISTS = ("all", "fil", "inv", "sff", "eff")  # of frames; what receives errors only ("err") commands no arm
_ANY = "any"  # a socket that receives on every CAN interface
_COLUMNS = 7


def receivers(channel: str, folder: Path = RECEIVERS) -> Counter[str] | None:
    """Return how many sockets receive on a CAN channel, by their kind ("raw", "bcm", "isotp", "gw", ...).

    None where the kernel says nothing: it has no CAN, or this is no Linux.
    """
    found, told = Counter[str](), False
    known: set[str] = set()
    for name in _LISTS:
        try:
            text = (folder / f"rcvlist_{name}").read_text()
        except OSError:
            continue
        told = True
        for kind, socket in _rows(text, channel):
            if socket is None or socket not in known:
                found[kind] += 1
            if socket is not None:
                known.add(socket)
    return found if told else None


def _rows(text: str, channel: str) -> list[tuple[str, str | None]]:
    """Return of each line on a channel the kind of its socket and what tells that one from others, None if hidden."""
    rows = []
    for line in text.splitlines():
        columns = line.split(maxsplit=_COLUMNS - 1)
        if len(columns) != _COLUMNS or columns[0] not in (channel, _ANY) or not columns[5].isdigit():
            continue  # a title, or "(can0: no entry)"
        hidden = not columns[4].strip("0") or "ptrval" in columns[4]
        rows.append((columns[6].strip(), None if hidden else columns[4]))
    return rows


def company(channel: str, ours: int, folder: Path = RECEIVERS) -> str:
    """Put in words who else receives on a CAN channel, besides `ours` raw sockets; "" if nobody, or nobody knows."""
    found = receivers(channel, folder)
    if found is None:
        return ""
    found["raw"] -= min(ours, found["raw"])
    count = sum(found.values())
    if not count:
        return ""
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found.items()) if n)
    return f"{count} other receiver{'s' if count > 1 else ''} on {channel} ({kinds}): another program has it open"


WHO = (
    "end it unless it only listens, as candump: what it sends is not heard here. ss and fuser do not show it; "
    "sudo lsof | grep 'protocol: CAN' does"
)
