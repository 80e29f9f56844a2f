"""What the policy's diagnostics say about a control step, and from which values on they warn."""

from __future__ import annotations

from types import SimpleNamespace

from tristage_msgs.msg import StageTimings

from tristage_ros.pruning.report import PruningReport
from tristage_ros.ros.diagnostics import OK, WARN, Part
from tristage_ros.ros.parameters import Parameter

PARAMETERS = (
    Parameter("slow_step", 1000.0, "a control step that takes longer is a warning", "ms", 1.0, 60000.0),
    Parameter("high_overhead", 20.0, "a larger share of pruning in the step is a warning", "%", 0.0, 100.0),
    Parameter("long_unseen", 30, "a patch unseen for more control steps is a warning", "steps", 1, 100000),
    Parameter("low_rate", 0.05, "a smaller share of tokens pruned is a warning", "", 0.0, 1.0),
)


def step_part(newest: StageTimings | None, values: dict[str, object], limits: SimpleNamespace) -> Part:
    """Return how the policy's control steps go; `values` are facts that the timings do not know."""
    if newest is None:
        return Part(OK, "no step yet", values)
    values = values | {
        "control rate [Hz]": newest.control_rate_hz,
        "total [ms]": newest.total_ms,
        "action age [ms]": newest.action_age_ms,
        "pruning overhead [%]": newest.overhead_percent,
        "wanted frames missed": newest.frames_skipped,
    }
    if newest.total_ms > limits.slow_step:
        return Part(WARN, f"the step took {newest.total_ms:.0f} ms, more than slow_step", values)
    if newest.overhead_percent > limits.high_overhead:
        return Part(WARN, f"pruning takes {newest.overhead_percent:.0f} % of the step, more than high_overhead", values)
    return Part(OK, f"{newest.total_ms:.0f} ms per step, {newest.control_rate_hz:.1f} Hz", values)


def pruning_part(report: PruningReport | None, limits: SimpleNamespace) -> Part:
    """Return what the newest step pruned."""
    if report is None:
        return Part(OK, "no step yet")
    names = ("background", "robot", "object")
    values: dict[str, object] = {
        "rate": report.rate,
        "rate 2D": report.rate_2d,
        "rate 3D": report.rate_3d,
        "tokens kept 2D": report.tokens_2d,
        "tokens kept 3D": report.tokens_3d,
        **{f"patches of {name}": size for name, size in zip(names, report.set_sizes, strict=True)},
        "oldest patch [steps]": report.oldest_patch,
        "changed patches": report.changed_patches,
        "tokens beyond the budget": report.budget_excess,
    }
    if not report.pruned:
        return Part(OK, "this step ran on all tokens", values)
    if report.oldest_patch > limits.long_unseen:
        return Part(WARN, f"a patch was not seen for {report.oldest_patch} steps, more than long_unseen", values)
    if report.rate < limits.low_rate:
        return Part(WARN, f"only {report.rate:.0%} of the tokens pruned: check the thresholds", values)
    return Part(OK, f"{report.rate:.0%} of the tokens pruned", values)
