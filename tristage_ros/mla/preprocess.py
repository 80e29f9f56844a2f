"""Observations as the model takes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.normalisation import DIMENSIONS, DatasetStatistics
from tristage_ros.mla.point_tokens import farthest_points
from tristage_ros.mla.values import Observation
from tristage_ros.pruning.values import FrameContext


@dataclass(frozen=True)
class ModelInputs:
    """Hold an observation as the model takes it, on the CPU."""

    image: Tensor  # uint8 [size, size, 3] RGB
    points: Tensor  # float32 [points, 3] m, base frame
    state: Tensor  # float32 [7], -1..1
    frame: FrameContext
    state_clipped: bool
    points_dropped: int


def preprocess(observation: Observation, statistics: DatasetStatistics, config: MlaConfig) -> ModelInputs:
    """Bring an observation to the model's sizes and ranges; a ValueError says what is wrong with it."""
    _check(observation)
    points, dropped = sample_cloud(observation.points, config.points)
    state, clipped = statistics.normalise_state(observation.state, config.zero_constant_state)
    frame = FrameContext(patch_colors(observation.image, config.grid), patch_depths(observation.depth, config.grid))
    image = observation.image
    if config.image_squash is not None:
        image = stretch(image, config.image_squash).numpy()
    pixels = stretch(image, config.image_size)
    return ModelInputs(pixels, points, torch.from_numpy(state), frame, clipped, dropped)


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


def stretch(image: NDArray[np.uint8], size: int) -> Tensor:
    """Resize to uint8 [size, size, 3] with the antialiased bicubic filter that the model was trained behind."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    resized = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).contiguous()


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
