"""How one camera is: there or not, seeing or not, on time or not."""

from __future__ import annotations

import time

from rclpy.node import Node

from tristage_ros.devices.realsense.device import Settings
from tristage_ros.devices.realsense.link import FIRST_FRAME, CameraLink, Frame
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part, Stream, StreamLimits

MAX_LOSS = 0.2  # of the frames, before it is a warning
TOLD = ("actual_exposure", "gain_level", "actual_fps")  # of the metadata


class CameraHealth:
    """Publish the diagnostics of one camera: its device, its images, its clock."""

    def __init__(self, node: Node, link: CameraLink, settings: Settings) -> None:
        """Begin to tell how `link` is."""
        self._link = link
        rate = float(min(settings.color.rate, settings.depth.rate))
        self._stream = Stream(StreamLimits(rate, max_age=1.0, max_loss=MAX_LOSS, silent_after=FIRST_FRAME))
        self._newest: Frame | None = None
        self._late = 0.0  # s between the making of the newest frame and its being sent
        diagnostics = Diagnostics(node, node.get_name())
        for name, part in (("device", self.device), ("images", self.images), ("clock", self.clock)):
            diagnostics.add(name, part)

    def published(self, frame: Frame) -> None:
        """Take a frame that was sent."""
        self._newest, self._late = frame, time.time() - frame.stamp
        self._stream.add(frame.stamp)

    def device(self) -> Part:
        """Tell whether the camera is there."""
        link = self._link
        values: dict[str, object] = {"times lost": link.lost}
        if link.device is not None:
            values |= {
                "serial number": link.device.serial,
                "name": link.device.name,
                "firmware": link.device.firmware,
                "USB": link.device.usb,
            }
        if (camera := link.camera) is not None:  # of the link's thread: it may go while this is told
            values["lens"] = camera.color.lens
        if link.reason:
            return Part(WARN if link.ended else ERROR, link.reason, values)
        if link.device is not None and link.device.usb.startswith("2"):
            return Part(WARN, f"it is on USB {link.device.usb}: use a USB 3 port and cable", values)
        return Part(OK, f"streaming from {link.device}", values)

    def images(self) -> Part:
        """Tell whether the images come and show something."""
        link, watch, camera = self._link, self._link.watch, self._link.camera
        values = {
            "frames": link.frames,
            "withheld": link.withheld,
            "incomplete": link.incomplete + (camera.incomplete if camera else 0),
            "age when sent [ms]": self._late * 1e3,
        }
        if self._newest is not None:
            metadata = self._newest.capture.metadata
            values |= {name: metadata[name] for name in TOLD if name in metadata}
        if link.verdict:
            return Part(
                WARN if watch.without_depth and not (link.frozen or watch.black) else ERROR, link.verdict, values
            )
        return self._stream.part(time.time(), **values)

    def clock(self) -> Part:
        """Tell whether the camera's clock is this machine's."""
        clock = self._link.clock
        values = {"behind this machine [s]": clock.skew, "stamps are": "mapped" if clock.mapped else "the camera's"}
        if clock.mapped and self._newest is not None and self._newest.capture.on_host_clock:
            direction = "behind" if clock.skew > 0 else "ahead of"
            return Part(
                WARN,
                f"the camera's clock is {abs(clock.skew):.2f} s {direction} this machine's; the stamps are corrected",
                values,
            )
        return Part(OK, "the stamps are of this machine's clock", values)
