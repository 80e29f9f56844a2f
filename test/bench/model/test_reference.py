from __future__ import annotations

import pytest

from tristage_ros.bench.model import reference
from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.workloads import Workload


def test_their_decoder_has_our_shapes() -> None:
    if not reference.available():
        pytest.skip("needs transformers 5")
    workload = Workload.build("tiny")
    theirs = reference._their_decoder(workload)
    ours = sum(p.numel() for layer in workload.model.llm.layers for p in layer.parameters())
    assert sum(p.numel() for layer in theirs.layers for p in layer.parameters()) == ours
    rows = reference.measure_reference(workload, Rounds(measured=1, warm_up=1))
    assert [row["tokens"] for row in rows] == list(reference.TOKENS)
    assert all(row[f"{name}_{part}"] > 0 for row in rows for name in ("ours", "theirs") for part in reference.PARTS)
    assert len(reference.reference_table(rows).rows) == 2
