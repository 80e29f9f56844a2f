"""From an observation to the sequence that the decoder runs on, and from its rows back to the visual tokens.

`preprocess` brings an observation to the model's sizes and ranges, on the CPU. `SequenceLayout` numbers the positions,
`KeptTokens` lists the visual tokens that pruning left, and `Instruction` joins their embeddings to a prefix.
`salience_of` and `layer_attention_of` read off a pass what it showed of these tokens, for the pruner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.device import to_device
from tristage_ros.mla.engines import PassOutput, Prefix
from tristage_ros.mla.llama import RmsNorm
from tristage_ros.mla.mid_pass import BlockOutput
from tristage_ros.mla.model import Mla
from tristage_ros.mla.normalisation import DIMENSIONS, DatasetStatistics
from tristage_ros.mla.values import Observation
from tristage_ros.mla.visual_tokens import farthest_points
from tristage_ros.perception.edges import edge_patches
from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.values import FrameContext, LayerAttention, LayerStates, Salience, TokenMasks


@dataclass(frozen=True)
class ModelInputs:
    """Hold an observation as the model takes it, on the CPU."""

    image: Tensor  # uint8 [size, size, 3] RGB
    points: Tensor  # float32 [points, 3] m, base frame
    state: Tensor  # float32 [7], -1..1
    frame: FrameContext
    state_clipped: bool
    points_dropped: int


def preprocess(
    observation: Observation, statistics: DatasetStatistics, config: MlaConfig, pruning: PruningConfig | None = None
) -> ModelInputs:
    """Bring an observation to the model's sizes and ranges; a ValueError says what is wrong with it.

    Of every patch, mean colour and depth are there as far as a guard of `pruning` watches them.
    """
    _check(observation)
    points, dropped = sample_cloud(observation.points, config.points)
    state, clipped = statistics.normalise_state(observation.state, config.zero_constant_state)
    frame = FrameContext()
    if pruning is not None and pruning.change_guard is not None:
        frame = replace(frame, color_mean=patch_colors(observation.image, config.grid))
    if pruning is not None and pruning.change_guard_depth is not None:
        frame = replace(frame, depth_mean=patch_depths(observation.depth, config.grid))
    squashed = None if config.image_squash is None else stretch(observation.image, config.image_squash)
    image = stretch(observation.image if squashed is None else squashed, config.image_size)
    return ModelInputs(image, points, torch.from_numpy(state), frame, clipped, dropped)


def _check(observation: Observation) -> None:
    image, camera, depth = observation.image, observation.camera, observation.depth
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"the image must be uint8 [H, W, 3] RGB, got {image.dtype} {list(image.shape)}")
    if image.shape[:2] != (camera.height, camera.width):
        height, width = image.shape[:2]
        raise ValueError(f"the image is {width}x{height}, but its camera model is for {camera.width}x{camera.height}")
    if depth is not None and depth.shape != image.shape[:2]:
        raise ValueError(f"the depth must be aligned to the image, {list(image.shape[:2])}, got {list(depth.shape)}")
    if observation.points.ndim != 2 or observation.points.shape[1] != 3:
        raise ValueError(f"the points must be [N, 3], got {list(observation.points.shape)}")
    if observation.state.shape != (DIMENSIONS,) or not np.isfinite(observation.state).all():
        raise ValueError(f"the state must be {DIMENSIONS} finite numbers, got {observation.state.tolist()}")


def stretch(image: NDArray[np.uint8] | Tensor, size: int) -> Tensor:
    """Resize uint8 [H, W, 3] to [size, size, 3] with the antialiased bicubic filter that the model was trained behind.

    The channels of a pixel stay side by side: so the filter is at its fastest, and nothing is copied.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None].permute(0, 3, 1, 2)
    return F.interpolate(pixels, (size, size), mode="bicubic", antialias=True).permute(0, 2, 3, 1)[0]


def sample_cloud(points: NDArray[np.floating], count: int) -> tuple[Tensor, int]:
    """Return exactly `count` finite points, float32 [count, 3], and how many of `points` were not finite.

    Too many are thinned to those farthest from each other, too few are repeated; none is a ValueError.
    """
    sound = points[np.isfinite(points).all(1)]
    if len(sound) == 0:
        raise ValueError(f"none of the {len(points)} points is finite: check the depth camera and the crop box")
    cloud = torch.from_numpy(np.ascontiguousarray(sound, np.float32))
    chosen = farthest_points(cloud, count) if len(cloud) > count else torch.arange(count) % len(cloud)
    return cloud[chosen], len(points) - len(sound)


