"""Batches shared among processes of one thread each: threads that share a small model wait for each other."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(minutes=10)  # with a process that compiles
Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """Say which part of every batch a process works on."""

    rank: int = 0
    count: int = 1  # processes

    def of(self, items: list[Item]) -> list[Item]:
        """Return this process's part of a batch."""
        return items[self.rank :: self.count]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over all processes, which have to call this, too."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.div_(self.count).split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))


@contextmanager
def helpers(work: Callable[..., None], count: int, *arguments: Any) -> Iterator[None]:
    """Join `count - 1` new processes that call `work(share, *arguments)`; this one is the first of them."""
    if count == 1:
        yield
        return
    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        context = multiprocessing.get_context("spawn")
        present = context.Semaphore(0)
        others = [
            context.Process(target=_help, args=(Share(rank, count), meeting, present, work, arguments), daemon=True)
            for rank in range(1, count)
        ]
        for other in others:
            other.start()
        try:
            for other in others:
                while not present.acquire(timeout=0.2):
                    if other.exitcode is not None:
                        raise RuntimeError(f"a process that was to help could not start: exit code {other.exitcode}")
            _join(Share(0, count), meeting)
            yield
            for other in others:
                other.join()
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
            torch.set_num_threads(before)
            for other in others:
                other.terminate()


def _join(share: Share, meeting: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting}", PATIENCE, share.count, share.rank)


def _help(
    share: Share, meeting: Path, present: Semaphore, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    present.release()
    _join(share, meeting)
    work(share, *arguments)
