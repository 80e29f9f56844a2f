from __future__ import annotations

import pytest

from tristage_ros.bench.model import decoder
from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.workloads import Workload


def test_their_decoder_has_our_shapes() -> None:
    if not decoder.available():
        pytest.skip("needs transformers 5")
    workload = Workload.build("tiny")
    theirs = decoder._their_decoder(workload)
    ours = sum(p.numel() for layer in workload.model.llm.layers for p in layer.parameters())
    assert sum(p.numel() for layer in theirs.layers for p in layer.parameters()) == ours
    rows = decoder.measure_reference(workload, Rounds(measured=1, warm_up=1))
    assert [row["tokens"] for row in rows] == list(decoder.REFERENCE_TOKENS)
    assert all(row[f"{name}_{part}"] > 0 for row in rows for name in ("ours", "theirs") for part in decoder.PARTS)
    assert len(decoder.reference_table(rows).rows) == 2
