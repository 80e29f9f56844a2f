"""Passes of fixed shapes over fixed memory: on a GPU recorded once as CUDA graphs, and replayed without the host."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from tristage_ros.mla.engines import Front, PassOutput, Prefix, StepTokens, Suffix
from tristage_ros.mla.llama import KvCache, Llama, rotary_angles

BUCKET = 16  # tokens; sequences are padded to a multiple, so that few shapes come up
RECORDINGS = 64  # shapes whose recordings are kept; each holds memory for what passes need in between

Pass = Callable[[], None]  # from the buffers to the buffers


def padded(tokens: int) -> int:
    """Return the length of the bucket that `tokens` fit in."""
    return -(-tokens // BUCKET) * BUCKET


class StaticPasses:
    """Own what passes over a decoder read and write, and their recordings.

    Behind a prefix its bucket is filled with zeros: no token of it sees what comes after, and those in front of it are
    told what they may see. On a CPU the same passes run without being recorded.
    """

    def __init__(self, llm: Llama, recordings: int = RECORDINGS) -> None:
        """Reserve nothing yet."""
        self.llm = llm
        self._limit, self._recorded = recordings, OrderedDict[tuple[int, ...], Pass]()
        weight = next(llm.layers.parameters())
        positions = torch.arange(llm.config.max_positions, device=weight.device)
        self._table = torch.stack(rotary_angles(positions, llm.config.width // llm.config.heads))
        self._reserve(BUCKET, BUCKET, weight)

    def _reserve(self, front: int, tokens: int, like: Tensor) -> None:
        config = self.llm.config
        self._forget(0)
        self._pool = torch.cuda.graph_pool_handle() if like.is_cuda else None
        self.capacity = tokens
        self.x, self.hidden = like.new_zeros(2, 1, front + tokens, config.width).unbind()
        self.angles = self._table.new_zeros(2, front + tokens, self._table.shape[2])
        self.seen = torch.zeros(front, front + tokens, dtype=torch.bool, device=like.device)
        self.cache = KvCache(config, front, tokens, like)
        self.cache.store.zero_()  # what is hidden from a token still must be finite

    def begin(self, prefix: Prefix, suffix: Suffix, branches: int) -> None:
        """Take a prefix, and make room for all denoising steps and actions of `branches` of them side by side."""
        known, most = len(prefix), branches * suffix.chunk + len(suffix.times)
        total = padded(known)
        if total > self.capacity or most > self.cache.front:
            self._reserve(max(most, self.cache.front), max(total, self.capacity), prefix.embeddings)
        front = self.cache.front
        self.x[:, front : front + known] = prefix.embeddings
        self.x[:, front + known : front + total] = 0
        self.angles[:, front : front + known] = self._table.index_select(1, prefix.positions)
        self.angles[:, front + known : front + total] = 0

    def place(self, known: int, front: Front, rows: Tensor, positions: Tensor) -> slice:
        """Put what is in front of `known` tokens, or begins it: [n, width] at `positions`; return its places."""
        begin, total = self.cache.front - len(front), padded(known)
        places = slice(begin, begin + len(rows))
        self.x[:, places] = rows
        self.angles[:, places] = self._table.index_select(1, positions)
        self.seen[: len(front), : len(front) + total] = front.sight(total, rows.device)
        self.seen[: len(front), len(front) + known : len(front) + total] = False
        return places

    def play(self, known: int, front: Front, more: int) -> None:
        """Run what is in front of `known` tokens and their bucket, with `more` = 1; without that with 0.

        With -1 run the actions alone, over what was remembered of their steps, too.
        """
        shape = padded(known), len(front), padded(known) if more > 0 else more * front.steps
        if shape not in self._recorded:
            self._forget(self._limit - 1)
            self._recorded[shape] = self._record(lambda: self._run(*shape))
        self._recorded.move_to_end(shape)
        self._recorded[shape]()

    def _run(self, total: int, front: int, more: int) -> None:
        """Run the tokens in front and `more` behind these, or where that is negative so many fewer."""
        begin, told = self.cache.front - front, front + min(more, 0)
        rows = slice(begin, begin + front + more)
        self.cache.prefix = total
        cos, sin = self.angles[:, rows]
        write = self.cache.writer(begin, front + more)
        self.hidden[:, rows] = self.llm.run(self.x[:, rows], (cos, sin), write, told, self.seen[:told, : front + total])

    def _forget(self, kept: int) -> None:
        """Drop all recordings but the `kept` latest, none of them while it is played."""
        if len(self._recorded) > kept and self.x.is_cuda:
            torch.cuda.synchronize(self.x.device)
        while len(self._recorded) > kept:
            self._recorded.popitem(last=False)

    def _record(self, run: Pass) -> Pass:
        """Return what does the same as `run`, which writes the same however often it runs."""
        if self.x.device.type != "cuda":
            return run
        # libraries prepare themselves in a first run, which is not recorded
        aside = torch.cuda.Stream(self.x.device)  # type: ignore[no-untyped-call]
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
        front, kept = self.cache.front, len(rows)
        for buffer, tokens in ((self.cache.store, 4), (self.hidden, 1)):
            buffer.narrow(tokens, front, kept).copy_(buffer.index_select(tokens, front + rows))


class CapturedEngine:
    """Do what `CachedEngine` does by static passes. What a pass gave is overwritten by the next one."""

    def __init__(self, passes: StaticPasses, prefix: Prefix, suffix: Suffix, branches: int = 1) -> None:
        """Take a prefix, with room for the actions of up to `branches` steps side by side."""
        self._passes, self._known, self._suffix = passes, len(prefix), suffix
        self._steps: StepTokens | None = None
        self._begun = False
        passes.begin(prefix, suffix, branches)

    def run(self, first: int, actions: Tensor, observe: bool = False) -> PassOutput:
        """Run actions behind their steps and the prefix, which the first time go with them."""
        passes, suffix, known, branches = self._passes, self._suffix, self._known, len(actions)
        rows, positions, cache = actions.flatten(0, 1), suffix.positions[1:].repeat(branches), passes.cache
        if self._steps is None:
            front = Front(suffix.chunk, branches, first, len(suffix.times))
            rows = torch.cat([rows, suffix.times])
            positions = torch.cat([positions, suffix.positions[:1].expand(front.steps)])
            places = passes.place(known, front, rows, positions)
            passes.play(known, front, 0 if self._begun else 1)
            self._begun, self._steps = True, StepTokens.of(cache, front.steps)
        else:
            front = Front(suffix.chunk, branches, 0, branches)
            places = passes.place(known, front, rows, positions)
            self._steps.place(cache, first, branches)
            passes.play(known, front, -1)
        attention = self._steps.received(cache, front, first + branches - 1, known) if observe else None
        out = passes.hidden[0, places][: front.actions].view_as(actions)
        return PassOutput(out, passes.hidden[:, cache.front : cache.front + known], attention)

    def renew(self, embed: Callable[[], Prefix]) -> None:
        """Do nothing: the prefix is the same in all passes."""

    def keep(self, rows: Tensor) -> None:
        """Drop rows from the cache; what is left of the prefix has seen the dropped ones, no later step does."""
        self._passes.keep(rows)
        self._known, self._steps = len(rows), None
