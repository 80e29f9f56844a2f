"""The pruner alone, on one thread: plan and observe, and how they grow with the number of patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from tristage_ros.bench.model.table import Table
from tristage_ros.bench.model.timing import Rounds, alternate
from tristage_ros.bench.model.variants import TimedPruner, Variant, prune
from tristage_ros.pruning import Salience, TokenGeometry, TokenMasks

HEADS = 32
SIZES = (256, 512, 1024, 2048, 4096)  # patches, and as many 3D tokens
PARTS = ("stage1", "stage2", "stage3", "fusion")
RATE = 0.7
NOTE = (
    "Milliseconds per control step on one CPU thread, 32 heads, as many 3D tokens as patches, r = 70 %. Stage 2 "
    "holds the exact clustering, which sets the growth."
)


class PruningLoop:
    """Plan and observe in turn with salience made up anew for every step."""

    def __init__(self, patches: int) -> None:
        """Start without state."""
        generator = torch.Generator().manual_seed(0)
        self.geometry = TokenGeometry(torch.randint(0, patches, (patches,), generator=generator), patches)
        self.salience = [_salience(patches, generator) for _ in range(4)]
        self.pruner = TimedPruner(prune(Variant("", "tristage", RATE)))
        self.stages: list[dict[str, float]] = []

    @torch.inference_mode()  # as the policy does
    def step(self, index: int) -> None:
        """Run one control step without a model."""
        self.pruner.begin_step()
        geometry = replace(self.geometry)  # as new in every step, with nothing worked out about it yet
        masks = self.pruner.plan(geometry)
        self.pruner.observe(geometry, masks, _seen(self.salience[index % 4], masks))
        self.stages.append(self.pruner.report().milliseconds)


def measure_pruning(rounds: Rounds, sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """Return the median milliseconds of plan, observe and every stage, by number of patches."""
    loops = {patches: PruningLoop(patches) for patches in sizes}
    with one_thread():
        for patches, loop in loops.items():  # one after another: a large one would empty the small one's cache
            alternate({str(patches): loop.step}, rounds, torch.device("cpu"))
    results = []
    for patches, loop in loops.items():
        steps = zip(loop.stages, loop.pruner.steps, strict=True)
        measured = [stages | whole for stages, whole in steps][rounds.warm_up :]
        row: dict[str, Any] = {f"{part}_ms": median(p[part] for p in measured) for part in (*PARTS, "plan", "observe")}
        row["step_ms"] = median(p["plan"] + p["observe"] for p in measured)
        results.append({"patches": patches} | row)
    return results


def pruning_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of the rows."""
    columns = ("patches", "plan + observe", "plan", "observe", "stage 1", "stage 2", "stage 3", "fusion")
    table = Table("Pruning alone", columns, note=NOTE)
    for row in rows:
        parts = (row[f"{name}_ms"] for name in ("step", "plan", "observe", *PARTS))
        table.rows.append((str(row["patches"]), *(f"{value:.3f}" for value in parts)))
    return table


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch on the calling thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _salience(patches: int, generator: torch.Generator) -> Salience:
    feature = torch.rand(2, patches, generator=generator) + 0.1
    attention = torch.rand(2, patches, HEADS, generator=generator).pow(8)
    return Salience(*feature, *attention)


def _seen(salience: Salience, masks: TokenMasks) -> Salience:
    def blank(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return values.masked_fill(~keep.view(-1, *[1] * (values.ndim - 1)), torch.nan)

    return Salience(
        blank(salience.feature_2d, masks.keep_2d),
        blank(salience.feature_3d, masks.keep_3d),
        blank(salience.attention_2d, masks.keep_2d),
        blank(salience.attention_3d, masks.keep_3d),
    )
