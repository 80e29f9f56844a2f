"""What a look does, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.mla.passes import Denoising
from tristage_ros.pruning import PruningConfig, TriStagePruner

CONFIG = replace(PruningConfig.paper(), target_rate=0.5, token_bucket=1)


def states(pruner):
    """The pruner's state as plain values, NaN made comparable."""
    state = pruner.state_dict()
    patches = {name: value.nan_to_num(-1.0) for name, value in (state["patches"] or {}).items()}
    return {name: value for name, value in state.items() if name != "patches"}, patches


def equal(one, other):
    return (
        one[0] == other[0]
        and one[1].keys() == other[1].keys()
        and all(torch.equal(value, other[1][name]) for name, value in one[1].items())
    )


def test_a_look_teaches_the_pruner_and_is_no_step(make_policy, observation):
    policy = make_policy(TriStagePruner(CONFIG))
    first = policy.look(observation(0))
    assert (first.step, policy.steps, first.pruning.pruned) == (0, 0, False)
    _, report = policy.act(observation(1))
    assert (report.step, policy.steps, report.pruning.pruned) == (1, 1, True)
    before = states(policy.pruner)
    assert policy.look(observation(2)).pruning.pruned
    assert not equal(states(policy.pruner), before)


@pytest.mark.parametrize("passes", range(10))
@pytest.mark.parametrize("stages", [{1, 2, 3}, {1, 2}])
def test_a_look_that_is_given_up_has_never_begun(make_policy, observation, passes, stages):
    """Whenever somebody comes; eight denoising passes, and before the first of them the tokens."""
    config = replace(CONFIG, stages=frozenset(stages))
    policies = [make_policy(TriStagePruner(config), denoising=Denoising("fresh")) for _ in range(2)]
    for policy in policies:
        policy.act(observation(0))
    interrupted, other = policies
    before, asked = states(interrupted.pruner), []

    def somebody_comes():
        asked.append(None)
        return len(asked) > passes

    look = interrupted.look(observation(1), somebody_comes)
    if passes == 9:  # nobody came in time
        assert look is not None and len(asked) == 9
        other.look(observation(1))
    else:
        assert look is None and len(asked) == passes + 1
        assert equal(states(interrupted.pruner), before)
    (mine, report), (theirs, expected) = (policy.act(observation(2)) for policy in policies)
    np.testing.assert_array_equal(mine.translation, theirs.translation)
    assert torch.equal(report.masks.keep_2d, expected.masks.keep_2d) and report.step == expected.step == 2


def test_what_is_wrong_with_an_observation_changes_nothing(make_policy, observation):
    policy = make_policy(TriStagePruner(CONFIG))
    policy.act(observation(0))
    before = states(policy.pruner)
    with pytest.raises(ValueError, match="none of the 64 points"):
        policy.look(observation(1, points=np.full((64, 3), np.nan, np.float32)), lambda: False)
    assert equal(states(policy.pruner), before) and policy.steps == 1


@pytest.mark.parametrize("captured", [False, True])
def test_policies_over_one_model_in_turn_do_what_each_does_alone(make_policy, observation, captured):
    """Static passes are shared memory, and nothing of a step stays there."""
    first, alone = (make_policy(TriStagePruner(CONFIG), captured=captured) for _ in range(2))
    second, other = (policy.another(TriStagePruner(CONFIG)) for policy in (first, alone))
    assert second.model is first.model and second.seed == first.seed
    for policy in (second, other):
        policy.reset("close the box")
    expected = [[policy.act(observation(seed))[0] for seed in range(3)] for policy in (alone, other)]
    for step in range(3):
        for policy, actions in zip((first, second), expected, strict=True):
            assert (policy.act(observation(step))[0].translation == actions[step].translation).all()
