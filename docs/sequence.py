"""Draw docs/sequence.png: the token sequence of a control step, what is cached of it, and what pruning leaves out."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

ORANGE, BLUE, GREY, GREEN, RED = "#e8964a", "#5b9bd5", "#c9c9c9", "#7fb77e", "#d9605a"
# name, first and last position for a prompt of 16 tokens, width on paper, colour
PREFIX = [
    ("BOS", "0", 0.9, GREY),
    ("3D tokens (points)", "1 … 256", 6.0, ORANGE),
    ("2D tokens (image, row by row)", "257 … 512", 6.0, BLUE),
    ("zero", "513", 0.9, GREY),
    ("prompt", "514 … 528", 2.4, GREY),
    ("state", "529", 1.1, GREEN),
]
SUFFIX = [("step", "530", 1.1, RED), ("action", "531", 1.1, RED)]
UNSEEN = ("␣", "532", 0.9, "white")
CELLS = 24  # drawn for a visual block
PRUNED = 0.7


def box(axes: Axes, left: float, bottom: float, width: float, colour: str, text: str = "", **options) -> None:
    """Draw a token, or a block of tokens."""
    axes.add_patch(Rectangle((left, bottom), width, 0.8, facecolor=colour, edgecolor="black", lw=0.8, **options))
    axes.text(left + width / 2, bottom + 0.4, text, ha="center", va="center", fontsize=9)


def bracket(axes: Axes, left: float, right: float, height: float, text: str) -> None:
    """Draw a bracket from below, and what it says."""
    axes.plot([left, left, right, right], [height + 0.15, height, height, height + 0.15], color="black", lw=1)
    axes.text((left + right) / 2, height - 0.15, text, ha="center", va="top", fontsize=9)


def draw_sequence(axes: Axes, bottom: float, pruned: bool) -> tuple[float, float]:
    """Draw one sequence and return where its suffix begins and ends."""
    left, suffix = 0.0, 0.0
    random = np.random.default_rng(3)
    for name, positions, width, colour in [*PREFIX, *SUFFIX, UNSEEN]:
        if name == SUFFIX[0][0]:
            left = suffix = left + 0.35
        if name == UNSEEN[0]:
            end, left = left, left + 0.35
        if pruned and "tokens" in name:
            for cell, keep in enumerate(random.random(CELLS) > PRUNED):
                x = left + cell * width / CELLS
                box(axes, x, bottom, width / CELLS, colour if keep else "white", alpha=1 if keep else 0.35)
        else:
            box(axes, left, bottom, width, colour, name, ls="--" if name == UNSEEN[0] else "-")
        if not pruned:
            axes.text(left + width / 2, bottom + 0.95, positions, ha="center", va="bottom", fontsize=7.5)
        left += width
    return suffix, end


def main() -> None:
    """Draw the picture beside this script."""
    figure, axes = plt.subplots(figsize=(13, 4.9))
    suffix, end = draw_sequence(axes, 4.1, pruned=False)
    visual = PREFIX[0][2], PREFIX[0][2] + PREFIX[1][2] + PREFIX[2][2]
    bracket(
        axes,
        0,
        suffix - 0.35,
        3.75,
        "prefix: embedded and prefilled once per control step,\nkeys and values of all layers cached",
    )
    bracket(axes, suffix, end, 3.75, "suffix: 2 tokens in\neach of 8 passes")
    axes.text(end + 0.35, 3.75, "never\ncomputed", ha="left", va="top", fontsize=9)
    draw_sequence(axes, 1.35, pruned=True)
    bracket(axes, *visual, 1.0, "pruned: white tokens are never embedded or tokenised; the others keep their positions")
    bracket(axes, suffix, end, 1.0, "their attention is\nwhat pruning learns from")
    axes.text(0, 5.6, "position (prompt of 16 tokens)", fontsize=7.5, va="bottom")
    axes.set_xlim(-0.2, end + 1.8)
    axes.set_ylim(0, 6.0)
    axes.axis("off")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
