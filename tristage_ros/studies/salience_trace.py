"""Salience of a whole run, recorded by a policy that prunes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation
from tristage_ros.pruning import FrameContext, PruningConfig, Salience, TokenGeometry, TokenMasks
from tristage_ros.pruning.baselines import Unpruned
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.pruning.config import Feature


class _Recorder(Unpruned):
    """Keep every token and every observation."""

    learns = True

    def __init__(self, feature: Feature) -> None:
        super().__init__(PruningConfig(s1_feature=feature))
        self.trace: list[TraceStep] = []

    def observe(
        self,
        geometry: TokenGeometry,
        masks: TokenMasks,
        salience: Salience | None = None,
        frame: FrameContext | None = None,
    ) -> None:
        assert salience is not None  # it is always wanted
        self.trace.append(TraceStep(geometry, salience))


def record_trace(
    policy: MlaPolicy, instruction: str, observations: Iterable[Observation], feature: Feature | None = None
) -> list[TraceStep]:
    """Return what every step of a run shows of all its tokens.

    `feature` defaults to what the policy's pruning settings ask for. Afterwards the policy has its own pruner back,
    and starts anew.
    """
    recorder, pruner = _Recorder(feature or policy.pruner.config.s1_feature), policy.pruner
    policy.pruner = recorder
    try:
        policy.reset(instruction)
        for observation in observations:
            policy.act(observation)
    finally:
        policy.pruner = pruner
    policy.reset(instruction)
    return recorder.trace
