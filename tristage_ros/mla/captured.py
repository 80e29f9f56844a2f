"""Passes of fixed shapes over fixed memory: on a GPU recorded once as CUDA graphs, and replayed without the host."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from tristage_ros.mla.llama import KvCache, Llama, branched_mask, causal_mask, rotary_angles
from tristage_ros.mla.passes import PassOutput, Prefix, last

BUCKET = 16  # tokens; sequences are padded to a multiple, so that few shapes come up
RECORDINGS = 64  # shapes whose recordings are kept; each holds memory for what passes need in between

Pass = Callable[[], None]  # from the buffers to the buffers


def padded(tokens: int) -> int:
    """Return the length of the bucket that `tokens` fit in."""
    return -(-tokens // BUCKET) * BUCKET


class StaticPasses:
    """Own what passes over a decoder read and write, and their recordings.

    Behind a sequence of tokens, prefix first, its bucket is filled with zeros: no token sees what comes after it, and
    later passes are told what they may see. On a CPU the same passes run without being recorded.
    """

    def __init__(self, llm: Llama, recordings: int = RECORDINGS) -> None:
        """Reserve nothing yet."""
        self.llm = llm
        self._limit, self._recorded = recordings, OrderedDict[tuple[int, ...], Pass]()
        weight = next(llm.layers.parameters())
        positions = torch.arange(llm.config.max_positions, device=weight.device)
        self._table = torch.stack(rotary_angles(positions, llm.config.width // llm.config.heads))
        self._reserve(BUCKET, BUCKET, weight)

    def _reserve(self, tokens: int, suffixes: int, like: Tensor) -> None:
        config = self.llm.config
        self._forget(0)
        self._pool = torch.cuda.graph_pool_handle() if like.is_cuda else None
        self.capacity, self.suffixes = tokens, suffixes
        self.embeddings, self.hidden = like.new_zeros(2, 1, tokens, config.width).unbind()
        self.suffix, self.output = like.new_zeros(2, 1, suffixes, config.width).unbind()
        self.angles = self._table.new_zeros(2, tokens, self._table.shape[2])
        self.suffix_angles = self._table.new_zeros(2, suffixes, self._table.shape[2])
        self.attention = self._table.new_zeros(config.heads, tokens)
        self.slots = torch.zeros(suffixes, dtype=torch.long, device=like.device)  # where the suffixes stand
        self.seen = torch.zeros(suffixes, tokens, dtype=torch.bool, device=like.device)
        self.cache = KvCache(config, 0, tokens, like)
        self.cache.store.zero_()  # what is hidden from a token still must be finite

    def begin(self, prefix: Prefix, suffix_positions: Tensor, branches: int) -> None:
        """Take a prefix, and make room for `branches` suffixes side by side behind it."""
        known, suffixes = len(prefix), len(suffix_positions) * branches
        total = padded(known + suffixes)
        if total > self.capacity or suffixes > self.suffixes:
            self._reserve(max(total, self.capacity), max(suffixes, self.suffixes), prefix.embeddings)
        self.embeddings[:, :known] = prefix.embeddings
        self.embeddings[:, known:total] = 0
        self.angles[:, :known] = self._table.index_select(1, prefix.positions)
        self.angles[:, known:total] = 0

    def place(self, known: int, positions: Tensor, suffix: Tensor) -> tuple[int, int]:
        """Put suffixes, at `positions` each, behind `known` tokens; return the bucket and how many tokens they have."""
        count, branch = suffix.shape[1], len(positions)
        total = padded(known + count)
        self.suffix[:, :count] = suffix
        self.suffix_angles[:, :count] = self._table.index_select(1, positions).repeat(1, count // branch, 1)
        self.slots[:count] = last(count, known + count, suffix)
        self.seen[:count, known + count : total] = False
        seen = branched_mask(count, known, branch, count // branch, suffix.device)
        self.seen[:count, : known + count] = seen
        return total, count

    def together(self, total: int, count: int, branch: int, observe: bool) -> None:
        """Run the bucket of `total` tokens, `count` of them in suffixes of `branch` each, the last one observed."""
        self._play((0, total, count, branch * observe, count > branch), self._whole)

    def behind(self, total: int, count: int, branch: int, observe: bool) -> None:
        """Run the suffixes alone, over what the bucket remembers."""
        self._play((1, total, count, branch * observe), self._suffixes)

    def _whole(self, total: int, count: int, watched: int, apart: bool) -> None:
        slots = self.slots[:count]
        self.embeddings.index_copy_(1, slots, self.suffix[:, :count])
        self.angles.index_copy_(1, slots, self.suffix_angles[:, :count])
        seen = None
        if apart:
            seen = causal_mask(total, total, slots.device).index_copy(0, slots, self.seen[:count, :total])
        rows = slots[count - watched :] if watched else None
        cos, sin = self.angles[:, :total]

        def remember(layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            return self.cache.write(0, layer, key, value)

        x, attention = self.llm.run(self.embeddings[:, :total], (cos, sin), remember, rows, seen)
        self.hidden[:, :total] = x
        self.output[:, :count] = x.index_select(1, slots)
        if attention is not None:
            self.attention[:, :total] = attention

    def _suffixes(self, total: int, count: int, watched: int) -> None:
        slots, seen = self.slots[:count], self.seen[:count, :total]
        rows = last(watched, count, slots) if watched else None
        cos, sin = self.suffix_angles[:, :count]

        def remember(layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            keys, values = self.cache.store[layer, :, :, :, :total]
            return keys.index_copy_(2, slots, key), values.index_copy_(2, slots, value)

        x, attention = self.llm.run(self.suffix[:, :count], (cos, sin), remember, rows, seen)
        self.output[:, :count] = x
        if attention is not None:
            self.attention[:, :total] = attention

    def _play(self, shape: tuple[int, ...], body: Callable[..., None]) -> None:
        """Run a body for a shape, which the first time records it."""
        if shape not in self._recorded:
            self._forget(self._limit - 1)
            self._recorded[shape] = self._record(lambda: body(*shape[1:]))
        self._recorded.move_to_end(shape)
        self._recorded[shape]()

    def _forget(self, kept: int) -> None:
        """Drop all recordings but the `kept` latest, none of them while it is played."""
        if len(self._recorded) > kept and self.embeddings.is_cuda:
            torch.cuda.synchronize(self.embeddings.device)
        while len(self._recorded) > kept:
            self._recorded.popitem(last=False)

    def _record(self, run: Pass) -> Pass:
        """Return what does the same as `run`, which writes the same however often it runs."""
        if self.embeddings.device.type != "cuda":
            return run
        # libraries prepare themselves in a first run, which is not recorded
        aside = torch.cuda.Stream(self.embeddings.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):  # images arrive
            run()
        return graph.replay

    def keep(self, rows: Tensor) -> None:
        """Forget every token of the prefix but `rows`, long [n] ascending."""
        store, kept = self.cache.store, len(rows)
        store[:, :, :, :, :kept] = store.index_select(4, rows)
        self.hidden[:, :kept] = self.hidden.index_select(1, rows)


class CapturedEngine:
    """Do what `CachedEngine` does by static passes. What a pass gave is overwritten by the next one."""

    def __init__(self, passes: StaticPasses, prefix: Prefix, suffix_positions: Tensor, branches: int = 1) -> None:
        """Take a prefix, with room for up to `branches` suffixes side by side."""
        self._passes, self._known, self._positions = passes, len(prefix), suffix_positions
        self._fresh = True
        passes.begin(prefix, suffix_positions, branches)

    def run(self, suffix: Tensor, observe: bool = False) -> PassOutput:
        """Run suffixes side by side behind the prefix; the first time, the prefix goes with them."""
        passes, branch = self._passes, len(self._positions)
        total, count = passes.place(self._known, self._positions, suffix)
        play = passes.together if self._fresh else passes.behind
        play(total, count, branch, observe)
        self._fresh = False
        known = self._known
        attention = passes.attention[:, :known] if observe else None
        return PassOutput(passes.output[:, :count], passes.hidden[:, :known], attention)

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Do nothing: the prefix is the same in all passes."""

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the cache; what is left has seen the dropped ones during the first pass."""
        self._passes.keep(rows)
        self._known = len(rows)
