"""When a replay shows what: in real time, at a factor, or one frame per action."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress

from tristage_ros.bags.recording import SAME, Frame, Played, Recording
from tristage_ros.bags.restarts import Restart
from tristage_ros.commands.replay.player import Player
from tristage_ros.commands.replay.processes import Nodes, ReplayError

AGAIN = 3.0  # s after which a frame that nobody answered is shown once more
SILENT_FRAMES = 3  # frames in a row without an answer that end a replay
TICK = 0.01  # s between the beats of the replayed clock in real time
NO_ANSWER = "no answer"
TAIL = 1.0  # s of replayed time after the last message
ANSWER = 10.0  # s for a service of the policy


class Pace:
    """Hold what both ways of replaying need."""

    def __init__(
        self, player: Player, nodes: Nodes, anew: Sequence[Restart], console: Console, stop: threading.Event
    ) -> None:
        """Take the player, the nodes to watch, and where the recorded policy began anew."""
        self.player, self.nodes, self.console, self.stop = player, nodes, console, stop
        self.shown = 0  # frames or messages
        self._anew = deque(sorted(anew, key=lambda restart: restart.stamp))

    def begin_anew(self, now: int) -> None:
        """Do what the operator of the recorded run had done by `now` (ns).

        Raises:
            ReplayError: the policy does not answer.
        """
        while self._anew and self._anew[0].stamp <= now + SAME:
            instruction = self._anew.popleft().instruction
            player = self.player
            done = player.instruct(instruction, ANSWER) if instruction else player.reset(ANSWER)
            if not done:
                raise ReplayError("the policy does not answer to a reset")


def in_lockstep(
    pace: Pace, recording: Recording, frames: Sequence[Frame], timeout: float, without_action: Counter[str]
) -> None:
    """Show each frame once the action on the one before has come; `timeout` (s) is for one action.

    Raises:
        ReplayError: a node ended, or several frames in a row had no answer.
        BagError: the bag is damaged.
    """
    silent = 0
    with Progress(console=pace.console, transient=True) as progress:
        for played in progress.track(recording.play(frames), total=len(frames), description="lockstep"):
            if pace.stop.is_set():
                return
            pace.begin_anew(played.frame.stamp)
            reason = _answer(pace, played, timeout)
            pace.shown += 1
            if not reason:
                silent = 0
                continue
            without_action[reason] += 1
            silent += reason == NO_ANSWER
            if silent == SILENT_FRAMES:
                raise ReplayError(
                    f"{silent} frames in a row had no action within {timeout:.0f} s each: "
                    f"{'; '.join(pace.player.complaints()) or 'the nodes say that all is well'}"
                )


def _answer(pace: Pace, played: Played, timeout: float) -> str:
    """Show a frame until it is answered; return why it is not, empty when it is."""
    end = time.monotonic() + timeout
    while not pace.stop.is_set():
        pace.player.show(played)
        reason = pace.player.wait_for_answer(played.frame.stamp, min(AGAIN, timeout))
        pace.nodes.check()
        if reason != NO_ANSWER or time.monotonic() > end:
            return reason
    return ""


def in_real_time(pace: Pace, recording: Recording, factor: float) -> None:
    """Publish every message `factor` times as fast as it was recorded; what is too fast for the nodes they skip.

    Raises:
        ReplayError: a node ended.
        BagError: the bag is damaged.
    """
    began, first = time.monotonic(), recording.start
    for message in recording.messages():
        _wait_until(pace, began, first, message.stamp, factor)
        if pace.stop.is_set():
            return
        pace.begin_anew(message.stamp)
        pace.player.publish(message)
        pace.shown += 1
    _wait_until(pace, began, first, recording.end + round(TAIL * 1e9), factor)


def _wait_until(pace: Pace, began: float, first: int, stamp: int, factor: float) -> None:
    """Beat the replayed clock until it shows `stamp` (ns)."""
    while not pace.stop.is_set():
        now = first + round((time.monotonic() - began) * factor * 1e9)
        pace.player.tick(min(now, stamp))
        if now >= stamp:
            return
        pace.nodes.check()
        pace.stop.wait(min((stamp - now) * 1e-9 / factor, TICK))
