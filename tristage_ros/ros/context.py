"""Begin to speak ROS 2, or say in one line why that is not possible."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import rclpy
from rclpy.signals import SignalHandlerOptions

from tristage_ros.graph.middleware import MiddlewareError, check

_WHERE = re.compile(r", at /\S+:\d+|failed to initialize \w+: |Couldn't parse params file: ")
_FILE = re.compile(r"'--params-file (\S+)'\. Error: ")


def begin(arguments: Sequence[str], signals: SignalHandlerOptions = SignalHandlerOptions.NO) -> None:
    """Initialise rclpy with the `arguments` of a node; `signals`: which of them rclpy is to handle.

    Raises:
        MiddlewareError: an argument, a file that it names, or a variable is wrong.
    """
    check(os.environ)
    try:
        rclpy.init(args=list(arguments), signal_handler_options=signals)
    except Exception as error:  # classes of the C extension, which differ from one distribution to the next
        raise MiddlewareError(_in_one_line(str(error)) or repr(error)) from error


def _in_one_line(text: str) -> str:
    return " ".join(_FILE.sub(r"\1: ", _WHERE.sub("", text)).split())
