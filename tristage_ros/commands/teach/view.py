"""What a person who teaches sees: the episode, its verdict, the leader, the arm, the keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.text import Text
from tristage_msgs.msg import EpisodeStatus

from tristage_ros.bags.episodes.episode import FAILURE, KEPT, SUCCESS, EpisodeError
from tristage_ros.bags.episodes.folder import Collection, Place
from tristage_ros.commands.monitor import arm_text
from tristage_ros.ros.teacher import Teacher

KEYS = {  # by key, what it does and how it is called
    "s": ("start", "start"),
    "x": ("stop", "stop"),
    "y": ("success", "success"),
    "n": ("failure", "failure"),
    "r": ("redo", "redo"),
    "e": ("engage", "engage/let go"),
    "q": ("quit", "quit"),
    " ": ("halt", "STOP"),
}
NAMES = {" ": "space"}
STATES = {EpisodeStatus.RECORDING: ("recording", "bold red"), EpisodeStatus.CLOSING: ("being made whole", "yellow")}


def view(teacher: Teacher, task: str, counted: str, told: Sequence[str]) -> Group:
    """Return the picture: `counted` says what there is so far, `told` what was answered last."""
    leading = teacher.leading()
    return Group(
        Text(task, style="bold") + Text(f"   {counted}", style="dim"),
        episode_text(teacher.episode),
        verdict_text(teacher.episode),
        *([Text(leading, style="bold green" if teacher.engaged else "yellow")] if leading else []),
        arm_text(teacher.arm, teacher.silence("arm/status")),
        Text("  ".join(f"[{NAMES.get(key, key)}] {name}" for key, (_, name) in KEYS.items()), style="cyan"),
        *(Text(line, style="dim") for line in told),
    )


def episode_text(status: EpisodeStatus | None) -> Text:
    """Return one line about the episode that is recorded, or was last."""
    if status is None:
        return Text("the recorder has said nothing yet", style="yellow")
    state, style = STATES.get(status.state, ("", ""))
    amount = f"{status.seconds:.1f} s, {status.messages} messages, {status.bytes / 1e6:.1f} MB"
    if state:
        return Text(f"episode {status.number} ", style="bold") + Text(state, style=style) + Text(f"  {amount}")
    if not status.number:
        return Text("no episode yet", style="bold")
    ended = f"{status.last_outcome or 'not marked'}: {status.last_reason}"
    return Text(f"episode {status.number} ended  {amount}  ", style="bold") + Text(ended, style="not bold")


def verdict_text(status: EpisodeStatus | None) -> Text:
    """Return the verdict, a line each; while nothing is recorded, what is wrong with the streams."""
    if status is None or not status.complaints:
        what = "cameras and joints" if status is None or status.state == EpisodeStatus.IDLE else "verdict"
        return Text(f"{what}: all is well", style="green" if status else "dim")
    return Text("\n".join(f"! {line}" for line in status.complaints), style="yellow")


def counted(folder: Path) -> str:
    """Return how many episodes a folder has, by what became of them."""
    found = Counter(_kind(place) for place in Collection(folder).places())
    parts = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items()))
    return f"{folder}: {parts or 'no episode yet'}"


def finished(folder: Path, after: int) -> int:
    """Return how many episodes of a folder, numbered above `after`, are whole, kept and marked."""
    kinds = [_kind(place) for place in Collection(folder).places() if place.number > after]
    return sum(kind in (SUCCESS, FAILURE) for kind in kinds)


def _kind(place: Place) -> str:
    try:
        episode = place.read()
    except EpisodeError:
        return "without a file"
    if not place.is_whole:
        return "unfinished"
    return (episode.outcome or "not marked") if episode.standing == KEPT else episode.standing
