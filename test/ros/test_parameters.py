"""Parameters: wrong ones are named, with what is possible."""

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter as Override

from tristage_ros.ros.parameters import Parameter, ParameterError, declare

TABLE = (
    Parameter("rate", 15.0, "how often", "Hz", 1.0, 60.0),
    Parameter("mode", "a", "which", choices=("a", "b")),
    Parameter("count", 3, "how many", low=1, high=9),
)


@pytest.fixture
def node(ros_context):
    made = []

    def make(**overrides):
        node = Node("thing", parameter_overrides=[Override(name, value=value) for name, value in overrides.items()])
        made.append(node)
        return node

    yield make
    for node in made:
        node.destroy_node()


def test_defaults_and_overrides(node):
    values = declare(node(count=5), TABLE)
    assert (values.rate, values.mode, values.count) == (15.0, "a", 5)


def test_unit_range_and_choices_are_shown(node):
    thing = node()
    declare(thing, TABLE)
    rate, mode = thing.describe_parameter("rate"), thing.describe_parameter("mode")
    assert "[Hz]" in rate.description
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (1.0, 60.0)
    assert "a, b" in mode.description
    assert rate.read_only


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"ratte": 1.0}, ["thing", "ratte", "did you mean rate?"]),
        ({"rate": 99.0}, ["thing", "rate"]),
        ({"rate": "fast"}, ["thing", "rate"]),
        ({"mode": "c"}, ["thing", "mode", "'c'", "a, b"]),
        ({"count": 0}, ["thing", "count"]),
    ],
)
def test_wrong_parameters_are_named(node, overrides, words):
    with pytest.raises(ParameterError) as error:
        declare(node(**overrides), TABLE)
    for word in words:
        assert word in str(error.value)


def test_what_fits_is_put_right_before_rclpy_would_refuse_it(node, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    table = (*TABLE, Parameter("box", [0.5, 1.0], "corner"), Parameter("folder", "", "where"))
    thing = node(rate=20, box=[0, 1], folder="~/x")
    values = declare(thing, table)
    assert (values.rate, list(values.box), values.folder) == (20.0, [0.0, 1.0], "/home/somebody/x")
    assert type(values.rate) is float and thing.get_parameter("folder").value == "/home/somebody/x"
