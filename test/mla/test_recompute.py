import pytest


@pytest.mark.parametrize(("engine", "times"), [("cached", 1), ("recompute", 8)])
@pytest.mark.parametrize("tower", ["vision_tower_2d", "vision_tower_3d"])
def test_only_recompute_tokenises_in_every_pass(make_policy, observation, engine, times, tower):
    policy, calls = make_policy(engine=engine), []
    hook = getattr(policy.model, tower).register_forward_hook(lambda *_: calls.append(tower))
    try:
        policy.act(observation())
    finally:
        hook.remove()
    assert len(calls) == times == (1 if engine == "cached" else policy.model.config.denoising_steps)
