"""Statistics of features, for every episode and for all: what policies normalise by.

Smallest, largest, mean and deviation of all episodes are exact. Their quantiles are not to be had from those of
episodes: as in the format's own tools, the lower ones are the least and the upper ones the greatest of any episode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
SIDE = 150  # pixels, about, to which images are thinned
Numbers = NDArray[np.float64]
Stats = dict[str, Numbers]


def of_numbers(values: NDArray[Any]) -> Stats:
    """Return the statistics of the columns of `values`, [F, D] or [F]."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    quantiles = np.quantile(table, list(QUANTILES.values()), axis=0)
    return {
        "min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0),
        "count": np.array([len(table)]), **dict(zip(QUANTILES, quantiles, strict=True)),
    }  # fmt: skip


class ImageStatistics:
    """Count the pixels of an episode's images by value, so that no image has to be kept."""

    def __init__(self, channels: int, values: int) -> None:
        """Begin with images of whole numbers below `values`."""
        self._counts = np.zeros((channels, values), np.int64)
        self._images = 0

    def add(self, image: NDArray[Any]) -> None:
        """Take an image, [H, W, C] or [H, W]."""
        step = max(min(image.shape[:2]) // SIDE, 1)
        thin = image[::step, ::step].reshape(-1, len(self._counts))
        for channel, counts in enumerate(self._counts):
            counts += np.bincount(thin[:, channel], minlength=counts.size)
        self._images += 1

    def stats(self, scale: Numbers, nothing: float | None = None) -> Stats:
        """Return the statistics, each [C, 1, 1]; `scale` [values] says what each of the whole numbers means.

        Where `nothing` is given, 0 is no value, and this is what stands for it where there is no other.
        """
        counts = self._counts.copy()
        if nothing is not None:
            counts[:, 0] = 0
        told = [_of_counts(row, scale, nothing or 0.0) for row in counts]
        shaped = {name: np.array([one[name] for one in told]).reshape(-1, 1, 1) for name in told[0]}
        return shaped | {"count": np.array([self._images])}


def _of_counts(counts: NDArray[np.int64], scale: Numbers, nothing: float) -> dict[str, float]:
    total = int(counts.sum())
    if not total:
        return dict.fromkeys(("min", "max", "mean", *QUANTILES), nothing) | {"std": 0.0}
    there = np.flatnonzero(counts)
    mean = float(counts @ scale / total)
    below = np.cumsum(counts)
    return {
        "min": float(scale[there[0]]), "max": float(scale[there[-1]]), "mean": mean,
        "std": float(np.sqrt(counts @ (scale - mean) ** 2 / total)),
        **{name: float(scale[np.searchsorted(below, share * total)]) for name, share in QUANTILES.items()},
    }  # fmt: skip


def joined(first: Stats, second: Stats) -> Stats:
    """Return the statistics of both together."""
    counts = float(first["count"][0]), float(second["count"][0])
    total = sum(counts)
    mean = (first["mean"] * counts[0] + second["mean"] * counts[1]) / total
    spread = sum(
        count * (one["std"] ** 2 + (one["mean"] - mean) ** 2)
        for count, one in zip(counts, (first, second), strict=True)
    )
    both = {name: (first[name], second[name]) for name in QUANTILES}
    return {
        "min": np.minimum(first["min"], second["min"]), "max": np.maximum(first["max"], second["max"]),
        "mean": mean, "std": np.sqrt(spread / total), "count": first["count"] + second["count"],
        **{name: (np.minimum if QUANTILES[name] <= 0.5 else np.maximum)(*pair) for name, pair in both.items()},
    }  # fmt: skip


def as_lists(stats: Mapping[str, Stats]) -> dict[str, dict[str, Any]]:
    """Return statistics by feature as JSON has them."""
    return {key: {name: value.tolist() for name, value in one.items()} for key, one in stats.items()}
