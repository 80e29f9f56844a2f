"""The pruner: plan which tokens a step keeps, observe what the model did with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tristage_ros.pruning.checks import check_geometry, check_masks, checked_magnitudes
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.decision import Circumstances, Decision, decide
from tristage_ros.pruning.guard import View, after_pass, changed_patches, check_guard, view_of
from tristage_ros.pruning.report import PruningReport, summarise
from tristage_ros.pruning.scale import compare_magnitudes
from tristage_ros.pruning.stages import PatchState, StageClock, background_to_keep, learn, propose, salience_of_patches
from tristage_ros.pruning.values import FrameContext, Salience, TokenGeometry, TokenMasks, patches_with_any


@dataclass
class _Step:
    """Hold what belongs to one control step only."""

    number: int = 0
    observed: bool = False
    geometry: TokenGeometry | None = None  # as planned with, as are these two
    context: FrameContext | None = None
    frame: View | None = None
    decision: Decision | None = None
    masks: TokenMasks | None = None
    clock: StageClock = field(default_factory=StageClock)


class TriStagePruner:
    """Prune 2D and 3D tokens in three stages (Alg. 1), with state kept per patch across control steps.

    With stage 3, `plan()` predicts the masks of a step before its frame is encoded, and `observe()` learns from the
    pass. Without it, `plan()` keeps all until the step was observed, and then returns the masks for its remaining
    passes. `begin_step()` separates steps; where it is left out, a step begins by itself with the first `plan()`
    (stage 3) or `observe()` after an observation.

    3D tokens in a patch that had none when it was last observed count as unknown where background rotates: both
    modalities of the patch are kept once. Otherwise the zeros that stood for their absence would keep them hidden.

    Thresholds of stage 1 are in units of `scale`. Where the settings leave it to the model, it is that of `scales`,
    which are known of the model by feature; one that is not is measured at the first look, frozen, and outlives resets.

    Invariants: the first step after a reset keeps all; at least one 2D token survives; every object patch keeps a
    token that exists; 3D tokens outside the image are kept; planning a step twice gives the same masks; a rejected
    call changes nothing.
    """

    share_2d: float | None = None  # of a budget, for 2D tokens; None: stages and attention say how many
    drop_weight: float | None = None  # under a budget, of the attention of what the stages drop; None: that comes last

    def __init__(self, config: PruningConfig | None = None, scales: Mapping[str, float] | None = None) -> None:
        """Start without state; `config` defaults to the paper's, `scales` are the model's by `s1_feature`."""
        self.config = PruningConfig() if config is None else config
        self.scales: dict[str, float] = dict(scales or {})
        self.reset()

    def reset(self) -> None:
        """Forget everything: for a new instruction, a gap in the observations or a moved camera."""
        self._checked: TokenGeometry | None = None
        self._state: PatchState | None = None
        self._seen: View | None = None
        self._step = _Step()

    def configure(self, config: PruningConfig) -> bool:
        """Take other settings from the next step on; call it between steps. Return whether all was forgotten for it.

        The state stays: what was observed of the patches, smoothed so far, seen when, does not depend on thresholds,
        shares and limits, and the next step decides anew by it. A weight of the past (`beta`, `window`) is that of
        observations to come. Features that are measured elsewhere (`s1_feature`) or in another unit (`scale_3d`) are
        other quantities: everything is forgotten, as by `reset()`. What a guard remembers is forgotten when it is
        switched off, for it ages unwatched.
        """
        before, self.config = self._unit, config
        forgets = self._unit != before
        if forgets:
            self.reset()
        elif not config.guarded:
            self._seen = None
        return forgets

    @property
    def scale(self) -> float | None:
        """Return what M_3d of stage 1 is measured in; None: the model's own, of which nothing is known yet."""
        return self.config.scale_3d or self.scales.get(self.config.s1_feature)

    def begin_step(self) -> None:
        """Begin the next control step."""
        self._step = _Step(self._step.number + 1)

    @property
    def wants_salience(self) -> bool:
        """Tell whether the next `observe()` needs salience: always at first, then every `observe_every` steps."""
        number = self._step.number + (self._step.observed or self._step.number == 0)
        return self._state is None or (number - 1) % self.config.observe_every == 0

    @property
    def looks(self) -> int:
        """Return how many steps after a reset keep every token, because nothing is known yet or all is refreshed."""
        return int(self._predicts or self.config.refresh_every is not None)

    def plan(self, geometry: TokenGeometry, frame: FrameContext | None = None) -> TokenMasks:
        """Return the masks of this step.

        `frame` is for the change guard, which needs its mean colours and uses its depths where it has them; planning
        the same step again may leave it out. Raises ValueError for a bad geometry or frame, and where the number of
        patches differs from the state's.
        """
        self._check_geometry(geometry)
        begins = self._step.number == 0 or (self._predicts and self._step.observed)
        view = view_of(self.config, geometry, frame) or (None if begins else self._step.frame)
        check_guard(self.config, frame, view)
        if begins:
            self.begin_step()
        step = self._step
        step.geometry, step.context, step.frame = geometry, frame, view
        if self._state is None or not (self._predicts or step.observed):
            step.decision, step.masks = None, TokenMasks.all_kept(geometry)
        else:
            step.decision = self._decide(geometry, self._state)
            step.masks = TokenMasks.all_kept(geometry) if self._refreshes else step.decision.masks
        return step.masks

    def observe(
        self,
        geometry: TokenGeometry,
        masks: TokenMasks,
        salience: Salience | None = None,
        frame: FrameContext | None = None,
    ) -> None:
        """Learn from a pass that ran with `masks`, whoever made them.

        `salience` may be left out, and is not looked at, where `wants_salience` is false. `frame` defaults to the
        one that this step was planned with. Raises ValueError for bad shapes, indices or magnitudes.
        """
        self._check_geometry(geometry)
        check_masks(geometry, masks)
        magnitudes = self._magnitudes(masks, salience) if self.wants_salience else None
        planned = not self._step.observed and self._step.geometry is geometry and self._step.context is frame
        view = None if planned else view_of(self.config, geometry, frame)
        if self._step.number == 0 or self._step.observed:
            self.begin_step()
        step = self._step
        if magnitudes is None:
            kept_3d = patches_with_any(geometry, masks.keep_3d)
        else:
            kept_3d = self._learn(geometry, masks, magnitudes)
        assert self._state is not None  # without a state salience is wanted
        self._state = self._state.seen(masks.keep_2d | kept_3d, step.number)
        now = view or step.frame
        if now is not None:
            self._seen = after_pass(now, self._seen, geometry, masks.keep_2d, kept_3d)
        step.observed = True
        step.masks = step.masks or masks

    def report(self) -> PruningReport:
        """Return this step in numbers; waits for the device."""
        return self.report_later()()

    def report_later(self) -> Callable[[], PruningReport]:
        """Return what puts this step's report together, once, whenever it is called: later steps change nothing."""
        step, config, state = self._step, self.config, self._state
        number, masks, decision, spent = step.number, step.masks, step.decision, dict(step.clock.milliseconds)
        return cache(lambda: replace(summarise(config, number, masks, decision, state), milliseconds=spent))

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on, as plain values and copied tensors."""
        return {
            "step": self._step.number,
            "observed": self._step.observed,
            "patches": None if self._state is None else self._state.to_dict(),
            "seen": None if self._seen is None else self._seen.to_dict(),
            "frame": None if self._step.frame is None else self._step.frame.to_dict(),
            "scales": dict(self.scales),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict()` was taken. Raises ValueError for anything else, changing nothing."""
        absent = [key for key in ("step", "observed", "patches", "seen", "frame", "scales") if key not in state]
        if absent:
            raise ValueError(f"pruner state lacks {', '.join(absent)}; give what state_dict() returned")
        patches = None if state["patches"] is None else PatchState.from_dict(state["patches"])
        seen, frame = (None if state[name] is None else View.from_dict(state[name]) for name in ("seen", "frame"))
        self._state, self._seen, self.scales = patches, seen, dict(state["scales"])
        self._step = _Step(int(state["step"]), bool(state["observed"]), frame=frame)

    @property
    def _predicts(self) -> bool:
        return 3 in self.config.stages

    @property
    def _unit(self) -> tuple[str, float | None]:
        return self.config.s1_feature, self.scale

    @property
    def _refreshes(self) -> bool:
        every = self.config.refresh_every
        return every is not None and (self._step.number - 1) % every == 0

    def _check_geometry(self, geometry: TokenGeometry) -> None:
        if geometry is not self._checked:
            check_geometry(geometry)
            self._checked = geometry
        if self._state is not None and self._state.patches != geometry.patches:
            raise ValueError(f"geometry.patches = {geometry.patches}, but the state has {self._state.patches}: reset()")

    def _magnitudes(self, masks: TokenMasks, salience: Salience | None) -> Tensor:
        if salience is None:
            raise ValueError("salience = None, but this step's salience is wanted: see wants_salience")
        magnitudes = checked_magnitudes(masks, salience)
        heads = salience.attention_2d.shape[1]
        if self._state is not None and self._state.heads != heads:
            raise ValueError(f"attention_2d has {heads} heads, but the state has {self._state.heads}: reset()")
        return magnitudes

    def _decide(self, geometry: TokenGeometry, state: PatchState) -> Decision:
        step, config = self._step, self.config
        given = self._circumstances(geometry, state)
        proposal = propose(config, state.predicted, given.has_points, given.keep_background, step.clock)
        with step.clock.timed("fusion"):
            attention = self._attention(geometry, state)
            return decide(config, geometry, proposal, given, attention, state.newest, self.share_2d, self.drop_weight)

    def _attention(self, geometry: TokenGeometry, state: PatchState) -> Tensor:
        """Return what a 2D and a 3D token of every patch count under a budget, [2, P]."""
        attention = state.predicted.attention
        return torch.stack([attention, attention])

    def _circumstances(self, geometry: TokenGeometry, state: PatchState) -> Circumstances:
        step, config = self._step, self.config
        age, due = step.number - state.last_seen, state.observations == 0
        if config.max_age is not None:
            due = due | (age > config.max_age)
        changed = None
        if step.frame is not None and self._seen is not None:
            changed = changed_patches(step.frame, self._seen, config.change_guard, config.change_guard_depth)
        rotating = config.background_sampling == "rotating"
        has_points = patches_with_any(geometry)
        if rotating:
            # Where there were no 3D tokens, the zeros in the state say nothing of those that are there now.
            due = due | (has_points & (state.magnitudes[1, :, 0] == 0))
        return Circumstances(
            has_points=has_points,
            keep_background=background_to_keep(
                geometry.patches, config.background_drop, rotating, config.seed, step.number, due.device
            ),
            changed=changed,
            due=due,
            age=age,
        )

    def _learn(self, geometry: TokenGeometry, masks: TokenMasks, magnitudes: Tensor) -> Tensor:
        """Learn from the magnitudes, and return the patches of which a 3D token was kept, bool [P]."""
        with self._step.clock.timed("stage2"):
            shown = salience_of_patches(geometry, masks, magnitudes)
        heads, device = shown.attention_2d.shape[1], geometry.patch_of_point.device
        state = self._state or PatchState.unobserved(geometry.patches, heads, device)
        if self.scale is None and (found := compare_magnitudes(state.newest_features(shown))):
            self.scales[self.config.s1_feature] = found.scale
        # Without a patch that shows both, M_3d is 0 or 1 in any unit.
        self._state = learn(self.config, state, shown, self._step.clock, self.scale or 1.0)
        return shown.kept_3d
