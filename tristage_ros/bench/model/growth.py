"""How latency grows with visual tokens, and preprocessing with points in the cloud."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from tristage_ros.bench.model.table import Table
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.workloads import Workload, observe
from tristage_ros.mla.inputs import sample_cloud
from tristage_ros.mla.passes import ENGINES, EngineName, Prefix, make_engine

TOKENS = (64, 128, 256, 512, 1024)
POINTS = (1_000, 4_000, 16_000, 64_000)
BESIDES = 20  # text and state tokens
TOKENS_NOTE = "All passes of the decoder for one control step, without tokenizers."
POINTS_NOTE = "Thinning the cloud to the model's points by farthest-point sampling on the CPU."


def measure_tokens(workload: Workload, rounds: Rounds) -> dict[str, dict[int, float]]:
    """Return the milliseconds of all passes of a step by engine and number of visual tokens."""
    calls: dict[str, Callable[[int], object]] = {
        f"{engine} {tokens}": partial(_passes, workload, engine, tokens) for engine in ENGINES for tokens in TOKENS
    }
    times = medians(alternate(calls, rounds, workload.device))
    return {engine: {tokens: times[f"{engine} {tokens}"] for tokens in TOKENS} for engine in ENGINES}


@torch.inference_mode()
def _passes(workload: Workload, engine: EngineName, tokens: int, index: int) -> None:
    model, length = workload.model, tokens + BESIDES
    suffix = torch.zeros(1, 1 + model.config.chunk, model.config.width, device=model.device, dtype=model.dtype)
    prefix = Prefix(suffix.new_zeros(1, length, model.config.width), torch.arange(length, device=model.device))
    after = torch.arange(length, length + suffix.shape[1], device=model.device)
    passes = make_engine(engine, model.llm, prefix, after)
    for _ in range(model.config.denoising_steps):
        passes.run(suffix)


def measure_points(workload: Workload, rounds: Rounds) -> dict[int, float]:
    """Return the milliseconds of thinning a cloud by its number of points."""
    clouds = {points: observe(0, points).points for points in POINTS}
    wanted = workload.model.config.points

    def call(points: int, index: int) -> object:
        return sample_cloud(clouds[points], wanted)

    calls = {str(points): partial(call, points) for points in POINTS}
    times = medians(alternate(calls, rounds, torch.device("cpu")))
    return {points: times[str(points)] for points in POINTS}


def growth_tables(tokens: dict[str, dict[int, float]], points: dict[int, float]) -> list[Table]:
    """Return the tables of both."""
    by_tokens = Table("Growth with visual tokens", ("engine, ms", *map(str, TOKENS)), note=TOKENS_NOTE)
    by_tokens.rows.extend((engine, *(f"{row[n]:.1f}" for n in TOKENS)) for engine, row in tokens.items())
    by_points = Table("Growth with points", ("points", *map(str, POINTS)), note=POINTS_NOTE)
    by_points.rows.append(("ms", *(f"{points[n]:.1f}" for n in POINTS)))
    return [by_tokens, by_points]
