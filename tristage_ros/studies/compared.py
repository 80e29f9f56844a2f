"""What the studies compare at equal kept tokens: baselines, tri-stage with parts of it changed, and controls.

Every function returns one row. Rows at the same rate keep the same number of tokens in a pruned step, in the same
bucket of 16, and guarded ones have the guard of the robot preset. Differences that a name does not show are in labels.
"""

from __future__ import annotations

from dataclasses import replace

from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.scale import PAPER_MEAN, carried_threshold
from tristage_ros.studies.variant import Preset, Settings, Variant

IN_PASS = ("fastv", "vla_pruner", "dart")  # methods that decide inside the pass
CARRIED: Settings = (("scale_3d", None), ("s1_feature", "pre_norm"))  # thresholds in units of the model
SPLITS = {"3:1": 0.75, "1:1": 0.5, "1:3": 0.25}  # of 2D to 3D tokens that are kept: the share of 2D


# Baselines.


def after_layer_1(method: str, rate: float, guard: bool = True, options: Settings = ()) -> Variant:
    """Return a method that decides inside the pass, as early as it can, once a step.

    The first pass of a step runs its first layer on all tokens and the rest on what is kept; the later passes have the
    kept tokens alone. So it keeps as many as the others do, and is as fast as it can be. VLA-Pruner prunes from the
    second step on, by as much history as there is, where as published it waits for three steps.
    """
    history = (("full_history", False),) if method == "vla_pruner" else ()
    return Variant(method, rate, guard, layer=1, options=(("for_good", True), *history, *options))


def compute_matched(method: str, rate: float, layers: int, guard: bool = True) -> Variant | None:
    """Return it with `rate` as the mean over the layers of a decoder, the first of which sees everything in every pass.

    It keeps less behind the first layer than the others keep at all. None where the first layer alone is too much.
    """
    if layers * (1 - rate) <= 1:
        return None
    behind = (("target_rate", round(layers * rate / (layers - 1), 4)),)
    return Variant(method, rate, guard, settings=behind, layer=1)


def attention_alone(rate: float, guard: bool = True) -> Variant:
    """Return the budget filled by smoothed attention alone, token by token: the robot preset without its stages."""
    return Variant("attention", rate, guard, "robot")


# Tri-stage with parts of it changed.


def carried_over(rate: float | None, preset: Preset = "robot") -> Variant:
    """Return the paper's thresholds in units of the model; in the robot preset they are, and it is guarded."""
    if preset == "robot":
        return Variant("tristage", rate, True, preset)
    return Variant("tristage", rate, False, preset, CARRIED, note="carried over")


def literal(rate: float | None, preset: Preset = "paper") -> Variant:
    """Return the thresholds of stage 1 as the paper prints them, which are in units of its own model."""
    if preset == "paper":
        return Variant("tristage", rate, False, preset)
    return Variant("tristage", rate, True, preset, (("scale_3d", 1.0),), note="literal thresholds")


def without_stage_1(rate: float | None, guard: bool = True, preset: Preset = "robot") -> Variant:
    """Return stages 2 and 3 alone."""
    return Variant("tristage", rate, guard, preset, (("stages", frozenset({2, 3})),), note="stage 1 off")


def rescaled(rate: float | None, factor: float, note: str) -> Variant:
    """Return the robot preset with `factor` times the model's scale: the odds of both thresholds are so many times."""
    paper = PruningConfig()
    taus = {name: round(carried_threshold(getattr(paper, name), factor), 4) for name in ("tau_2d", "tau_3d")}
    return Variant("tristage", rate, True, "robot", tuple(taus.items()), note=note)


def no_3d_only(rate: float | None) -> Variant:
    """Return a stage 1 that keeps the image token of every patch: 2D alone below the middle of M_3d, both from there.

    The middle is that of the model's patches with 3D tokens, as its scale has it: PAPER_MEAN in its units.
    """
    return Variant("tristage", rate, True, "robot", (("tau_2d", PAPER_MEAN), ("tau_3d", 1.0)), note="no 3D-only")


def weighted(variant: Variant) -> Variant:
    """Return a tri-stage variant whose stages only advise the budget: what they drop competes with it, weighted."""
    return replace(variant, method="weighted")


# Controls.


def fixed_split(split: str, rate: float, guard: bool = True, preset: Preset = "robot") -> Variant:
    """Return tri-stage whose kept tokens are 2D and 3D in a fixed proportion, a key of SPLITS."""
    return Variant("split", rate, guard, preset, options=(("share_2d", SPLITS[split]),), note=split)


def lot_of_3d(rate: float = 0.99) -> Variant:
    """Return nearly all 3D tokens dropped by lot, and no 2D token: about half of all."""
    return Variant("random", rate, modality="3D")


def one_modality(modality: str) -> Variant:
    """Return the tokens of one modality alone, 2D or 3D, in every step."""
    return Variant("one_modality", options=(("modality", modality),), note=modality)
