"""Node parameters as data: name, default, unit, range and what they mean."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from tristage_ros.graph.fitting import fitted, nearest
from tristage_ros.graph.parameter_file import OF_EVERY_NODE


class ParameterError(ValueError):
    """Say which parameter is wrong and what it may be; the message is one line for a person."""


@dataclass(frozen=True)
class Parameter:
    """Describe one parameter; its type is that of its default."""

    name: str
    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = True

    def fitted(self, value: Any) -> Any:
        """Return `value` as this parameter takes it; raise ValueError with what would fit."""
        return fitted(value, self.default, self.low, self.high, self.choices)

    def descriptor(self) -> ParameterDescriptor:
        """Return what `ros2 param describe` shows."""
        unit = f" [{self.unit}]" if self.unit else ""
        choices = f"; one of: {', '.join(self.choices)}" if self.choices else ""
        result = ParameterDescriptor(
            name=self.name,
            description=f"{self.description}{unit}{choices}",
            read_only=self.read_only,
            additional_constraints=choices[2:],
        )
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                result.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high), step=0)]
            else:
                result.floating_point_range = [
                    FloatingPointRange(from_value=float(self.low), to_value=float(self.high), step=0.0)
                ]
        return result


def declare(node: Node, parameters: Sequence[Parameter]) -> SimpleNamespace:
    """Declare `parameters` on `node` and return their values by name.

    Raises:
        ParameterError: the node was given a parameter that it does not have, or a value of the wrong type or range.
    """
    known = [parameter.name for parameter in parameters]
    for name in node._parameter_overrides:  # noqa: SLF001 - rclpy ignores unknown ones without a word
        if name not in known and name not in OF_EVERY_NODE and not name.startswith("qos_overrides."):
            raise ParameterError(f"{node.get_name()} has no parameter {name!r}; {nearest(name, known)}")
    values = {parameter.name: _declare(node, parameter) for parameter in parameters}
    return SimpleNamespace(**values)


def given(node: Node, name: str, default: Any) -> Any:
    """Return what `node` was started with for a parameter that is not declared yet; `default` where that is nothing."""
    overrides = node._parameter_overrides  # noqa: SLF001 - rclpy tells it only of declared ones
    return overrides[name].value if name in overrides else default


def with_defaults(parameters: Sequence[Parameter], defaults: Mapping[str, Any]) -> list[Parameter]:
    """Return `parameters` with other `defaults`, by name."""
    return [replace(p, default=defaults[p.name]) if p.name in defaults else p for p in parameters]


def as_declared(node: Node, parameters: Sequence[RosParameter]) -> list[RosParameter]:
    """Return `parameters` that are to be set in the types that `node` declared: an integer does for a double.

    Raises:
        ParameterError: the node has no such parameter, or it is of another type.
    """
    return [_as_declared(node, parameter) for parameter in parameters]


def _as_declared(node: Node, parameter: RosParameter) -> RosParameter:
    if not node.has_parameter(parameter.name):
        raise ParameterError(f"{node.get_name()} has no parameter {parameter.name!r}")
    declared = node.get_parameter(parameter.name).type_
    if (declared, parameter.type_) == (RosParameter.Type.DOUBLE, RosParameter.Type.INTEGER):
        return RosParameter(parameter.name, declared, float(parameter.value))
    if parameter.type_ != declared:
        raise ParameterError(f"{parameter.name} = {parameter.value!r} is no {declared.name.lower()}")
    return parameter


def _declare(node: Node, parameter: Parameter) -> Any:
    """Declare one parameter; what rclpy would refuse although it fits, such as 1 for 1.0, is put right before."""
    overrides, name = node._parameter_overrides, parameter.name  # noqa: SLF001
    try:
        if name in overrides:
            given = overrides[name].value
            value = parameter.fitted(list(given) if isinstance(given, array) else given)
            overrides[name] = RosParameter(name, RosParameter(name, value=parameter.default).type_, value)
        return node.declare_parameter(name, parameter.default, parameter.descriptor()).value
    except Exception as error:
        raise ParameterError(f"{node.get_name()}: {name}: {error}") from None
