from __future__ import annotations

import pytest
import torch

from tristage_ros.evaluation.bench.workloads import Workload


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Keep threads of a small model from waiting for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Workload:
    return Workload.build("tiny")
