import copy
import sys

import pytest
import torch

from tristage_ros.bench.model.approximations import measure_weights, precisions, weights_table
from tristage_ros.bench.model.timing import Rounds
from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.memory import PRECISIONS, loaded_as, quantise


@pytest.fixture(scope="module")
def rows():
    return measure_weights(Workload.shipped(), Rounds(measured=1, warm_up=1))


@pytest.mark.long
def test_fewer_bytes_cost_little(rows):
    by_name = {row["precision"]: row for row in rows}
    assert rows[0]["precision"] == "float32" and rows[0]["error"] == 0.0
    assert by_name["bfloat16"]["megabytes"] == pytest.approx(by_name["float32"]["megabytes"] / 2)
    assert all(0.0 < row["error"] < 0.05 for row in rows[1:])
    for row in rows:
        assert row["speedup"]["cached"] * row["ms"]["cached"] == pytest.approx(rows[0]["ms"]["cached"])
    table = weights_table(rows, trained=True)
    assert [row[0] for row in table.rows] == list(by_name) and "RANDOM" not in table.note


def test_eight_bits_are_a_quarter_of_the_bytes_and_the_errors_are_small():
    pytest.importorskip("torchao")
    model = Workload.build("tiny").model
    x, positions = torch.randn(1, 9, model.config.width, generator=torch.Generator().manual_seed(0)), torch.arange(9)
    with torch.inference_mode():
        exact, _ = model.llm(x, positions)
        for kind, most in (("int8", 0.02), ("float8", 0.08)):
            rounded, _ = quantise(copy.deepcopy(model), kind).llm(x, positions)
            assert 0 < float((rounded - exact).norm() / exact.norm()) < most


def test_without_torchao_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    assert precisions(torch.float32) == ["float32", "bfloat16"]
    with pytest.raises(ValueError, match="weights of int8 need torchao: pip install torchao"):
        quantise(Workload.build("tiny").model, "int8")


def test_every_precision_can_be_read():
    read = {name: loaded_as(name) for name in PRECISIONS}
    assert read["stored"] == (None, None) and read["int8"] == (None, "int8")
    assert read["bfloat16"] == (torch.bfloat16, None)
    assert read["auto"][0] in (None, torch.bfloat16)
    with pytest.raises(ValueError, match="precision = 'int4' must be one of stored, auto"):
        loaded_as("int4")
