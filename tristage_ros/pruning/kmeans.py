"""Exact K-means in one dimension, without iteration and without waiting for the device."""

from __future__ import annotations

from functools import lru_cache
from math import inf

import torch
from torch import Tensor

# Ends of runs handled at once on a CPU: small enough for the cache, and for torch to stay in the calling thread,
# since waiting for a second one costs more than the work where cores are shared.
_BLOCK = 128


def exact_kmeans_1d(values: Tensor, clusters: int) -> Tensor:
    """Split finite `values` [P] into the `clusters` with the least sum of squares within; return labels, long [P].

    Labels rise with the cluster's centre from 0. Equal values share a cluster; with fewer distinct values than
    clusters every distinct value is one. In sorted order a cluster is a run, so the best cuts follow from the gain
    (sum of a run)^2 / length of every run. Raises ValueError on a bad shape or number.
    """
    if values.ndim != 1 or len(values) == 0 or clusters < 1:
        raise ValueError(f"got values of shape {list(values.shape)} and clusters = {clusters}; need [P] and >= 1")
    ordered, order = values.detach().double().sort(stable=True)
    size = len(ordered)
    cut = torch.arange(size + 1, device=values.device)  # before the value of this rank
    no_cut = torch.ones_like(cut, dtype=torch.bool)
    no_cut[1:-1] = ordered[1:] == ordered[:-1]
    sums = torch.cat([ordered.new_zeros(1), (ordered - ordered.mean()).cumsum(0)])
    best = [(sums.square() / cut).masked_fill_(no_cut, -inf)]  # by clusters - 1: gain of the values before the cut
    for _ in range(clusters - 2):
        best.append(_one_run_more(best[-1], sums).masked_fill_(no_cut, -inf))
    used = (size - no_cut[1:].sum() + 1).clamp(max=clusters)
    labels = torch.zeros_like(order)
    end = cut[-1:]
    for cluster in range(clusters - 1, 0, -1):
        last_run = (sums.index_select(0, end) - sums).square_() / (end - cut)
        start = (best[cluster - 1] + last_run.masked_fill_(cut >= end, -inf)).argmax(0, keepdim=True)
        end = torch.where(used > cluster, start, size)
        labels += cut[:-1] >= end
    return torch.empty_like(order).scatter_(0, order, labels)


def _one_run_more(best: Tensor, sums: Tensor) -> Tensor:
    """Return the best gain up to every cut with one more run than `best`, both [P + 1]; -inf at no values."""
    size = len(sums) - 1
    block = _BLOCK if sums.device.type == "cpu" else size
    best, start = best.flip(0)[:, None], sums.flip(0)[:, None]  # latest first
    gains = [best.new_full((1,), -inf)]
    for end, (inverse_length, not_a_run) in zip(
        torch.split(sums[1:], block), _run_lengths(size, block, sums.device), strict=True
    ):
        starts = len(inverse_length)
        gain = (end - start[-starts:]).square_().mul_(inverse_length).add_(best[-starts:])  # (starts, ends)
        gain[: len(not_a_run)] += not_a_run
        gains.append(gain.amax(0))
    return torch.cat(gains)


@lru_cache(maxsize=8)
def _run_lengths(size: int, block: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return, by block of ends, 1 / length of every run [starts, ends], and -inf where a start is not before its end.

    Starts are the latest first. The second is for the first rows only, [ends, ends]: those after are before every end
    of the block. Lengths grow by one along both axes, so each is a view of one row of numbers, small enough to stay
    in the cache.
    """
    blocks = []
    for end in torch.split(torch.arange(1, size + 1, device=device), block):
        starts, ends = int(end[-1]), len(end)
        length = torch.arange(2 - ends, starts + 1, dtype=torch.float64, device=device)
        never = torch.zeros_like(length).masked_fill_(length < 1, -inf)
        inverse = 1.0 / length.clamp(min=1.0)
        blocks.append((inverse.as_strided((starts, ends), (1, 1)), never.as_strided((ends, ends), (1, 1))))
    return blocks
