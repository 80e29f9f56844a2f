from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tristage_ros.bench.model.workloads import Workload


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Keep threads of a small model from waiting for each other on a busy machine."""
    torch = sys.modules.get("torch")  # the tables need none
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Workload:
    from tristage_ros.bench.model.workloads import Workload

    return Workload.build("tiny")
