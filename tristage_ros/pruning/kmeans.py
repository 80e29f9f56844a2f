"""Exact K-means in one dimension, without iteration and without waiting for the device."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_BLOCK = 128  # ends of runs handled at once on a CPU: few enough for its cache, and for torch to stay in one thread
_Block = tuple[int, int, Tensor]  # first and last + 1 of its ends; 1 / length of the runs up to these, [starts, 1]


class _Fixed(NamedTuple):
    """Hold what depends on the number of values alone; for the order of cuts see `exact_kmeans_1d`."""

    cut: Tensor  # float64 [2P]
    absent: Tensor  # bool [P] true
    start: Tensor  # long [1] zero
    infinite: Tensor  # float64 [1]
    blocks: list[_Block]


def exact_kmeans_1d(values: Tensor, clusters: int) -> Tensor:
    """Split finite `values` [P] into the `clusters` with the least sum of squares within; return labels, long [P].

    Labels rise with the cluster's centre from 0. Equal values share a cluster; with fewer distinct values than
    clusters every distinct value is one. In sorted order a cluster is a run, so the best cuts follow from the gain
    (sum of a run)^2 / length of every run. Raises ValueError on a bad shape or number.
    """
    if values.ndim != 1 or len(values) == 0 or clusters < 1:
        raise ValueError(f"got values of shape {list(values.shape)} and clusters = {clusters}; need [P] and >= 1")
    values = values.detach().double()
    ordered, fixed = _ascending(values), _fixed(len(values), values.device)
    # The cuts are after 1 to P values, twice over, so that every cut has P others before it. The first P do not exist.
    # Whatever is taken off all values, the best cuts stay the same; less is lost to rounding.
    sums = (ordered - ordered[len(values) // 2]).cumsum(0)  # of the values before the cut
    sums = torch.cat([sums, sums])
    no_cut = torch.cat([fixed.absent, ordered[1:] == ordered[:-1], fixed.absent[:1]])
    best = [(sums.square() / fixed.cut).masked_fill_(no_cut, -inf)]  # by clusters - 1: gain of the values before
    for _ in range(clusters - 2):
        best.append(_one_run_more(best[-1], sums, fixed.blocks).masked_fill_(no_cut, -inf))
    # From here on cut 0 is the one after all P values, which is what argmax returns where no other cut exists.
    real = slice(len(values) - 1, None)
    sums, cut, cuts = sums[real], fixed.cut[real], [fixed.start]
    for gain in reversed(best[: clusters - 1]):
        length = cut.index_select(0, cuts[0]) - cut
        last_run = (sums.index_select(0, cuts[0]) - sums).square_().div_(length).masked_fill_(length <= 0, -inf)
        cuts.insert(0, last_run.add_(gain[real]).argmax(0, keepdim=True))
    highest = torch.cat([fixed.infinite, ordered]).index_select(0, torch.cat(cuts))  # of every cluster but the last
    return torch.bucketize(values, highest)


def _ascending(values: Tensor) -> Tensor:
    """Return `values` [P] sorted; by NumPy on a CPU, which has vector instructions for it."""
    return torch.from_numpy(np.sort(values.numpy())) if values.device.type == "cpu" else values.sort().values


def _one_run_more(best: Tensor, sums: Tensor, blocks: list[_Block]) -> Tensor:
    """Return the best gain up to every cut with one more run than `best`; anything where the cut does not exist."""
    size = len(sums) // 2
    gains = [sums[:size]]
    for first, last, inverse_length in blocks:
        # Row by row of lengths, longest first, every end has its start one place further on.
        layout = (last, last - first), (1, 1), size + first - last
        run = (sums[first:last] - sums.as_strided(*layout)).square_().mul_(inverse_length)
        gains.append(run.add_(best.as_strided(*layout)).amax(0))
    return torch.cat(gains)


@lru_cache(maxsize=8)
def _fixed(size: int, device: torch.device) -> _Fixed:
    cut = torch.arange(1, size + 1, dtype=torch.float64, device=device)
    absent, start = torch.ones(size, dtype=torch.bool, device=device), torch.zeros(1, dtype=torch.long, device=device)
    longest_first, block = (1.0 / cut.flip(0))[:, None], _BLOCK if device.type == "cpu" else size
    edges = [*range(0, size, block), size]
    blocks = [(first, last, longest_first[-last:]) for first, last in pairwise(edges)]
    return _Fixed(cut.repeat(2), absent, start, cut.new_full((1,), inf), blocks)
