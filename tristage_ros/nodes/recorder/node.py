"""Write everything that is needed to judge and replay a run into an MCAP bag."""

from __future__ import annotations

import time
from pathlib import Path

from tristage_ros.bags.writer import BagWriter
from tristage_ros.nodes.recorder.hearing import CAMERAS, COLOR, INPUTS, OUTPUTS, QUEUE, Hearing
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.runner import ConfigurationError, run

PARAMETERS = (
    Parameter("run_dir", "", "folder of the bag; empty: runs/<time> below the current folder"),
    CAMERAS,
    COLOR,
    Parameter("image_interval", 1, "every n-th frame of a camera is recorded", "frames", 1, 100),
    QUEUE,
    Parameter("also", ["/tristage/", "/arm/", "/tf", "/robot_description"], "topics that begin like this, too"),
)


class RecorderNode(Hearing):
    """One bag, from the start of the node to its end."""

    writer: BagWriter

    def __init__(self) -> None:
        """Open the bag and subscribe."""
        super().__init__("recorder", PARAMETERS, INPUTS | OUTPUTS)
        folder = Path(self.settings.run_dir or time.strftime("runs/%Y%m%d-%H%M%S"))
        self.path = folder / "bag"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.writer = self.open(self.path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"recorder: cannot write {self.path}: {error}") from error
        self._began = time.monotonic()
        self._diagnostics = Diagnostics(self)
        self._diagnostics.add("bag", self._bag_part)
        self._diagnostics.add("inputs", self._inputs.part)
        self.get_logger().info(f"recording to {self.path}")

    def _bag_part(self) -> Part:
        dropped = sum(self.writer.dropped.values())
        values: dict[str, object] = {
            "path": self.path,
            "messages": sum(self.writer.written.values()),
            "MB per minute": self._rate(),
            "dropped": dropped,
            **{f"dropped {topic}": count for topic, count in self.writer.dropped.items() if count},
        }
        if self.writer.failure:
            self.get_logger().error(f"the bag ends early: {self.writer.failure}", once=True)
            return Part(ERROR, f"the bag ends early: {self.writer.failure}", values)
        if dropped:
            return Part(WARN, f"{dropped} messages dropped: the disk or the processor is too slow", values)
        return Part(OK, "recording", values)

    def _rate(self) -> float:
        return self.writer.size / 1e6 / max(time.monotonic() - self._began, 1.0) * 60.0

    def close(self) -> None:
        """Write what is queued, close the bag and say what is in it."""
        try:
            self.writer.close()
        except OSError as error:
            self.get_logger().error(f"the bag ends early: {error}")
        written, dropped = sum(self.writer.written.values()), sum(self.writer.dropped.values())
        self.get_logger().info(
            f"{self.path}: {written} messages, {self.writer.size / 1e6:.1f} MB, {self._rate():.0f} MB per minute, "
            f"{dropped} dropped"
        )


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(RecorderNode, niceness=10)
