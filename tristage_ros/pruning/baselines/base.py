"""What every baseline shares with the tri-stage pruner: steps, guard, age limit, budget, report, past attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from tristage_ros.pruning.checks import check_geometry, check_masks, checked_magnitudes
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.decision import budget_size, excess, keep_best, most_urgent, split_budget, with_anchor
from tristage_ros.pruning.guard import View, after_pass, changed_patches, check_guard, urgency, view_of
from tristage_ros.pruning.report import PruningReport, summarise_masks
from tristage_ros.pruning.stages import StageClock, salience_of_patches
from tristage_ros.pruning.values import (
    FrameContext,
    Salience,
    TokenGeometry,
    TokenMasks,
    patches_with_any,
    value_at_points,
)


@dataclass
class _Step:
    """Hold what belongs to one control step only."""

    number: int = 0
    observed: bool = False
    geometry: TokenGeometry | None = None
    frame: View | None = None
    forced: Tensor | None = None  # bool [P] patches that are kept whatever the method says
    changed: Tensor | None = None  # bool [P] those of them that moved
    urgency: Tensor | None = None  # long [P] of seeing a patch again
    masks: TokenMasks | None = None
    excess: Tensor | None = None  # long scalar, protected tokens beyond the budget
    clock: StageClock = field(default_factory=StageClock)


class Baseline:
    """Keep every token; the methods to compare with choose fewer.

    Of the configuration, `target_rate`, `token_bucket`, the change guard, `refresh_every`, `max_age`, `watch_share`,
    `observe_every` and `seed` mean what they mean for the tri-stage pruner; the rest has no effect. Protected from
    the budget are patches that changed or are due by age, those never seen where the guard is on, within the share of
    what is watched, and the 3D tokens outside the image. At least one 2D token survives.
    """

    needs_rate: ClassVar[bool] = True
    learns: ClassVar[bool] = False  # from observed salience

    def __init__(self, config: PruningConfig | None = None) -> None:
        """Start without state. Raises ValueError where the method needs a `target_rate` and there is none."""
        config = PruningConfig() if config is None else config
        if self.needs_rate and config.target_rate is None:
            raise ValueError(f"target_rate = None, but {type(self).__name__} prunes to a rate: set it")
        # No baseline waits for the first pass of a step to plan its masks, as switching off stage 3 would ask for.
        self.config = replace(config, stages=frozenset({1, 2, 3}))
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._history: Tensor | None = None
        self._last_seen: Tensor | None = None  # long [P] step in which the model last saw a token of the patch
        self._seen: View | None = None
        self._step = _Step()

    def begin_step(self) -> None:
        """Begin the next control step."""
        self._step = _Step(self._step.number + 1)

    @property
    def wants_salience(self) -> bool:
        """Tell whether the next `observe()` needs salience."""
        number = self._step.number + (self._step.observed or self._step.number == 0)
        return self.learns and (self._history is None or (number - 1) % self.config.observe_every == 0)

    @property
    def looks(self) -> int:
        """Return how many steps after a reset keep every token, because nothing is known yet or all is refreshed."""
        return int(self.learns or self.config.refresh_every is not None)

    @torch.no_grad()
    def plan(self, geometry: TokenGeometry, frame: FrameContext | None = None) -> TokenMasks:
        """Return the masks of this step; what they are made of is checked as by `TriStagePruner.plan`."""
        self._check_geometry(geometry)
        begins = self._step.number == 0 or self._step.observed
        view = view_of(self.config, geometry, frame) or (None if begins else self._step.frame)
        check_guard(self.config, frame, view)
        self._check_frame(geometry, frame)
        if begins:
            self.begin_step()
        step = self._step
        step.geometry, step.frame = geometry, view
        with step.clock.timed("fusion"):
            step.forced, step.changed, step.urgency = self._forced(geometry)
            step.masks = TokenMasks.all_kept(geometry) if self._keeps_all() else self._choose(geometry, frame)
        return step.masks

    @torch.no_grad()
    def observe(
        self,
        geometry: TokenGeometry,
        masks: TokenMasks,
        salience: Salience | None = None,
        frame: FrameContext | None = None,
    ) -> None:
        """Learn from a pass that ran with `masks`; `salience` is looked at where `wants_salience` says so."""
        self._check_geometry(geometry)
        check_masks(geometry, masks)
        wanted = self.wants_salience
        if wanted and salience is None:
            raise ValueError("salience = None, but this step's salience is wanted: see wants_salience")
        magnitudes = None if salience is None or not wanted else checked_magnitudes(masks, salience)
        view = view_of(self.config, geometry, frame)
        if self._step.number == 0 or self._step.observed:
            self.begin_step()
        step = self._step
        if magnitudes is not None:
            self._history = self._learn(geometry, masks, magnitudes)
        kept_3d = patches_with_any(geometry, masks.keep_3d)
        seen = masks.keep_2d | kept_3d
        before = torch.zeros_like(seen, dtype=torch.long) if self._last_seen is None else self._last_seen
        self._last_seen = before.masked_fill(seen, step.number)
        now = view or step.frame
        if now is not None:
            self._seen = after_pass(now, self._seen, geometry, masks.keep_2d, kept_3d)
        step.observed = True
        step.masks = masks

    def report_later(self) -> Callable[[], PruningReport]:
        """Return what returns this step in numbers, whatever comes after it."""
        report = self.report()
        return lambda: report

    def report(self) -> PruningReport:
        """Return this step in numbers; waits for the device."""
        step = self._step
        numbers: dict[str, Any] = {} if step.masks is None else summarise_masks(step.masks)
        if step.changed is not None:
            numbers["changed_patches"] = int(step.changed.sum())
        if self._last_seen is not None:
            numbers["oldest_patch"] = int((step.number - self._last_seen).max())
        if step.excess is not None:
            numbers["budget_excess"] = int(step.excess)
        return PruningReport(step=step.number, milliseconds=dict(step.clock.milliseconds), **numbers)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on, as plain values and copied tensors."""
        return {
            "step": self._step.number,
            "observed": self._step.observed,
            "history": None if self._history is None else self._history.clone(),
            "last_seen": None if self._last_seen is None else self._last_seen.clone(),
            "seen": None if self._seen is None else self._seen.to_dict(),
            "frame": None if self._step.frame is None else self._step.frame.to_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict()` was taken. Raises ValueError for anything else, changing nothing."""
        absent = [key for key in self.state_dict() if key not in state]
        if absent:
            raise ValueError(f"{type(self).__name__} state lacks {', '.join(absent)}; give what state_dict() returned")
        history, last_seen = (None if state[key] is None else state[key].clone() for key in ("history", "last_seen"))
        seen, frame = (None if state[key] is None else View.from_dict(state[key]) for key in ("seen", "frame"))
        self._history, self._last_seen, self._seen = history, last_seen, seen
        self._step = _Step(int(state["step"]), bool(state["observed"]), frame=frame)

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        """Return the masks of a step that may be pruned before its pass."""
        return TokenMasks.all_kept(geometry)

    def _learn(self, geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor) -> Tensor:
        """Return the new history."""
        raise NotImplementedError

    def _check_frame(self, geometry: TokenGeometry, frame: FrameContext | None) -> None:
        """Demand what the method looks at."""

    def _keeps_all(self) -> bool:
        """Tell whether this step is not pruned at all."""
        every = self.config.refresh_every
        return every is not None and (self._step.number - 1) % every == 0

    def _protection(self, geometry: TokenGeometry) -> tuple[Tensor, Tensor]:
        """Return the 2D tokens, bool [P], and 3D tokens, bool [N3], that this step keeps whatever the method says."""
        forced, wait = self._step.forced, self._step.urgency
        assert forced is not None  # plan() came first
        assert wait is not None
        share, outside = self.config.watch_share, geometry.patch_of_point < 0
        forced_3d = value_at_points(geometry, forced, False)
        if share is not None and self.config.target_rate is not None:
            wanted, wait = torch.cat([forced, forced_3d]), torch.cat([wait, value_at_points(geometry, wait, 0)])
            urgent = most_urgent(wanted, wait, round(share * self._size(geometry)))
            forced, forced_3d = urgent[: geometry.patches], urgent[geometry.patches :]
        return forced, forced_3d | outside

    def _size(self, geometry: TokenGeometry, rate: float | None = None) -> int:
        """Return how many tokens a step at `rate` (default: the target rate) keeps."""
        rate = self.config.target_rate if rate is None else rate
        assert rate is not None  # checked when the pruner was made
        return budget_size(geometry.patches + len(geometry.patch_of_point), rate, self.config.token_bucket)

    def _keep_best(
        self, geometry: TokenGeometry, first: Tensor, score: Tensor, size: int, by_modality: bool = False
    ) -> TokenMasks:
        """Keep `size` tokens: protected, then `first` (bool [P + N3]), then by `score` [P + N3], 2D tokens ahead.

        With `by_modality` each modality keeps its share of `size`, so that both are pruned at the same rate.
        """
        patches, tokens = geometry.patches, len(score)
        protected_2d, protected_3d = self._protection(geometry)
        protected_2d = with_anchor(protected_2d, first[:patches], score[:patches])
        protected = torch.cat([protected_2d, protected_3d])
        self._step.excess = excess(protected, size)
        if not by_modality:
            keep = keep_best(protected, first, score, size)
            return TokenMasks(keep[:patches], keep[patches:])
        size_2d = split_budget(protected_2d, protected_3d, size, patches / tokens)
        return TokenMasks(
            keep_best(protected_2d, first[:patches], score[:patches], size_2d),
            keep_best(protected_3d, first[patches:], score[patches:], size - size_2d),
        )

    def _forced(self, geometry: TokenGeometry) -> tuple[Tensor, Tensor, Tensor]:
        step, config = self._step, self.config
        nothing = torch.zeros(geometry.patches, dtype=torch.bool, device=geometry.patch_of_point.device)
        changed, due = nothing, nothing
        last_seen = torch.zeros_like(nothing, dtype=torch.long) if self._last_seen is None else self._last_seen
        if step.frame is not None and self._seen is not None:
            changed = changed_patches(step.frame, self._seen, config.change_guard, config.change_guard_depth)
        if config.guarded:
            due = last_seen == 0  # whether it moved cannot be told
        age = step.number - last_seen
        if config.max_age is not None:
            due = due | (age > config.max_age)
        return changed | due, changed, urgency(age, changed)

    def _check_geometry(self, geometry: TokenGeometry) -> None:
        check_geometry(geometry)
        if self._last_seen is not None and len(self._last_seen) != geometry.patches:
            state = len(self._last_seen)
            raise ValueError(f"geometry.patches = {geometry.patches}, but the state has {state}: reset()")


# Attention of past steps, for methods that learn from it: kept per patch because the order of 3D tokens changes from
# frame to frame.


def patch_attention(geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor, unseen: Tensor | None) -> Tensor:
    """Return the attention per token of every patch, mean over heads, float64 [2, P]: 2D, then 3D.

    `magnitudes` are what `checked_magnitudes` gave. Patches whose tokens were pruned get the value of
    `unseen`, [2, P]; None is zero.
    """
    shown = salience_of_patches(geometry, masks, magnitudes)
    per_token = shown.attention_3d.mean(1) / shown.tokens_3d.clamp(min=1.0)
    attention = torch.stack([shown.attention_2d.mean(1), per_token])
    return torch.where(shown.observed, attention, torch.zeros_like(attention) if unseen is None else unseen)


def at_tokens(geometry: TokenGeometry, attention: Tensor) -> Tensor:
    """Give every token, 2D ahead of 3D, the value of its patch, [2, P] to [P + N3]; zero outside the image."""
    return torch.cat([attention[0], value_at_points(geometry, attention[1], 0.0)])
