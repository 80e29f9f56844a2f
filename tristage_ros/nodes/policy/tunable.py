"""A node whose parameters are set while it runs: wrong ones are refused by name, the pruner's settings go together."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter

from tristage_ros.nodes.policy.tuning import PARAMETERS, PRESET, Tuning
from tristage_ros.ros.parameters import Parameter, ParameterError, as_declared, declare, given, with_defaults
from tristage_ros.ros.runner import ManagedNode

OF_THE_PRUNER = [parameter.name for parameter in PARAMETERS]


class TunableNode(ManagedNode):
    """Hold `settings`, and the pruner's `tuning`, as parameters say.

    Whoever takes them over for a step holds `beginning` meanwhile and looks at the clock: then the stamp of a parameter
    event tells whether a change came before the step began, or after it.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter]) -> None:
        """Declare `parameters`; what is not given of the pruner's settings is its preset's.

        Raises:
            ParameterError: a value is wrong, or does not go with another.
        """
        super().__init__(name)
        self.beginning = threading.Lock()
        preset = given(self, PRESET.name, PRESET.default)
        self.tuning = Tuning.of(preset if isinstance(preset, str) else PRESET.default)
        self.settings = declare(self, with_defaults(parameters, self.tuning.parameters))
        self.tuning = self.tuning.changed(vars(self.settings))
        for service in self.services:
            if service.srv_name.endswith("/set_parameters"):
                service.callback = self._on_set_parameters

    def set_parameters(self, parameter_list: list[RosParameter]) -> list[SetParametersResult]:
        """Set parameters one after the other; what is wrong is refused with a reason, the others are set."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """Set parameters together or none of them, for the steps to come; a preset brings its settings along."""
        try:
            wanted = {parameter.name: parameter for parameter in as_declared(self, parameter_list)}
            tuning = self.tuning.changed({name: parameter.value for name, parameter in wanted.items()})
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if PRESET.name in wanted:
            brought = {name: value for name, value in tuning.parameters.items() if name not in wanted}
            wanted |= {name: RosParameter(name, value=value) for name, value in brought.items()}
        before = self.tuning
        with self.beginning:
            result = super().set_parameters_atomically(list(wanted.values()))
            if result.successful:
                self.tuning, self.settings.rate_hz = tuning, self.get_parameter("rate_hz").value
        if self.tuning != before:
            self.get_logger().info(f"pruning {tuning}, from the next step on")
        return result

    def _on_set_parameters(
        self, request: SetParameters.Request, response: SetParameters.Response
    ) -> SetParameters.Response:
        """Set what a request holds one by one, but the pruner's settings together: one may need another.

        The file that `ros2 param load` sends is one request, with the preset behind what was changed beside it.
        """
        wanted = [RosParameter.from_parameter_msg(message) for message in request.parameters]
        together = [parameter for parameter in wanted if parameter.name in OF_THE_PRUNER]
        of_the_pruner = self.set_parameters_atomically(together) if together else None
        response.results = [
            of_the_pruner if parameter in together else self.set_parameters_atomically([parameter])
            for parameter in wanted
        ]
        return response
