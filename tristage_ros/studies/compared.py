"""What the studies compare at equal kept tokens: baselines, tri-stage with parts of it changed, and controls.

Every function returns one row. Rows at the same rate keep the same number of tokens in a pruned step, in the same
bucket of 16, and guarded ones have the guard of the robot preset. Differences that a name does not show are in labels.
"""

from __future__ import annotations

from tristage_ros.pruning import PruningConfig
from tristage_ros.studies.variant import Preset, Settings, Variant

IN_PASS = ("fastv", "vla_pruner", "dart")  # methods that decide inside the pass
LITERAL = (("tau_2d", PruningConfig().tau_2d), ("tau_3d", PruningConfig().tau_3d))  # as the paper prints them
UNWEIGHTED = (("drop_weight", None), ("weight_3d", 1.0))  # a budget without what undoes stage 1
SPLITS = {"3:1": 0.75, "1:1": 0.5, "1:3": 0.25}  # of 2D to 3D tokens that are kept: the share of 2D


# Baselines.


def after_layer_1(method: str, rate: float, guard: bool = True) -> Variant:
    """Return a method that decides inside the pass, as early as it can, once a step.

    The first pass of a step runs its first layer on all tokens and the rest on what is kept; the later passes have the
    kept tokens alone. So it keeps as many as the others do, and is as fast as it can be. VLA-Pruner prunes from the
    second step on, by as much history as there is, where as published it waits for three steps.
    """
    history = (("full_history", False),) if method == "vla_pruner" else ()
    return Variant(method, rate, guard, layer=1, options=(("for_good", True), *history))


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


def without_stage_1(rate: float | None, guard: bool = True, preset: Preset = "robot") -> Variant:
    """Return stages 2 and 3 alone."""
    return Variant("tristage", rate, guard, preset, (("stages", frozenset({2, 3})),))


def literal(rate: float | None, guard: bool = True, preset: Preset = "robot") -> Variant:
    """Return the thresholds of stage 1 as the paper prints them, which are in units of its own model."""
    return Variant("tristage", rate, guard, preset, LITERAL, note="literal thresholds")


def carried_over(rate: float | None, thresholds: Settings, guard: bool = True, preset: Preset = "robot") -> Variant:
    """Return the paper's thresholds in the units of another model: tau_2d and tau_3d as settings."""
    return Variant("tristage", rate, guard, preset, thresholds, note="thresholds carried over")


def no_3d_only(rate: float | None, median: float, guard: bool = True, preset: Preset = "robot") -> Variant:
    """Return a stage 1 that keeps the image token of every patch: 2D alone below the median of M_3d, both from there.

    `median` is that of the patches with 3D tokens: `Thresholds.median_of_bearing`.
    """
    thresholds = (("tau_2d", round(median, 4)), ("tau_3d", 1.0))
    return Variant("tristage", rate, guard, preset, thresholds, note="no 3D-only")


def unweighted(variant: Variant) -> Variant:
    """Return a variant of the robot preset without `drop_weight` and `weight_3d`."""
    note = f"{variant.note}, unweighted" if variant.note else "unweighted"
    settings = (*variant.settings, *UNWEIGHTED)
    return Variant(variant.method, variant.rate, variant.guard, variant.preset, settings, note=note,
                   options=variant.options)  # fmt: skip


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


def compared(rate: float, layers: int, median: float, carried: Settings, guard: bool = True) -> list[Variant]:
    """Return all of them at a rate, in the order of this file, the compute-matched ones last of the baselines."""
    matched = [compute_matched(method, rate, layers, guard) for method in IN_PASS]
    staged = [Variant("tristage", rate, guard, "robot"), literal(rate, guard), carried_over(rate, carried, guard),
              no_3d_only(rate, median, guard)]  # fmt: skip
    return [
        *(Variant(method, rate, guard) for method in ("random", "sp_vla")),
        *(after_layer_1(method, rate, guard) for method in IN_PASS),
        *(variant for variant in matched if variant is not None),
        attention_alone(rate, guard),
        without_stage_1(rate, guard),
        *staged,
        *(unweighted(variant) for variant in staged),
        *(fixed_split(split, rate, guard) for split in SPLITS),
        lot_of_3d(),
        *(one_modality(modality) for modality in ("2D", "3D")),
    ]
