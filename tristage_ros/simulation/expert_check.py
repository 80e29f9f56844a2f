"""Print how often the scripted experts do their tasks: `python -m tristage_ros.simulation.expert_check`."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import binomtest

from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.site import load_site
from tristage_ros.mla.values import Action
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource, user_path
from tristage_ros.simulation.closed_loop import ClosedLoop, Doubt, Doubtful
from tristage_ros.simulation.episode import CONTROL, Episode
from tristage_ros.simulation.instructions import FIXED, VIEWPOINTS
from tristage_ros.simulation.setting import Variation
from tristage_ros.simulation.tasks import TASKS


@dataclass
class Tally:
    """Count what became of the episodes of one task."""

    succeeded: int = 0
    failed_seeds: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    simulated: list[float] = field(default_factory=list)  # s
    seconds: float = 0.0

    def row(self, task: str) -> str:
        """Return the task's line of the table."""
        n = len(self.steps)
        interval = binomtest(self.succeeded, n).proportion_ci(method="wilson")
        simulated, real = np.mean(self.simulated), self.seconds / n
        return (
            f"| {task} | {self.succeeded}/{n} | {100 * interval.low:.1f} .. {100 * interval.high:.1f} % "
            f"| {np.mean(self.steps):.1f} | {simulated:.1f} | {real:.2f} | {self.failed_seeds or ''} |"
        )


def disturbed(action: Action, rng: np.random.Generator) -> Action:
    """Return a key frame as a clumsy policy would give it: 13 mm beside, 6 mm high or low, 0.15 rad turned."""
    translation = action.translation + rng.normal(0, (0.013, 0.013, 0.006), action.translation.shape)
    rotation = action.rotation + rng.normal(0, (0.0, 0.0, 0.15), action.rotation.shape)
    return Action(translation, rotation, action.gripper)


def check(
    task: str,
    episodes: int,
    first_seed: int,
    noise: float = 0.0,
    look: bool = False,
    doubt: Doubt | None = None,
    control: ControllerConfig = CONTROL,
    variation: Variation | None = None,
) -> Tally:
    """Let the expert of `task` try the given number of seeds; a share `noise` of its moves is disturbed.

    With a `doubt` it leads in a closed loop instead, by what is seen so. `control`: limits, and how high the table is.
    """
    tally, table = Tally(), control.guard.workspace.table_height
    with Episode(task, first_seed, variation, control=control, table=table) as episode:
        start = time.perf_counter()
        for seed in range(first_seed, first_seed + episodes):
            episode.reset(seed)
            if doubt is None:
                _attempt(episode, tally, noise, look, np.random.default_rng(seed))
            else:
                _lead(episode, tally, Doubtful(episode, doubt, seed))
            if episode.success():
                tally.succeeded += 1
            else:
                tally.failed_seeds.append(seed)
            tally.steps.append(episode.steps)
            tally.simulated.append(episode.time)
        tally.seconds = time.perf_counter() - start
    return tally


def _attempt(episode: Episode, tally: Tally, noise: float, look: bool, rng: np.random.Generator) -> None:
    while not episode.finished:
        if look:
            episode.observe()
        action = episode.expert()
        outcome = episode.step(disturbed(action, rng) if rng.random() < noise else action)
        if outcome.reason:
            tally.refusals[outcome.reason] += 1


def _lead(episode: Episode, tally: Tally, expert: Doubtful) -> None:
    loop = ClosedLoop(episode)
    while not loop.finished:
        outcome = loop.step(expert.guidance())
        if outcome.reason:
            tally.refusals[outcome.reason] += 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="how often the scripted experts succeed")
    parser.add_argument("tasks", nargs="*", help=f"some of: {', '.join(TASKS)}; all by default")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode; the others follow")
    parser.add_argument("--noise", type=float, default=0.0, help="share of the expert's moves that are disturbed")
    parser.add_argument("--look", action="store_true", help="observe at every step, as a policy does")
    parser.add_argument(
        "--camera", choices=VIEWPOINTS, default=FIXED, help="where the front camera is (default: fixed)"
    )
    at = parser.add_argument_group("at a site", "without --site neither boxes nor a cap of the tool's speed")
    at.add_argument("--site", type=user_path, metavar="FILE", help="site file: boxes, table, limits, speed")
    at.add_argument("--speed-scale", type=float, default=1.0, help="share of the joints' speed, 0 to 1 (default: 1)")
    closed = parser.add_argument_group("in a closed loop", "led by the mean of what the expert would do at 8 places")
    closed.add_argument("--beside", type=float, help="m, standard deviation by which an episode is seen wrong")
    closed.add_argument("--unsure", type=float, help="m, standard deviation of the 8 places around the wrong one")
    options = parser.parse_args()
    for name in ("beside", "unsure"):
        if not 0.0 <= (getattr(options, name) or 0.0) < 1.0:
            parser.error(f"--{name} is {getattr(options, name)}; it must be from 0 to below 1 m, such as 0.02")
    given = options.beside is not None or options.unsure is not None
    doubt = Doubt(options.beside or 0.0, options.unsure or 0.0) if given else None
    if unknown := [task for task in options.tasks if task not in TASKS]:
        parser.error(f"no task is called {unknown[0]!r}; there are: {', '.join(TASKS)}")
    if options.episodes < 1:
        parser.error(f"--episodes is {options.episodes}; it must be at least 1")
    try:
        control = replace(CONTROL, speed_scale=options.speed_scale)
        if options.site:
            mounts = load_extrinsics(resource("config", "cameras.yaml")).values()
            control = replace(control, guard=load_site(options.site).guard(mounts))
    except ValueError as error:
        parser.error(str(error))
    print("| task | success | 95 % interval (Wilson) | steps | s simulated | s per episode | failed seeds |")
    print(7 * "|---" + "|")
    for task in options.tasks or TASKS:
        variation = Variation(camera=options.camera)
        tally = check(task, options.episodes, options.seed, options.noise, options.look, doubt, control, variation)
        print(tally.row(task), flush=True)
        for reason, count in tally.refusals.most_common(3):
            print(f"  {count} x {reason}")


if __name__ == "__main__":
    main()
