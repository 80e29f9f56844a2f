"""The command `tristage replay`: replay a bag through the real nodes, then compare what came of it.

The nodes run in processes of their own, the recording in front of them, no arm behind them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tristage_ros.bags import facts
from tristage_ros.bags.changes import Change, read_changes
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.recording import SAME, STATUS, Frame, Played, Recording, Restart, restarts
from tristage_ros.bags.writer import BagWriter, offered
from tristage_ros.commands.replay.player import (
    ANSWERS,
    REMOTE_ANSWERS,
    Nodes,
    Player,
    ReplayError,
    nodes_of,
    player_of,
    stop_on_signals,
)
from tristage_ros.commands.replay.settings import LIVE, Settings, to_repeat
from tristage_ros.commands.replay.usable import require_usable
from tristage_ros.graph import graph
from tristage_ros.graph.arguments import OPENPI
from tristage_ros.reports.compare.command import compare_and_tell
from tristage_ros.reports.dilation import slowest_in

SETTABLE = ("instruction", facts.OWN_SCALE, *LIVE)
EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


def run(options: argparse.Namespace) -> int:
    """Replay as the options say; return the exit code: 1 when the runs differ more than allowed, 2 after an error.

    Raises:
        GraphError: a setting is wrong.
        OSError: the folder cannot be written.
    """
    out = options.out or Path(time.strftime("runs/%Y%m%d-%H%M%S-replay"))
    console = Console()
    request = Request(
        options.bag, out.resolve(), options.lockstep, options.every_frame, options.factor, tuple(options.changes),
        dict(options.remap), options.timeout,
    )  # fmt: skip
    try:
        outcome = replay(request, console)
        _tell(outcome, console)
        if outcome.interrupted:
            return EXIT_INTERRUPTED
        return _compare(options, outcome, out, console)
    except (BagError, ReplayError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR


def _tell(outcome: Outcome, console: Console) -> None:
    for reason, count in outcome.without_action.items():
        console.print(f"[yellow]note:[/yellow] {count} frames without an action: {reason}", soft_wrap=True)
    end = ", interrupted" if outcome.interrupted else ""
    console.print(f"{outcome.steps} control steps{end}; bag: {outcome.bag}", soft_wrap=True)


def _compare(options: argparse.Namespace, outcome: Outcome, out: Path, console: Console) -> int:
    try:
        return compare_and_tell(
            options.against or options.bag, outcome.bag, out, dict(options.limit), options.identical, console
        )
    except BagError as error:
        if options.against or options.limit or options.identical or not outcome.steps:
            raise
        console.print(f"not compared: {error}", soft_wrap=True)  # a bag without actions can still be replayed
        return 0


@dataclass(frozen=True)
class Request:
    """Hold what is asked for."""

    bag: Path
    out: Path
    lockstep: bool = False
    every_frame: bool = False  # in lockstep: also those that the recorded run did not act on
    factor: float = 1.0  # times real time
    changes: tuple[str, ...] = ()  # NODE.NAME=VALUE
    remap: dict[str, str] = field(default_factory=dict)
    timeout: float = 60.0  # s to wait for one action in lockstep


@dataclass
class Outcome:
    """Hold what a replay did."""

    bag: Path  # actions, masks and timings of the replay
    steps: int = 0
    frames: int = 0  # shown
    without_action: Counter[str] = field(default_factory=Counter)  # frames, by reason
    notes: list[str] = field(default_factory=list)  # what a person should know
    interrupted: bool = False


@dataclass(frozen=True)
class _Plan:
    """Hold what is replayed, and with what."""

    recording: Recording
    settings: Settings
    control: str
    frames: list[Frame]  # of a replay in lockstep
    anew: list[Restart]
    changes: list[Change]
    looks: frozenset[int]  # stamps (ns) of the frames that are only looked at


def replay(request: Request, console: Console) -> Outcome:
    """Replay a bag and return what came of it; the folder `request.out` then holds it.

    Raises:
        BagError: the bag cannot be read, or lacks a topic.
        GraphError: a setting is wrong.
        ReplayError: nothing can be replayed, the nodes did not come up, died or fell silent, or others are in the way.
        OSError: the folder cannot be written.
    """
    outcome = Outcome(request.out / "bag")
    plan = _plan(request, outcome)
    request.out.mkdir(parents=True, exist_ok=True)
    arguments = {"parameters": str(plan.settings.write(request.out)), "image_transport": "raw", "control": plan.control}
    if plan.settings.map:
        arguments["control"] = "frame" if request.lockstep else "rate"  # else as its map says
        arguments["policy"] = f"{OPENPI}{plan.settings.parameters['policy']['server']}"
    os.environ.update(graph.build("replay", arguments).environment)
    for note in outcome.notes:
        console.print(f"[yellow]note:[/yellow] {note}", soft_wrap=True)
    with ExitStack() as stack:
        writer = stack.enter_context(BagWriter(outcome.bag))
        stop = stop_on_signals(stack)
        player = player_of((*plan.recording.topics,), writer, stack, REMOTE_ANSWERS if plan.settings.map else ANSWERS)
        if (slowest := slowest_in(request.bag)) > 1.0:
            player.dilate(slowest)
        nodes = nodes_of(arguments, player, request.out / "log.txt", console, stop, stack)
        first = plan.frames[0].stamp if plan.frames else plan.recording.start
        writer.offer(facts.TOPIC, offered(1, latched=True))
        writer.write(facts.TOPIC, facts.TYPE, _facts(plan, plan.settings, request.out).message(), first)
        pace = Pace(player, nodes, plan, console, stop)
        if request.lockstep:
            in_lockstep(pace, plan.recording, plan.frames, request.timeout, outcome.without_action)
        else:
            in_real_time(pace, plan.recording, request.factor)
        if pace.changed:
            last = _facts(plan, plan.settings.after(pace.changed), request.out)
            writer.write(facts.TOPIC, facts.TYPE, last.message(), player.now)
        outcome.steps, outcome.frames, outcome.interrupted = player.answers(), pace.shown, stop.is_set()
    (request.out / "replay.json").write_text(json.dumps(_as_json(request, plan, outcome), indent=1))
    return outcome


def _plan(request: Request, outcome: Outcome) -> _Plan:
    with BagReader(request.bag) as bag:
        recorded = facts.read_facts(bag)
    anew = restarts(request.bag)
    began, changes = read_changes(request.bag)
    if began:  # what was set since then is set again when its time comes
        recorded.parameters["policy"] |= {name: value for name, value in began.items() if name.startswith(SETTABLE)}
    settings = Settings.recorded_with(recorded).changed(request.changes)
    control = settings.parameters["policy"]["control"]
    if request.lockstep and control != "frame" and not settings.map:
        settings = settings.changed((f"policy.frame_sends={control}",))
    cloud = settings.parameters["point_cloud"]
    recording = Recording(
        request.bag, cloud["cameras"], request.remap, cloud["sync_tolerance"], pictures=settings.pictures
    )
    outcome.notes = _notes(recording, settings)
    require_usable(recording, settings.lenses)
    control = _control(request, settings, recording, outcome)
    policy = settings.parameters["policy"]
    if settings.map:
        frames, _ = _frames(request, recording, outcome, looks=False) if request.lockstep else ([], frozenset())
        return _Plan(recording, settings, control, frames, anew, to_repeat(changes, request.changes), frozenset())
    if (policy["frame_sends"] if control == "frame" else control) == "rate" and policy["looks"] != "off":
        outcome.notes.append(f"at a rate every step looks anew: policy.looks={policy['looks']} is left out")
        settings = settings.changed(("policy.looks='off'",))
    looks = settings.parameters["policy"]["looks"] == "moving"
    frames, looked = _frames(request, recording, outcome, looks) if request.lockstep else ([], frozenset())
    repeated = to_repeat(changes, request.changes)
    return _Plan(recording, settings, control, frames, anew, repeated, looked)


def _frames(
    request: Request, recording: Recording, outcome: Outcome, looks: bool
) -> tuple[list[Frame], frozenset[int]]:
    """Return what is shown in lockstep, and the stamps of what is only looked at, where the policy `looks` on the way.

    Raises:
        ReplayError: there is nothing to show.
    """
    frames, left_out = recording.frames()
    outcome.notes += [f"{count} frames left out: {reason}" for reason, count in left_out.items()]
    acted, lost = recording.acted(frames)
    if lost:
        outcome.notes.append(f"{lost} recorded actions have no whole frame any more")
    chosen = acted if acted and not request.every_frame else frames
    if not chosen:
        raise ReplayError(f"bag {request.bag} has no whole frame: {'; '.join(outcome.notes)}")
    if not looks or chosen is frames:
        return chosen, frozenset()
    looked, lost = recording.looked(frames)
    if lost:
        outcome.notes.append(f"{lost} recorded looks have no whole frame any more")
    stamps = {frame.stamp for frame in chosen}
    only = [frame for frame in looked if frame.stamp not in stamps]
    if not only:
        outcome.notes.append("the recorded run looked at nothing on its way: nor does the replay")
    return sorted([*chosen, *only], key=lambda frame: frame.stamp), frozenset(frame.stamp for frame in only)


def _control(request: Request, settings: Settings, recording: Recording, outcome: Outcome) -> str:
    control = "frame" if request.lockstep else str(settings.parameters["policy"]["control"])
    if control == "keyframe" and not recording.has(STATUS):
        outcome.notes.append(f"{STATUS} was not recorded: the policy infers at policy.rate_hz, not by key frames")
        return "rate"
    return control


def _notes(recording: Recording, settings: Settings) -> list[str]:
    notes = [*recording.notes]
    if not settings.recorded:
        notes.append("the bag does not know its settings: those of this installation are used")
    return notes + [f"{topic}: {trouble}" for topic, c in recording.conditions().items() if (trouble := str(c))]


def _facts(plan: _Plan, settings: Settings, folder: Path) -> facts.Facts:
    """Return with what the replay is made, or, with other `settings`, goes on."""
    parameters = {node: dict(values) for node, values in settings.parameters.items()}
    for values in parameters.values():
        values["cameras_file"] = str(folder / "cameras.yaml")
    if settings.map:
        parameters["policy"] |= {"map": str(folder / "map.yaml"), "control": plan.control}
        return facts.gather(parameters, {})[0]
    parameters["policy"] |= {"pruning": str(folder / "pruning.yaml"), "control": plan.control}
    for name, value in settings.pruning.items():
        parameters["policy"][facts.PRUNER + name] = facts.OFF if value is None else value
    gathered, _ = facts.gather(parameters, facts.describe_checkpoint(str(parameters["policy"]["checkpoint"])))
    return gathered


def _as_json(request: Request, plan: _Plan, outcome: Outcome) -> dict[str, object]:
    return {
        "bag": str(request.bag),
        "lockstep": request.lockstep,
        "factor": None if request.lockstep else request.factor,
        "changes": list(request.changes),
        "streams": {topic: vars(c) for topic, c in plan.recording.conditions().items()},
        "frames": outcome.frames,
        "steps": outcome.steps,
        "frames without an action": dict(outcome.without_action),
        "notes": outcome.notes,
        "interrupted": outcome.interrupted,
    }


# When a replay shows what: in real time, at a factor, or one frame per action.

AGAIN = 3.0  # s after which a frame that nobody answered is shown once more
SILENT_FRAMES = 3  # frames in a row without an answer that end a replay
TICK = 0.01  # s between the beats of the replayed clock in real time
NO_ANSWER = "no answer"
TAIL = 1.0  # s of replayed time after the last message
SERVICE_TIMEOUT = 10.0  # s for a service of the policy


class Pace:
    """Hold what both ways of replaying need."""

    def __init__(self, player: Player, nodes: Nodes, plan: _Plan, console: Console, stop: threading.Event) -> None:
        """Take the player, the nodes to watch, and where the recorded policy began anew and was set otherwise."""
        self.player, self.nodes, self.console, self.stop = player, nodes, console, stop
        self.shown = 0  # frames or messages
        self.changed: list[Change] = []
        self._anew = deque(sorted(plan.anew, key=lambda restart: restart.stamp))
        self._changes = deque(plan.changes)
        self.looks, self._looking = plan.looks, False

    def look_only(self, wanted: bool) -> None:
        """Have the policy only look at the frames to come, or act on them again.

        Raises:
            ReplayError: it does not answer.
        """
        if wanted != self._looking and not self.player.look_only(wanted, SERVICE_TIMEOUT):
            raise ReplayError("the policy does not answer when it is asked to look")
        self._looking = wanted

    def begin_anew(self, now: int) -> None:
        """Do what the operator of the recorded run had done by `now` (ns).

        Raises:
            ReplayError: the policy does not answer, or does not take what was set.
        """
        while self._changes and self._changes[0].stamp <= now + SAME:
            self.changed.append(self._changes.popleft())
            if reason := self.player.set(self.changed[-1].values, SERVICE_TIMEOUT):
                raise ReplayError(f"what was set while it was recorded is refused now: {reason}")
        while self._anew and self._anew[0].stamp <= now + SAME:
            instruction = self._anew.popleft().instruction
            player = self.player
            done = player.instruct(instruction, SERVICE_TIMEOUT) if instruction else player.reset(SERVICE_TIMEOUT)
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
            pace.look_only(played.frame.stamp in pace.looks)
            reason = _answer(pace, played, timeout)
            pace.shown += 1
            if not reason:
                silent = 0
                continue
            without_action[reason] += 1
            silent += reason == NO_ANSWER
            if silent == SILENT_FRAMES:
                raise ReplayError(f"{silent} frames in a row had no action: {_complaints(pace)}")


def _complaints(pace: Pace) -> str:
    return "; ".join(pace.player.complaints()) or "the nodes say that all is well"


def _answer(pace: Pace, played: Played, timeout: float) -> str:
    """Show a frame until it is answered or refused; return why it is not answered, empty when it is."""
    end, before = time.monotonic() + timeout, pace.player.refusals
    while not pace.stop.is_set():
        pace.player.show(played)
        reason = pace.player.wait_for_answer(played.frame.stamp, min(AGAIN, timeout))
        pace.nodes.check()
        if reason != NO_ANSWER or time.monotonic() > end or pace.player.refusals > before:
            return reason
    return ""


def in_real_time(pace: Pace, recording: Recording, factor: float) -> None:
    """Publish every message `factor` times as fast as it was recorded; what is too fast for the nodes they skip.

    Raises:
        ReplayError: a node ended, or no action came of all.
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
    if not pace.player.answers() and not pace.stop.is_set():
        raise ReplayError(f"no action came of {pace.shown} messages: {_complaints(pace)}")


def _wait_until(pace: Pace, began: float, first: int, stamp: int, factor: float) -> None:
    """Beat the replayed clock until it shows `stamp` (ns)."""
    while not pace.stop.is_set():
        now = first + round((time.monotonic() - began) * factor * 1e9)
        pace.player.tick(min(now, stamp))
        if now >= stamp:
            return
        pace.nodes.check()
        pace.stop.wait(min((stamp - now) * 1e-9 / factor, TICK))
