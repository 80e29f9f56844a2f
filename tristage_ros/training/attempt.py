"""One attempt at a task, frame by frame: the expert labels, anyone may move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tristage_ros.mla.values import Action, Observation
from tristage_ros.simulation.episode import Episode
from tristage_ros.training.frame import FrameEncoder, Frames

Move = Callable[[Observation, Action], Action]  # what is seen, what the expert would do -> what is done

FRAMES_AFTER_SUCCESS = 2  # in which the tool goes back to where it waits, and stays there


@dataclass(frozen=True)
class Attempt:
    """Hold what an attempt showed."""

    frames: list[Frames]
    success: bool
    steps: int


def attempt(episode: Episode, seed: int, encoder: FrameEncoder, move: Move, after: int = 0) -> Attempt:
    """Run an episode to its end and `after` frames beyond a success."""
    episode.reset(seed)
    frames: list[Frames] = []
    while not episode.finished:
        frames.append(_frame(episode, seed, encoder, move))
    success, steps = bool(episode.success()), episode.steps
    if success:
        frames += [_frame(episode, seed, encoder, lambda _, expert: expert) for _ in range(after)]
    return Attempt(frames, success, steps)


def look(episode: Episode, seed: int, encoder: FrameEncoder) -> Frames:
    """Return the first frame of an episode, of which nothing is carried out."""
    episode.reset(seed)
    return _labelled(episode, seed, encoder)[0]


def _frame(episode: Episode, seed: int, encoder: FrameEncoder, move: Move) -> Frames:
    """Look, label, and act."""
    frame, observation, label = _labelled(episode, seed, encoder)
    episode.step(move(observation, label))
    return frame


def _labelled(episode: Episode, seed: int, encoder: FrameEncoder) -> tuple[Frames, Observation, Action]:
    observation, label, truth = episode.observe(), episode.expert(), episode.truth()
    numbers = np.array([truth[name] for name in sorted(truth)], np.float32)
    return encoder.encode(observation, label, numbers, seed), observation, label
