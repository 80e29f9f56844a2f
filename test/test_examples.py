"""The examples do what they show."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "examples").is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)


def example(number):
    (path,) = (ROOT / "examples").glob(f"{number}_*.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_control_step_without_ros_prunes_from_the_second_step_on(capsys):
    rates = example("02").main(3)
    assert rates[0] == 0.0 and min(rates[1:]) > 0.5
    assert "step 3: move by" in capsys.readouterr().out


def test_a_pruner_of_ones_own_keeps_the_budget():
    assert all(0.6 < rate <= 0.7 for rate in example("03").main(2))


def test_an_expert_does_a_task_of_ones_own():
    assert example("04").main(3) == 3


def test_a_bag_is_read_in_ten_lines(capsys):
    steps = example("05").main(str(ROOT / "test" / "data" / "small_bag"))
    assert steps == len(capsys.readouterr().out.splitlines()) == 3
