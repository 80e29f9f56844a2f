"""One attempt at a task, frame by frame: the expert labels, anyone may move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from tristage_ros.mla.values import Action, Observation
from tristage_ros.simulation.closed_loop import ClosedLoop
from tristage_ros.simulation.episode import Episode
from tristage_ros.training.frame import FrameEncoder, Frames

See = Callable[[], Observation]  # looking takes a while, and not everyone who moves has to
Move = Callable[[See, Action], Action]  # how to see, what the expert would do -> what is done

FRAMES_AFTER_SUCCESS = 2  # in which the tool goes back to where it waits, and stays there
KEPT = 4  # one in so many control steps is kept of an episode that is led continuously: they are much alike


@dataclass(frozen=True)
class Attempt:
    """Hold what an attempt showed."""

    frames: list[Frames]
    success: bool
    steps: int


def attempt(
    episode: Episode, seed: int, encoder: FrameEncoder, move: Move, after: int = 0, continuous: bool = False
) -> Attempt:
    """Run an episode to its end, and on for `after` frames beyond a success, by key frames or in a closed loop."""
    episode.reset(seed)
    led, every = (ClosedLoop(episode), KEPT) if continuous else (episode, 1)
    expert = episode.guidance if continuous else episode.expert
    frames, count = list[Frames](), seed % every

    def step(move: Move) -> None:
        nonlocal count
        see = cache(episode.observe)
        if count % every == 0:
            observation = see()
            frames.append(_labelled(episode, seed, encoder, observation, expert()))
        count += 1
        led.step(move(see, expert()))

    while not led.finished:
        step(move)
    success, steps = bool(episode.success()), episode.steps
    for _ in range(after * every if success else 0):
        step(lambda _, expert: expert)
    return Attempt(frames, success, steps)


def look(episode: Episode, seed: int, encoder: FrameEncoder) -> Frames:
    """Return the first frame of an episode, of which nothing is carried out."""
    episode.reset(seed)
    return _labelled(episode, seed, encoder, episode.observe(), episode.expert())


def _labelled(episode: Episode, seed: int, encoder: FrameEncoder, seen: Observation, label: Action) -> Frames:
    truth = episode.truth()
    numbers = np.array([truth[name] for name in sorted(truth)], np.float32)
    return encoder.encode(seen, label, numbers, seed)
