"""What the stages keep of a run, step by step, each variant in a row: a picture and a table.

`python -m tristage_ros.studies.masks --out docs` makes those of the documentation.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tristage_ros.mla.inputs import patch_colors, patch_depths
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.scales import load_scales
from tristage_ros.mla.values import Observation
from tristage_ros.perception.color import KEPT_COLORS, draw_overlay
from tristage_ros.pruning import FrameContext, PruningConfig, TokenMasks, TriStagePruner
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.reports.figures import KEPT_LABELS
from tristage_ros.reports.style import STYLE, legend_below
from tristage_ros.resources import find_checkpoint, resource, user_path
from tristage_ros.studies.observations import from_bag, from_cell
from tristage_ros.studies.options import CALIBRATE_INSTRUCTION
from tristage_ros.studies.salience_trace import record_trace

VARIANTS = {
    "S1": {1}, "S2": {2}, "S1 + S2": {1, 2}, "S1 + S3": {1, 3}, "S2 + S3": {2, 3}, "S1 + S2 + S3": {1, 2, 3},
}  # fmt: skip
INTERVAL = 0.3  # s between two steps of the simulated cell
GUARDED = "S1 + S2 + S3, guard"


def masks_of_run(config: PruningConfig, trace: Sequence[TraceStep], frames: Sequence[FrameContext]) -> list[TokenMasks]:
    """Return the masks that every step of a recorded run ends with; each step is observed as far as they let it."""
    pruner, kept = TriStagePruner(config), []
    for step, frame in zip(trace, frames, strict=True):
        pruner.begin_step()
        masks = pruner.plan(step.geometry, frame)
        pruner.observe(step.geometry, masks, step.salience)
        # Without stage 3 the step was observed on all tokens, and its remaining passes are pruned.
        kept.append(masks if 3 in config.stages else pruner.plan(step.geometry))
    return kept


def variants(
    config: PruningConfig, trace: Sequence[TraceStep], observations: Sequence[Observation]
) -> dict[str, list[TokenMasks]]:
    """Return the masks of the six variants of the ablation, and of the full method with the change guard, by name."""
    grid = math.isqrt(trace[0].geometry.patches)
    frames = [FrameContext(patch_colors(o.image, grid), patch_depths(o.depth, grid)) for o in observations]
    settings = {name: replace(config, stages=frozenset(stages)) for name, stages in VARIANTS.items()}
    settings[GUARDED] = replace(config, change_guard=12 / 255, change_guard_depth=0.02)
    return {name: masks_of_run(changed, trace, frames) for name, changed in settings.items()}


def table(by_variant: dict[str, list[TokenMasks]], skip: int = 1) -> str:
    """Return a Markdown table: tokens pruned, and the patches whose masks flip between steps; without `skip` steps."""
    lines = ["| stages | pruned | 2D | 3D | patches that change from step to step |", "|---|---|---|---|---|"]
    for name, kept in by_variant.items():
        keep_2d = torch.stack([masks.keep_2d for masks in kept[skip:]])
        keep_3d = torch.cat([masks.keep_3d for masks in kept[skip:]])
        rates = (torch.cat([keep_2d.flatten(), keep_3d]), keep_2d, keep_3d)
        pruned = " | ".join(f"{1 - float(keep.float().mean()):.0%}" for keep in rates)
        flips = float((keep_2d[1:] != keep_2d[:-1]).float().mean())
        lines.append(f"| {name} | {pruned} | {flips:.0%} |")
    return "\n".join(lines) + "\n"


def figure(
    by_variant: dict[str, list[TokenMasks]],
    trace: Sequence[TraceStep],
    observations: Sequence[Observation],
    shown: Sequence[int],
) -> Figure:
    """Draw the masks of the `shown` steps (from 0) over the front image, a row for every variant."""
    drawing = Figure(figsize=(2.2 * len(shown) + 0.4, 1.75 * len(by_variant) + 0.6))
    axes = drawing.subplots(len(by_variant), len(shown), squeeze=False)
    for row, (name, kept) in zip(axes, by_variant.items(), strict=True):
        for ax, step in zip(row, shown, strict=True):
            index = trace[step].geometry.patch_of_point.numpy().astype(np.int64)
            image, masks = observations[step].image, kept[step]
            ax.imshow(draw_overlay(image, masks.keep_2d.numpy(), masks.keep_3d.numpy(), index))
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        row[0].set_ylabel(name)
    for ax, step in zip(axes[0], shown, strict=True):
        ax.set_title(f"step {step + 1}", fontweight="normal", fontsize=9)
    patches = [Patch(color=f"#{bytes(KEPT_COLORS[kind]).hex()}", label=label) for kind, label in KEPT_LABELS.items()]
    legend_below(drawing, patches, columns=4)
    return drawing


def main(arguments: Sequence[str] | None = None) -> int:
    """Record a run of the simulated cell, or take that of a bag, and write masks.png and masks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=user_path, required=True, help="folder of masks.png and masks.md")
    parser.add_argument("--checkpoint", default="", help="model (default: the shipped mini; random: RANDOM WEIGHTS)")
    parser.add_argument("--bag", type=user_path, help="MCAP bag; without it the simulated cell")
    parser.add_argument("--steps", type=int, default=24)
    options = parser.parse_args(arguments)
    config = PruningConfig(s1_feature="pre_norm", background_sampling="rotating")
    cameras, weights = resource("config", "cameras.yaml"), find_checkpoint(options.checkpoint)
    seen = from_cell(options.steps, INTERVAL, cameras) if options.bag is None else from_bag(options.bag, cameras)
    observations = list(seen)[: options.steps]
    trace = record_trace(build_policy(weights, config), CALIBRATE_INSTRUCTION, observations)
    config = config.carried(load_scales(weights).get(config.s1_feature))
    by_variant = variants(config, trace, observations)
    shown = np.linspace(1, len(trace) - 1, 6).round().astype(int).tolist()
    options.out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figure(by_variant, trace, observations, shown).savefig(options.out / "masks.png", dpi=80)
    (options.out / "masks.md").write_text(table(by_variant), encoding="utf-8")
    print(table(by_variant))
    return 0


if __name__ == "__main__":
    sys.exit(main())
