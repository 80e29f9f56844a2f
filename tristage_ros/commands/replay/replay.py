"""Replay a bag: the real nodes in processes of their own, the recording in front of them, no arm behind them."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from tristage_ros.bags import facts
from tristage_ros.bags.offered import offered
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.recording import STATUS, Frame, Recording
from tristage_ros.bags.restarts import Restart, restarts
from tristage_ros.bags.writer import BagWriter
from tristage_ros.commands.replay.pace import Pace, in_lockstep, in_real_time
from tristage_ros.commands.replay.processes import ReplayError, nodes_of, player_of, stop_on_signals
from tristage_ros.commands.replay.settings import Settings
from tristage_ros.graph import graph


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
    os.environ.update(graph.build("replay", arguments).environment)
    for note in outcome.notes:
        console.print(f"[yellow]note:[/yellow] {note}", soft_wrap=True)
    with ExitStack() as stack:
        writer = stack.enter_context(BagWriter(outcome.bag))
        stop = stop_on_signals(stack)
        player = player_of((*plan.recording.topics,), writer, stack)
        nodes = nodes_of(arguments, player, request.out / "log.txt", console, stop, stack)
        first = plan.frames[0].stamp if plan.frames else plan.recording.start
        writer.offer(facts.TOPIC, offered(1, latched=True))
        writer.write(facts.TOPIC, facts.TYPE, _facts(plan, request.out).message(), first)
        pace = Pace(player, nodes, plan.anew, console, stop)
        if request.lockstep:
            in_lockstep(pace, plan.recording, plan.frames, request.timeout, outcome.without_action)
        else:
            in_real_time(pace, plan.recording, request.factor)
        outcome.steps, outcome.frames, outcome.interrupted = player.answers(), pace.shown, stop.is_set()
    (request.out / "replay.json").write_text(json.dumps(_as_json(request, plan, outcome), indent=1))
    return outcome


def _plan(request: Request, outcome: Outcome) -> _Plan:
    with BagReader(request.bag) as bag:
        recorded = facts.read_facts(bag)
    began, anew = restarts(request.bag)
    told = (f"policy.instruction={json.dumps(began)}",) if began else ()
    settings = Settings.recorded_with(recorded).changed((*told, *request.changes))
    control = settings.parameters["policy"]["control"]
    if request.lockstep and control != "frame":
        settings = settings.changed((f"policy.frame_sends={control}",))
    cloud = settings.parameters["point_cloud"]
    recording = Recording(request.bag, cloud["cameras"], request.remap, cloud["sync_tolerance"])
    outcome.notes = _notes(recording, settings)
    frames = _frames(request, recording, outcome) if request.lockstep else []
    return _Plan(recording, settings, _control(request, settings, recording, outcome), frames, anew)


def _frames(request: Request, recording: Recording, outcome: Outcome) -> list[Frame]:
    frames, left_out = recording.frames()
    outcome.notes += [f"{count} frames left out: {reason}" for reason, count in left_out.items()]
    acted, lost = recording.acted(frames)
    if lost:
        outcome.notes.append(f"{lost} recorded actions have no whole frame any more")
    chosen = acted if acted and not request.every_frame else frames
    if not chosen:
        raise ReplayError(f"bag {request.bag} has no whole frame: {'; '.join(outcome.notes)}")
    return chosen


def _control(request: Request, settings: Settings, recording: Recording, outcome: Outcome) -> str:
    control = "frame" if request.lockstep else str(settings.parameters["policy"]["control"])
    if control == "keyframe" and not recording.has(STATUS):
        outcome.notes.append(f"{STATUS} was not recorded: the policy infers at policy.rate_hz, not by key frames")
        return "rate"
    return control


def _notes(recording: Recording, settings: Settings) -> list[str]:
    notes = [recording.break_] if recording.break_ else []
    if not settings.recorded:
        notes.append("the bag does not know its settings: those of this installation are used")
    return notes + [f"{topic}: {trouble}" for topic, c in recording.conditions().items() if (trouble := str(c))]


def _facts(plan: _Plan, folder: Path) -> facts.Facts:
    """Return with what the replay is made."""
    parameters = {node: dict(values) for node, values in plan.settings.parameters.items()}
    for values in parameters.values():
        values["cameras_file"] = str(folder / "cameras.yaml")
    parameters["policy"] |= {"pruning": str(folder / "pruning.yaml"), "control": plan.control}
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
