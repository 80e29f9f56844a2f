"""The command `tristage calibrate`: a recorded run -> thresholds of stage 1, a table and a plot."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
import yaml
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.prompt import prompt_text
from tristage_ros.mla.trace_file import load_trace, save_trace
from tristage_ros.mla.values import Observation
from tristage_ros.nodes.policy.tuning import pruning_config
from tristage_ros.perception.extrinsics import mount_of
from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.calibration import LEAST_STEPS, Calibration, Rates, TraceStep, calibrate, check_request
from tristage_ros.reports.style import BLUE, DARK, GREEN, LIGHT, ORANGE, STYLE, legend_below
from tristage_ros.resources import find_checkpoint, resource
from tristage_ros.studies.observations import check_bag, from_bag, from_cell
from tristage_ros.studies.options import CALIBRATE_STEPS
from tristage_ros.studies.salience_trace import record_trace

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
BINS = 60
PRESET = "pruning.yaml"  # what the command writes


@dataclass(frozen=True)
class Source:
    """Say where a run comes from: a trace, a bag, or else the simulated cell."""

    trace: Path | None = None
    bag: Path | None = None
    steps: int = CALIBRATE_STEPS  # of the simulated cell
    interval: float = 0.3  # s between them
    seed: int = 0  # of the objects, and of random weights
    cameras_file: Path | None = None

    def observations(self) -> Iterator[Observation]:
        """Yield the observations of the bag or of the cell."""
        cameras = self.cameras_file or resource("config", "cameras.yaml")
        if self.bag is not None:
            return from_bag(self.bag, cameras)
        return from_cell(self.steps, self.interval, cameras, self.seed)


def run(options: argparse.Namespace) -> int:
    """Calibrate as the options say; write the trace, the plot and the preset; return the exit code."""
    preset = options.pruning or resource("config", "pruning", "robot.yaml")
    config = pruning_config(str(preset))
    source = Source(options.trace, options.bag, options.steps, cameras_file=options.cameras_file)
    weights = find_checkpoint(options.checkpoint)
    _check(options, source, config)
    options.out.mkdir(parents=True, exist_ok=True)
    trace, feature = _trace(source, config, weights, options.instruction)
    if feature != config.s1_feature:
        wanted = f"{preset} has {config.s1_feature}"
        raise ValueError(f"{options.trace} was recorded with s1_feature {feature}, but {wanted}: record it anew")
    kept = options.trace or options.out / "trace.safetensors"
    if options.trace is None:
        save_trace(kept, trace, feature)
    try:
        result = calibrate(trace, config, options.rate, options.balance)
    except ValueError as error:
        raise ValueError(f"{error}; the run is kept: --trace {kept} tries others at once") from None
    with matplotlib.rc_context(STYLE):
        figure(result, config).savefig(options.out / "calibration.png")
    (options.out / PRESET).write_text(yaml.safe_dump(result.config.to_dict(), sort_keys=False), encoding="utf-8")
    console = Console()
    console.print(distribution_table(result, feature), rates_table(result, config))
    if options.trace is None and weights is None:
        console.print("RANDOM WEIGHTS: these thresholds fit no trained model")
    path = options.out / PRESET
    console.print(f"written: calibration.png and {PRESET} in {options.out}; pruning:={path} uses it")
    return 0


def _check(options: argparse.Namespace, source: Source, config: PruningConfig) -> None:
    """Raise ValueError or OSError for what would fail only when the run has been swept or read."""
    check_request(config, options.rate, options.balance)
    if options.steps < LEAST_STEPS:
        raise ValueError(f"--steps is {options.steps}; at least {LEAST_STEPS} are needed")
    prompt_text(options.instruction)
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"{options.out} is a file: give --out a folder")
    if source.trace is None:
        mount_of("front", source.cameras_file or resource("config", "cameras.yaml"))
    if source.bag is not None:
        check_bag(source.bag)


def _trace(source: Source, config: PruningConfig, weights: str | None, instruction: str) -> tuple[list[TraceStep], str]:
    if source.trace is not None:
        return load_trace(source.trace)
    policy = build_policy(weights, config, seed=source.seed)
    return record_trace(policy, instruction, source.observations()), config.s1_feature


def distribution_table(result: Calibration, feature: str) -> Table:
    """Return the distribution of M_3d as a table."""
    table = Table("M_3d of stage 1", *(f"{quantile:.0%}" for quantile in QUANTILES), "mean", title=feature)
    values = torch.quantile(result.m_3d.double(), torch.tensor(QUANTILES, dtype=torch.float64)).tolist()
    table.add_row("3D-bearing patches", *(f"{value:.3f}" for value in values), f"{result.mean_of_bearing:.3f}")
    table.add_row("all patches, empty ones 0", *[""] * len(QUANTILES), f"{result.mean_of_all:.3f}")
    return table


def rates_table(result: Calibration, config: PruningConfig) -> Table:
    """Return thresholds and rates before and after as a table."""
    table = Table(
        "", "tau_2d", "tau_3d", "pruned", "2D", "3D", "stage 1: 2D only", "both", "3D only", title="Before and after"
    )
    for name, settings, rates in (("before", config, result.before), ("after", result.config, result.after)):
        table.add_row(name, f"{settings.tau_2d:.4f}", f"{settings.tau_3d:.4f}", *(f"{r:.1%}" for r in _shares(rates)))
    return table


def _shares(rates: Rates) -> tuple[float, ...]:
    return rates.rate, rates.rate_2d, rates.rate_3d, rates.only_2d, rates.both, rates.only_3d


def figure(result: Calibration, config: PruningConfig) -> Figure:
    """Draw the distribution of M_3d with the old and new thresholds, and the rates before and after."""
    drawing = Figure(figsize=(10, 3.8))
    left, right = drawing.subplots(1, 2, gridspec_kw={"width_ratios": (2, 1)})
    left.hist(result.m_3d.numpy(), BINS, color=LIGHT)
    for settings, style, when in ((config, ":", "before"), (result.config, "-", "after")):
        left.axvline(settings.tau_2d, color=BLUE, ls=style, label=f"tau_2d {when}: {settings.tau_2d:.3f}")
        left.axvline(settings.tau_3d, color=ORANGE, ls=style, label=f"tau_3d {when}: {settings.tau_3d:.3f}")
    left.set(title="M_3d of stage 1 in 3D-bearing patches", ylabel="patches, all steps")
    left.set(xlabel="below tau_2d: 2D only; above tau_3d: 3D only")
    names = ("all", "2D", "3D")
    for offset, rates, color, when in ((-0.2, result.before, LIGHT, "before"), (0.2, result.after, GREEN, "after")):
        heights = [100 * rate for rate in _shares(rates)[:3]]
        bars = right.bar([k + offset for k in range(3)], heights, 0.38, color=color, label=when)
        right.bar_label(bars, fmt="%.0f", fontsize=8, color=DARK)
    right.set(title="Tokens pruned [%]", xticks=range(3), xticklabels=names, ylim=(0, 108))
    legend_below(drawing, [h for ax in (left, right) for h in ax.get_legend_handles_labels()[0]], columns=6)
    return drawing
