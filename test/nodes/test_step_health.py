"""From which values on the diagnostics of a control step warn."""

from types import SimpleNamespace

import pytest
from tristage_msgs.msg import StageTimings

from tristage_ros.nodes.policy.messages import PARAMETERS, pruning_part, step_part
from tristage_ros.pruning.report import PruningReport
from tristage_ros.ros.diagnostics import OK, WARN

LIMITS = SimpleNamespace(**{parameter.name: parameter.default for parameter in PARAMETERS})


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        ({"total_ms": 120.0, "control_rate_hz": 4.0}, OK, "120 ms per step, 4.0 Hz"),
        ({"total_ms": LIMITS.slow_step + 1}, WARN, "slow_step"),
        ({"total_ms": 100.0, "overhead_percent": LIMITS.high_overhead + 1}, WARN, "high_overhead"),
    ],
)
def test_steps(fields, level, words):
    part = step_part(StageTimings(frames_skipped=7, **fields), {"checkpoint": "m.safetensors"}, LIMITS)
    assert part.level == level and words in part.message
    assert part.values["checkpoint"] == "m.safetensors" and part.values["wanted frames missed"] == 7


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        ({"pruned": False}, OK, "all tokens"),
        ({"pruned": True, "rate": 0.7}, OK, "70% of the tokens pruned"),
        ({"pruned": True, "rate": 0.7, "oldest_patch": LIMITS.long_unseen + 1}, WARN, "long_unseen"),
        ({"pruned": True, "rate": 0.01}, WARN, "only 1%"),
    ],
)
def test_pruning(fields, level, words):
    part = pruning_part(PruningReport(set_sizes=(200, 36, 20), **fields), LIMITS, "robot")
    assert part.level == level and words in part.message
    assert [part.values[f"patches of {name}"] for name in ("background", "robot", "object")] == [200, 36, 20]


def test_before_the_first_step_nothing_is_wrong():
    assert step_part(None, {}, LIMITS).level == pruning_part(None, LIMITS, "robot").level == OK
