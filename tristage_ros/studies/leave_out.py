"""What a token is worth, by leaving it out: how far the action moves without a patch's 2D token, its 3D tokens, both.

The truth that an importance measure is held against. The action is denoised to its end from the same noise every time,
all other tokens kept; what a redraw of the noise does to it says which movement counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Action, Observation
from tristage_ros.pruning import FrameContext, TokenGeometry, TokenMasks
from tristage_ros.pruning.baselines import Baseline
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.studies.salience_trace import record_trace

Floats = NDArray[np.float64]

KINDS = ("2D", "3D", "both")  # what is left out of a patch
DRAWS = 20  # of the noise
BY_CHANCE = 0.95  # quantile of what a redraw moves the action by


class LeaveOut(Baseline):
    """Keep every token but those of one patch."""

    needs_rate = False

    def __init__(self) -> None:
        """Leave nothing out."""
        super().__init__(PruningConfig())
        self.patch: int | None = None
        self.kind = "both"

    def _keeps_all(self) -> bool:
        return False

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        masks = TokenMasks.all_kept(geometry)
        if self.patch is None:
            return masks
        keep_2d, keep_3d = masks.keep_2d.clone(), masks.keep_3d.clone()
        if self.kind != "3D":
            keep_2d[self.patch] = False
        if self.kind != "2D":
            keep_3d[geometry.patch_of_point == self.patch] = False
        return TokenMasks(keep_2d, keep_3d)


@dataclass(frozen=True)
class Losses:
    """Hold how far the goal moves without the tokens of a patch, m; NaN where there are none of that kind."""

    of_2d: Floats  # [P]
    of_3d: Floats  # [P]
    of_both: Floats  # [P]
    by_chance: float  # m, what a redraw of the noise moves it by, but for one in twenty
    shown: TraceStep  # the salience of the same observation, all tokens kept

    def of(self, kind: str) -> Floats:
        """Return those of one of KINDS."""
        return {"2D": self.of_2d, "3D": self.of_3d, "both": self.of_both}[kind]

    def needed(self, kind: str) -> NDArray[np.bool_]:
        """Return which patches [P] the action needs: without their tokens it moves by more than by chance."""
        needed: NDArray[np.bool_] = np.nan_to_num(self.of(kind)) > self.by_chance
        return needed


def losses(make: Callable[[Baseline], MlaPolicy], instruction: str, observation: Observation) -> Losses:
    """Leave out one patch after the other of what a policy, which `make` gives a pruner, sees in its first step."""
    pruner = LeaveOut()
    policy = make(pruner)

    def goal(patch: int | None = None, kind: str = "both") -> Floats:
        policy.reset(instruction)
        pruner.patch, pruner.kind = patch, kind
        return _goal(policy.act(observation)[0])

    (shown,) = record_trace(policy, instruction, [observation])
    whole, of_point = goal(), shown.geometry.patch_of_point.numpy()
    bearing = np.unique(of_point[of_point >= 0])
    found = {kind: np.full(shown.geometry.patches, np.nan) for kind in KINDS}
    for kind in KINDS:
        for patch in range(shown.geometry.patches) if kind == "2D" else bearing:
            found[kind][patch] = np.linalg.norm(goal(int(patch), kind) - whole)
    policy.reset(instruction)
    pruner.patch = None
    draws = np.array([_goal(policy.act(observation)[0]) for _ in range(DRAWS)])
    apart = np.linalg.norm(draws[1:] - draws[:-1], axis=1)
    return Losses(*found.values(), float(np.quantile(apart, BY_CHANCE)), shown)


def _goal(action: Action) -> Floats:
    goal: Floats = np.asarray(action.translation[0], np.float64)
    return goal
