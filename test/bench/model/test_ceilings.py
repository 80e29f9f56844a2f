from dataclasses import replace

import pytest

from tristage_ros.bench.model.steps import Ceilings
from tristage_ros.mla.config import MlaConfig

H200 = Ceilings(790e12, 4.3e12)
A100 = Ceilings(250e12, 1.555e12)


@pytest.mark.parametrize(
    ("engine", "visual", "milliseconds"),
    [("recompute", 512, 71.8), ("cached", 512, 30.1), ("recompute", 256, 37.1), ("cached", 256, 25.7)]
    + [(engine, 154, 24.1) for engine in ("recompute", "cached")],
)
def test_limit_of_the_7b(engine, visual, milliseconds):
    assert H200.step_ms(MlaConfig.mla_7b(), engine, visual + 22, 2) == pytest.approx(milliseconds, rel=0.02)


def test_few_tokens_cost_one_sweep_over_the_weights():
    config = MlaConfig.mla_7b()
    few, fewer = (H200.pass_ms(config, tokens, tokens, 2) for tokens in (100, 2))
    assert few == fewer == pytest.approx(12.95e9 / 4.3e12 * 1e3, rel=1e-3)
    assert H200.pass_ms(config, 2, 2, 4) == pytest.approx(2 * few)


def test_more_denoising_steps_cost_more():
    config = replace(MlaConfig.mla_7b(), denoising_steps=4)
    assert A100.step_ms(config, "recompute", 534, 2) == pytest.approx(
        A100.step_ms(MlaConfig.mla_7b(), "recompute", 534, 2) / 2
    )
