import pytest
import torch

from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.variants import RATES, Running, TimedPruner, Variant, prune, step_variants
from tristage_ros.bench.model.workloads import FRAMES, Workload, observe
from tristage_ros.perception.camera import patch_of_points
from tristage_ros.pruning.baselines import LABELS


def test_every_method_and_rate_runs_on_both_engines():
    variants = step_variants()
    assert len({variant.name for variant in variants}) == len(variants) == 2 * (1 + len(RATES) * (len(LABELS) - 1))
    assert [variant.method for variant in variants[:2]] == ["none", "none"]


@pytest.mark.parametrize("engine", ["cached", "recompute"])
@pytest.mark.parametrize("method", [method for method in LABELS if method != "none"])
def test_methods_keep_what_the_rate_leaves(tiny, engine, method):
    running = Running(tiny, Variant(engine, method, 0.7))
    for index in range(Rounds().warm_up + 1):
        running.step(index)
    assert sum(running.kept()) == pytest.approx(0.3 * 512, abs=24)


def test_the_unpruned_step_keeps_all_and_measures_no_salience(tiny):
    running = Running(tiny, Variant("cached", "none"))
    running.step(0)
    assert running.kept() == (256, 256) and not running.policy.pruner.wants_salience
    assert running.sequence() == 512 + tiny.tokens_besides == 512 + 1 + 1 + 18 + 1 + 2


def test_a_timed_pruner_prunes_as_the_pruner_that_it_times(tiny):
    variant = Variant("cached", "tristage", 0.7)
    timed = TimedPruner(prune(variant))
    runs = [Running(tiny, variant), Running(tiny, variant, timed)]
    for running in runs:
        for index in range(3):
            running.step(index)
    assert torch.equal(runs[0].reports[-1].masks.keep_3d, runs[1].reports[-1].masks.keep_3d)
    assert len(timed.steps) == 3 and set(timed.steps[0]) == {"plan", "observe", "report_later"}


def test_frames_differ_and_their_points_lie_in_the_image():
    first, later = observe(0, 512), observe(FRAMES // 4, 512)
    assert (first.image != later.image).any() and len(first.points) == 512
    patches = patch_of_points(first.points, first.camera, 16)
    assert (patches >= 0).mean() > 0.95


def test_bfloat16_runs():
    running = Running(Workload.build("tiny", dtype="bfloat16"), Variant("recompute", "tristage", 0.7))
    for index in range(2):
        running.step(index)
    assert running.reports[-1].pruning.pruned
