"""The command `tristage calibrate`: a run on all tokens -> the model's scale, kept beside its weights; a plot."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import matplotlib
import torch
import yaml
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.prompt import prompt_text
from tristage_ros.mla.scales import save_magnitudes
from tristage_ros.mla.trace_file import load_trace, save_trace
from tristage_ros.perception.extrinsics import mount_of
from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.calibration import (
    Calibration,
    Rates,
    TraceStep,
    calibrate,
    carry_over,
    check_request,
    magnitudes_of,
)
from tristage_ros.pruning.config import FEATURES, Feature
from tristage_ros.pruning.preset_file import pruning_config
from tristage_ros.pruning.scale import PAPER_MEAN, Magnitudes
from tristage_ros.reports.style import BLUE, DARK, GREEN, LIGHT, ORANGE, STYLE, legend_below
from tristage_ros.resources import find_checkpoint, resource
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.cell import Mode
from tristage_ros.studies.measurements import SEEDS, traces_of_episodes
from tristage_ros.studies.observations import check_bag, from_bag
from tristage_ros.studies.options import TASKS
from tristage_ros.studies.progress import SHOWN
from tristage_ros.studies.salience_trace import record_trace

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
BINS = 60
PRESET = "pruning.yaml"  # what the command writes


def run(options: argparse.Namespace) -> int:
    """Calibrate as the options say; keep the scale, write the trace, the plot and the preset; return the exit code."""
    preset = options.pruning or resource("config", "pruning", "robot.yaml")
    config = pruning_config(str(preset))
    weights = find_checkpoint(options.checkpoint, options.continuous)
    _check(options, config)
    options.out.mkdir(parents=True, exist_ok=True)
    run = _recorded(options, config, weights)
    if config.s1_feature not in run.traces:
        wanted = f"{preset} has {config.s1_feature}"
        raise ValueError(f"{options.trace} was recorded with s1_feature {', '.join(run.traces)}, but {wanted}")
    trace = run.traces[config.s1_feature]
    kept = options.trace or options.out / "trace.safetensors"
    if options.trace is None:
        save_trace(kept, trace, config.s1_feature)
    result = carry_over(trace, config)
    if options.rate is not None:
        try:
            result = calibrate(trace, result.config, options.rate, options.balance)
        except ValueError as error:
            raise ValueError(f"{error}; the run is kept: --trace {kept} tries others at once") from None
    with matplotlib.rc_context(STYLE):
        figure(result).savefig(options.out / "calibration.png")
    (options.out / PRESET).write_text(yaml.safe_dump(result.config.to_dict(), sort_keys=False), encoding="utf-8")
    found = {feature: magnitudes_of(steps) for feature, steps in run.traces.items()}
    console = Console()
    console.print(scale_table(found), distribution_table(result, config.s1_feature), rates_table(result))
    if options.trace is None and weights is None:
        console.print("RANDOM WEIGHTS: this scale fits no trained model")
    elif options.trace is None and weights is not None:
        console.print(_keep(weights, found, run.measured), soft_wrap=True)
    path = options.out / PRESET
    console.print(f"written: calibration.png and {PRESET} in {options.out}; pruning:={path} uses it", soft_wrap=True)
    return 0


def _check(options: argparse.Namespace, config: PruningConfig) -> None:
    """Raise ValueError or OSError for what would fail only when the run has been looked at."""
    if options.rate is not None:
        check_request(config, options.rate, options.balance)
    if options.episodes < 1:
        raise ValueError(f"--episodes is {options.episodes}; at least 1 of every task is needed")
    prompt_text(options.instruction)
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"{options.out} is a file: give --out a folder")
    if options.bag is not None:
        mount_of("front", options.cameras_file or resource("config", "cameras.yaml"))
        check_bag(options.bag)


@dataclass(frozen=True)
class Run:
    """Hold what a model showed of all its tokens, by feature, and on what, in words."""

    traces: dict[Feature, list[TraceStep]]
    measured: str


def _recorded(options: argparse.Namespace, config: PruningConfig, weights: str | None) -> Run:
    if options.trace is not None:
        trace, feature = load_trace(options.trace)
        return Run({feature: trace}, str(options.trace))
    if options.bag is not None:
        observations = list(from_bag(options.bag, options.cameras_file or resource("config", "cameras.yaml")))
        policy = build_policy(weights, config)
        traces = {f: record_trace(policy, options.instruction, observations, f) for f in FEATURES}
        return Run(traces, f"{len(observations)} steps of {options.bag.name}")
    attempts, seeds = Attempts(weights), range(SEEDS[0], SEEDS[0] + options.episodes)
    mode: Mode = "continuous" if options.continuous else "key frames"
    traces = traces_of_episodes(attempts, TASKS, seeds, mode, FEATURES, SHOWN)
    attempts.close()
    episodes = f"{len(seeds)} episodes each of {', '.join(TASKS)}, {mode}, from seed {seeds[0]} on"
    return Run(traces, f"{len(traces[config.s1_feature])} steps of the expert's in the simulated cell: {episodes}")


def _keep(weights: str, found: dict[Feature, Magnitudes], measured: str) -> str:
    """Keep the scales beside the weights, where that can be written; return what came of it, for a person."""
    try:
        path = save_magnitudes(weights, found, measured)
    except OSError as error:
        return f"the scale cannot be kept beside the weights ({error}): the preset has it"
    return f"kept: {path}; presets whose scale_3d is null prune this model by it"


def scale_table(found: dict[Feature, Magnitudes]) -> Table:
    """Return the scale of every feature, by both readings of the paper's mean, as a table."""
    title = f"Scale: odds of this model's mean M_3d over those of the paper's, {PAPER_MEAN:.2f}"
    table = Table("s1_feature", "mean logit of M_3d", "3D-bearing", "scale", "were it of all patches", title=title)
    for feature, magnitudes in found.items():
        try:
            other = f"{magnitudes.scale_if_empty_count:.3g}"
        except ValueError:
            other = "cannot be"
        logit, bearing = f"{magnitudes.mean_logit:.3f}", f"{magnitudes.bearing:.1%}"
        table.add_row(feature, logit, bearing, f"{magnitudes.scale:.3g}", other)
    return table


