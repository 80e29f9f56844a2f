"""What an observation changes in the state: newest magnitudes, indicators, predictions."""

from __future__ import annotations

from dataclasses import replace

import torch

from tristage_ros.pruning.clock import StageClock
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.salience import PatchSalience, attention_indicators, attention_share, feature_indicators
from tristage_ros.pruning.state import PatchState
from tristage_ros.pruning.temporal import newest_weight, smooth


def learn(config: PruningConfig, state: PatchState, shown: PatchSalience, clock: StageClock) -> PatchState:
    """Return `state` after a pass that showed `shown`.

    A modality that was not observed keeps its newest magnitudes. Indicators are computed anew where one modality was
    observed and both are known, from the newest magnitudes of both; elsewhere they stay untouched.
    """
    seen_2d, seen_3d = shown.observed_2d, shown.observed_3d
    with clock.timed("stage1"):
        feature_2d = torch.where(seen_2d, shown.feature_2d, state.feature_2d)
        feature_3d = torch.where(seen_3d, shown.feature_3d, state.feature_3d)
        stage1 = feature_indicators(feature_2d, feature_3d)
    with clock.timed("stage2"):
        scale = state.attention_scale.new_ones(())
        if config.attention_share:
            scale = attention_share(state.predicted.attention, seen_2d | shown.kept_3d)
        attention_2d = torch.where(seen_2d[:, None], shown.attention_2d * scale, state.attention_2d)
        attention_3d = torch.where(seen_3d[:, None], shown.attention_3d * scale, state.attention_3d)
        stage2 = attention_indicators(attention_2d, attention_3d)
    with clock.timed("stage3"):
        known = ~(feature_2d + feature_3d).isnan()
        updated = (seen_2d | seen_3d) & known
        raw = torch.where(updated, torch.stack([*stage1, *stage2]).float(), state.raw)
        observations = state.observations + updated
        smoothed = raw
        if 3 in config.stages:
            weight = newest_weight(observations, config.window, config.beta)
            smoothed = torch.where(updated, smooth(state.smoothed, raw, weight), state.smoothed)
    return replace(
        state,
        feature_2d=feature_2d,
        feature_3d=feature_3d,
        attention_2d=attention_2d,
        attention_3d=attention_3d,
        raw=raw,
        smoothed=smoothed,
        observations=observations,
        attention_scale=scale,
    )
