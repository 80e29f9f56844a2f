"""A policy of a tiny model, served for as long as a module's tests take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from serving.served_policy import Served
    from tristage_ros.mla.policy import MlaPolicy


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep threads of a small model from waiting for each other on a busy machine."""
    torch = sys.modules.get("torch")  # messages need none
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_policy() -> MlaPolicy:
    from serving.served_policy import tiny

    return tiny()


@pytest.fixture(scope="module")
def served(tiny_policy: MlaPolicy) -> Iterator[Served]:
    from serving.served_policy import serving

    with serving(tiny_policy) as served:
        yield served
