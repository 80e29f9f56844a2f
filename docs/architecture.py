"""Draw who imports whom into docs/architecture.md: `.venv/bin/python docs/architecture.py`."""

from __future__ import annotations

from pathlib import Path

import grimp

PACKAGE = "tristage_ros"
DOCUMENT = Path(__file__).with_suffix(".md")
BEGIN, END = "```mermaid\n", "```"
# What a room is for, in a few words; files of the hall that only start others are left out.
ROOMS = {
    "cli": "the command tristage",
    "studies": "episodes, the paper's tables",
    "bench": "what is measured",
    "commands": "what a person types",
    "nodes": "the ROS 2 nodes",
    "reports": "one run told, two compared",
    "ros": "what every node shares",
    "datasets": "what a policy learns from",
    "viewing": "a run in the Rerun viewer",
    "graph": "what runs together, where",
    "bags": "recording and reading",
    "training": "demonstrations, weights",
    "simulation": "the cell in MuJoCo",
    "observing": "messages become observations",
    "serving": "the policy over a websocket",
    "openpi": "policies of others",
    "devices": "arm and cameras",
    "mla": "the model, a control step",
    "pruning": "the three stages",
    "perception": "images, clouds, frames",
}


def imports() -> dict[str, set[str]]:
    """Return which rooms each room imports from."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            one, other = (name.split(".")[1] if "." in name else "" for name in (importer, imported))
            if one in ROOMS and other in ROOMS and one != other:
                found[one].add(other)
    return found


def reachable(room: str, found: dict[str, set[str]]) -> set[str]:
    """Return all rooms that `room` rests on, directly or through others."""
    reached: set[str] = set()
    open_ends = set(found[room])
    while open_ends:
        reached |= open_ends
        open_ends = {further for each in open_ends for further in found[each]} - reached
    return reached


def chart(found: dict[str, set[str]]) -> str:
    """Return the picture as Mermaid: an arrow is left out where a longer way leads to the same room."""
    lines = ["flowchart TD"]
    lines += [f'    {room}_["<b>{room}</b><br>{told}"]' for room, told in ROOMS.items()]  # "graph" alone is a keyword
    for room in ROOMS:
        through = set().union(*(reachable(each, found) for each in found[room])) if found[room] else set()
        lines += [f"    {room}_ --> {each}_" for each in ROOMS if each in found[room] - through]
    return "\n".join(lines) + "\n"


def drawn(text: str, found: dict[str, set[str]]) -> str:
    """Return the document with the picture in it."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + chart(found) + END + rest.partition(END)[2]


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text(encoding="utf-8"), imports()), encoding="utf-8")