def distribution_table(result: Calibration, feature: str) -> Table:
    """Return the distribution of M_3d in both stages as a table."""
    table = Table("M_3d", *(f"{quantile:.0%}" for quantile in QUANTILES), "mean", title=feature)
    for stage, m_3d in ((1, result.m_3d), (2, result.m_3d_s2)):
        values = torch.quantile(m_3d.double(), torch.tensor(QUANTILES, dtype=torch.float64)).tolist()
        numbers = (f"{value:.3f}" for value in (*values, float(m_3d.mean())))
        table.add_row(f"stage {stage}, 3D-bearing patches", *numbers)
    table.add_row("stage 1, all patches, empty ones 0", *[""] * len(QUANTILES), f"{result.mean_of_all:.3f}")
    return table


def rates_table(result: Calibration) -> Table:
    """Return thresholds and rates before and after as a table; stage 1 in shares of the 3D-bearing patches."""
    table = Table("", "scale", "tau", "raw M_3d", "pruned", "2D", "3D", "2D only", "both", "3D only")
    table.title = "Thresholds, tokens pruned [%], and what stage 1 leaves of a patch [%]"
    for name, settings, rates in (("before", result.began, result.before), ("after", result.config, result.after)):
        taus = (settings.tau_2d, settings.tau_3d), _raw(settings)
        own = (f"{settings.scale_3d:.3g}", *("\n".join(f"{tau:.3f}" for tau in pair) for pair in taus))
        table.add_row(name, *own, *(f"{100 * share:.1f}" for share in _shares(rates)))
    return table


def _shares(rates: Rates) -> tuple[float, ...]:
    return rates.rate, rates.rate_2d, rates.rate_3d, rates.only_2d, rates.both, rates.only_3d


def _raw(settings: PruningConfig) -> tuple[float, float]:
    return settings.raw_thresholds(settings.scale_3d or 1.0)


def figure(result: Calibration) -> Figure:
    """Draw the distribution of M_3d with the old and new thresholds, and the rates before and after."""
    drawing = Figure(figsize=(10, 3.8))
    left, right = drawing.subplots(1, 2, gridspec_kw={"width_ratios": (2, 1)})
    left.hist(result.m_3d.numpy(), BINS, color=LIGHT)
    for settings, style, when in ((result.began, ":", "before"), (result.config, "-", "after")):
        tau_2d, tau_3d = _raw(settings)
        left.axvline(tau_2d, color=BLUE, ls=style, label=f"tau_2d {when}: {tau_2d:.3f}")
        left.axvline(tau_3d, color=ORANGE, ls=style, label=f"tau_3d {when}: {tau_3d:.3f}")
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