def patch_colors(image: NDArray[np.uint8], grid: int) -> Tensor:
    """Return the mean colour of every patch of [H, W, 3], float32 [grid * grid, 3] in 0..1."""
    return _patch_means(torch.from_numpy(np.ascontiguousarray(image)).float(), grid) / 255


def patch_depths(depth: NDArray[np.floating] | None, grid: int) -> Tensor | None:
    """Return the mean of the measured depths, in metres, of every patch of [H, W]; NaN where nothing was measured."""
    if depth is None:
        return None
    measured = torch.from_numpy(np.ascontiguousarray(depth, np.float32)).nan_to_num(0.0, 0.0, 0.0).clamp_min_(0.0)
    total = _patch_means(measured[:, :, None], grid)
    mean: Tensor = total / _patch_means(measured.sign_()[:, :, None], grid)  # 0 / 0 is the NaN that is wanted
    return mean.flatten()


def _patch_means(pixels: Tensor, grid: int) -> Tensor:
    """Return the mean of float32 [H, W, C] over every patch, [grid * grid, C], row by row."""
    height, width, channels = pixels.shape
    rows = (_shares(height, grid) @ pixels.view(height, -1)).view(grid, width, channels)
    return (_shares(width, grid) @ rows).flatten(0, 1)


@lru_cache(maxsize=8)
def _shares(size: int, grid: int) -> Tensor:
    """Return what every one of `size` pixels adds to the mean of each patch along an axis, float32 [grid, size]."""
    shares = torch.zeros(grid, size)
    for patch in range(grid):
        first, end = patch * size // grid, -(-(patch + 1) * size // grid)  # neighbours share a pixel between them
        shares[patch, first:end] = 1 / (end - first)
    return shares


# What pruning by edges and speed looks at, beside the tokens.


def with_edges_and_speed(frame: FrameContext, now: Observation, before: Observation | None, grid: int) -> FrameContext:
    """Return `frame` with the edge patches of the observation and the speed of the tool since the one before."""
    edges = torch.from_numpy(edge_patches(now.image, now.depth, grid))
    return replace(frame, edges=edges, tool_speed=tool_speed(now, before))


def tool_speed(now: Observation, before: Observation | None) -> float | None:
    """Return the mean speed of the tool between two observations, m/s; None where no time passed between them."""
    if before is None or now.stamp <= before.stamp:
        return None
    return float(np.linalg.norm(now.state[:3] - before.state[:3]) / (now.stamp - before.stamp))


# Where every token stands in the sequence.


@dataclass(frozen=True)
class SequenceLayout:
    """Number the positions of one control step.

    BOS | points | image | tactile slot | prompt without BOS | state | diffusion step | noisy actions | lone-space token

    The lone-space token that ends the prompt stands last, where the model cannot see it, and is never computed: so the
    released code infers. It was trained with the token before the state; `marker_before_state` does the same.
    """

    prompt: int  # tokens of the prompt, BOS included
    config: MlaConfig

    def __post_init__(self) -> None:
        """Refuse a prompt that does not fit."""
        if self.length > self.config.max_positions:
            raise ValueError(
                f"the prompt has {self.prompt} tokens, which makes {self.length} positions, "
                f"but the model has {self.config.max_positions}: use a shorter instruction"
            )

    @property
    def points(self) -> int:
        """Return the position of the first point token."""
        return 1

    @property
    def image(self) -> int:
        """Return the position of the first image token."""
        return self.points + self.config.point_tokens

    @property
    def text(self) -> int:
        """Return the first position behind the image: the tactile slot where there is one, else the text."""
        return self.image + self.config.image_tokens

    @property
    def state(self) -> int:
        """Return the position of the state, the last token that does not change while denoising."""
        return self.text + self.config.tactile_slot + self.prompt - 1 + self.config.marker_before_state

    @property
    def time(self) -> int:
        """Return the position of the diffusion step."""
        return self.state + 1

    @property
    def action(self) -> int:
        """Return the position of the first noisy action."""
        return self.time + 1

    @property
    def length(self) -> int:
        """Return the number of positions, the unseen last one included."""
        return self.action + self.config.chunk + 1


# Embeddings in their order, the prefix of a control step; and back from the rows of a pass to the visual tokens.


@dataclass(frozen=True)
class KeptTokens:
    """List the visual tokens that a step embeds, on the model's device."""

    points: Tensor  # long [n3] ascending
    image: Tensor  # long [n2] ascending

    @classmethod
    def of(cls, masks: TokenMasks, device: torch.device) -> KeptTokens:
        """Return the tokens that `masks` keep."""
        return cls(*(to_device(keep.nonzero()[:, 0], device) for keep in (masks.keep_3d, masks.keep_2d)))

    def rows_within(self, wider: KeptTokens, length: int) -> Tensor:
        """Return the rows, long, that remain of a prefix of `length` tokens over `wider` when only these are kept."""
        stay = torch.ones(length, dtype=torch.bool, device=self.image.device)
        points, image = len(wider.points), len(wider.image)
        stay[1 : 1 + points] = torch.isin(wider.points, self.points)
        stay[1 + points : 1 + points + image] = torch.isin(wider.image, self.image)
        return stay.nonzero()[:, 0]


