"""Episodes that the expert leads: the same observations for everything that is compared on them."""

from __future__ import annotations

from collections.abc import Iterator

from tristage_ros.mla.values import Action, Observation
from tristage_ros.simulation.closed_loop import ClosedLoop
from tristage_ros.simulation.episode import Episode
from tristage_ros.studies.cell import Mode


def expert_steps(episode: Episode, mode: Mode = "key frames") -> Iterator[tuple[Observation, Action]]:
    """Yield what is seen before every action of the expert, and what the expert then goes for, until it is done."""
    if mode == "continuous":
        loop = ClosedLoop(episode)
        while not loop.finished:
            action = episode.guidance()
            yield episode.observe(), action
            loop.step(action)
        return
    while not episode.finished:
        action = episode.expert()
        yield episode.observe(), action
        episode.step(action)


def expert_observations(episode: Episode, mode: Mode = "key frames") -> Iterator[Observation]:
    """Yield what is seen before every action of the expert."""
    return (observation for observation, _ in expert_steps(episode, mode))
