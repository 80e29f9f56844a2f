import torch

from tristage_ros.bench.model.timing import Rounds, alternate, medians

CPU = torch.device("cpu")


def test_variants_take_turns_and_the_warm_up_is_not_measured():
    calls: list[tuple[str, int]] = []
    samples = alternate(
        {name: lambda index, name=name: calls.append((name, index)) for name in "ab"},
        Rounds(measured=3, warm_up=2),
        CPU,
    )
    assert calls == [(name, index) for index in range(5) for name in "ab"]
    assert {name: len(values) for name, values in samples.items()} == {"a": 3, "b": 3}


def test_medians():
    assert medians({"a": [3.0, 1.0, 2.0], "b": [1.0, 2.0]}) == {"a": 2.0, "b": 1.5}