class Instruction:
    """Embed what an instruction fixes: the text, and where everything stands."""

    def __init__(self, model: Mla, ids: list[int], lone_space: int) -> None:
        """Look the prompt's ids up; BOS comes first."""
        self.layout = SequenceLayout(len(ids), model.config)
        device = model.device
        embedded = model.llm.embed_tokens(torch.tensor([*ids, lone_space], device=device))
        self._bos, self._text = embedded[:1], embedded[1 : len(ids) + model.config.marker_before_state]
        self._tactile = embedded.new_zeros(int(model.config.tactile_slot), embedded.shape[1])
        self._tail = torch.arange(self.layout.text, self.layout.time, device=device)
        self.suffix_positions = torch.arange(self.layout.time, self.layout.length - 1, device=device)

    def prefix(self, points: Tensor, image: Tensor, state: Tensor, kept: KeptTokens) -> Prefix:
        """Join the embeddings [n3, width], [n2, width] and [1, width]; kept tokens keep their places."""
        embeddings = torch.cat([self._bos, points, image, self._tactile, self._text, state])[None]
        layout = self.layout
        positions = [self._tail.new_zeros(1), layout.points + kept.points, layout.image + kept.image, self._tail]
        return Prefix(embeddings, torch.cat(positions))


def salience_of(model: Mla, output: PassOutput, kept: KeptTokens, masks: TokenMasks, feature: str) -> Salience:
    """Return what an observed pass showed of the visual tokens, on the CPU.

    `feature` says whose L1 norm stage 1 compares: the last block's output (`pre_norm`) or its logits (`lm_head`).
    """
    if output.attention is None:
        raise ValueError("the pass was not observed")
    points, visual = len(kept.points), len(kept.points) + len(kept.image)
    hidden = output.prefix[0, 1 : 1 + visual]
    if feature == "lm_head":
        hidden = model.llm.lm_head(model.llm.norm(hidden))
    magnitude = hidden.float().abs().sum(-1).cpu()
    attention = output.attention[:, 1 : 1 + visual].T.cpu()
    return Salience(
        _spread(magnitude[points:], masks.keep_2d),
        _spread(magnitude[:points], masks.keep_3d),
        _spread(attention[points:], masks.keep_2d),
        _spread(attention[:points], masks.keep_3d),
    )


def layer_attention_of(
    prefix: Prefix, shown: BlockOutput, kept: KeptTokens, masks: TokenMasks, norm: RmsNorm | None = None
) -> LayerAttention:
    """Return what a layer shows of the visual tokens, on the CPU; with the final `norm` their states, too.

    Where nobody's attention was watched it is zero.
    """
    points, visual = len(kept.points), len(kept.points) + len(kept.image)
    attention = shown.keys.new_zeros(shown.keys.shape[:2]) if shown.attention is None else shown.attention
    received = attention[:, 1 : 1 + visual].T.cpu()
    embedded = prefix.embeddings[0, 1 : 1 + visual].float().cpu()
    return LayerAttention(
        _spread(received[points:], masks.keep_2d),
        _spread(received[:points], masks.keep_3d),
        _spread(embedded[points:], masks.keep_2d),
        _spread(embedded[:points], masks.keep_3d),
        None if norm is None else _states_of(shown, norm, points, visual, masks),
    )


def _states_of(shown: BlockOutput, norm: RmsNorm, points: int, visual: int, masks: TokenMasks) -> LayerStates:
    """Return the states of the visual tokens and of those behind them, on the CPU."""
    hidden = norm(shown.hidden[1:]).float().cpu()
    keys = shown.keys[:, 1:].float().abs().sum((0, 2)).cpu()
    return LayerStates(
        _spread(hidden[points:visual], masks.keep_2d),
        _spread(hidden[:points], masks.keep_3d),
        hidden[visual:],
        _spread(keys[points:visual], masks.keep_2d),
        _spread(keys[:points], masks.keep_3d),
        keys[visual:],
    )


def _spread(values: Tensor, keep: Tensor) -> Tensor:
    """Put the rows of the kept tokens in their places among all, NaN elsewhere."""
    full = values.new_full((len(keep), *values.shape[1:]), torch.nan)
    full[keep] = values
    return full
