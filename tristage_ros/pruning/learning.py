"""What an observation changes in the state: newest magnitudes, indicators, predictions."""

from __future__ import annotations

import torch

from tristage_ros.pruning.clock import StageClock
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.salience import PatchSalience, attention_indicators, attention_share, feature_indicators
from tristage_ros.pruning.state import PatchState
from tristage_ros.pruning.temporal import newest_weight, smooth


def learn(config: PruningConfig, state: PatchState, shown: PatchSalience, clock: StageClock) -> PatchState:
    """Return `state` after a pass that showed `shown`.

    A modality that was not observed keeps its newest magnitudes. Indicators are computed anew where one modality was
    observed and both are known, from the newest magnitudes of both; elsewhere they stay untouched. `shown` is used up.
    """
    with clock.timed("stage2"):
        if config.attention_share:
            scale = attention_share(state.predicted.attention, shown.seen)
            shown.magnitudes[:, :, 1:].mul_(scale)
        else:
            scale = torch.ones_like(state.attention_scale)
        magnitudes = torch.where(shown.observed[:, :, None], shown.magnitudes, state.magnitudes)
        stage2 = attention_indicators(magnitudes[:, :, 1:])
    with clock.timed("stage1"):
        stage1 = feature_indicators(magnitudes[:, :, 0])
    with clock.timed("stage3"):
        updated = shown.seen & (stage2[2] >= 0)  # the total is NaN where a modality is unknown
        raw = torch.where(updated, torch.cat([stage1, stage2]).float(), state.raw)
        observations = state.observations + updated
        smoothed = raw
        if 3 in config.stages:
            weight = newest_weight(observations, config.window, config.beta)
            smoothed = torch.where(updated, smooth(state.smoothed, raw, weight), state.smoothed)
    return PatchState(magnitudes, raw, smoothed, observations, state.last_seen, scale)
