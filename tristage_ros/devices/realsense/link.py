"""A camera that is kept: found again after it was lost, its stamps of this machine's clock, its lies withheld."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.realsense.capture import CameraClock, CameraError, Capture, DeviceInfo, ImageWatch
from tristage_ros.devices.realsense.device import RealSense, Settings, Source

FIRST_FRAME = 5.0  # s that a camera may take until its first frame
SLICE = 0.2  # s between looks at whether to stop


class Log(Protocol):
    """Take lines for a person."""

    def info(self, message: str) -> object:
        """Take what is as it should be."""

    def warning(self, message: str) -> object:
        """Take what is not."""


@dataclass(frozen=True)
class Patience:
    """Say how long a link waits before it acts, in s."""

    lost_after: float = 2.0  # without a frame; then the camera is lost
    retry: float = 2.0  # between attempts to find it again
    frozen_after: float = 1.0  # of one image repeated; then the camera is frozen. 0: repeated images are believed
    restart_after: float = 6.0  # of one image repeated; then the streams are started anew


@dataclass(frozen=True)
class Frame:
    """Hold what a link delivers."""

    capture: Capture
    color: NDArray[np.uint8] | None  # [H, W, 3] RGB, None when it is withheld because it is black
    stamp: float  # s, Unix time of this machine


class CameraLink:
    """Read one camera in a thread of its own for as long as the process lives.

    A frame that repeats the one before to the last bit is not delivered, nor is a black colour image: a consumer that
    gets nothing stops, one that gets the past under a new stamp does not. Depth without a value is delivered: it says
    what it is.
    """

    def __init__(
        self, source: Source, settings: Settings, patience: Patience, deliver: Callable[[Frame], None], log: Log
    ) -> None:
        """Take a source and what to call with every frame, from the link's thread; nothing runs before start()."""
        self._source, self._settings, self._patience = source, settings, patience
        self._deliver, self._log = deliver, log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.camera: RealSense | None = None  # while it streams
        self.device: DeviceInfo | None = None  # the one that streams or streamed last
        self.clock, self.watch = CameraClock(), ImageWatch()
        self.reason = "looking for the camera"  # why there is none
        self.failure = ""  # why the thread ended; nothing but an error of this program does that
        self.frames = self.withheld = self.incomplete = self.lost = 0
        self.ended = False  # a recording was played to its end
        self._told = False  # that there is no camera
        self._began = 0.0  # s, monotonic, when the streams were started

    @property
    def frozen(self) -> bool:
        """Tell whether the camera repeats one image for too long."""
        return 0 < self._patience.frozen_after < self.watch.repeated_for

    @property
    def verdict(self) -> str:
        """Say what is wrong with the images; empty while they are good."""
        if self.frozen:
            return "the camera is frozen: it repeats one image, which is withheld"
        if self.watch.black:
            return "the colour image is black and is withheld: is the lens covered or the light off?"
        if self.watch.without_depth:
            return "depth holds no value: is everything nearer than the camera can measure, or the projector off?"
        return ""

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and the streams; a second call does nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self.ended:
                self._stream_once()
                self._stop.wait(self._patience.retry)
        except Exception as error:  # it must not die without a word
            self.failure = f"the camera's thread ended: {error!r}"

    def _stream_once(self) -> None:
        try:
            camera = RealSense(self._source, self._settings)
        except CameraError as error:
            self._complain(str(error))
            return
        try:
            self._welcome(camera)
            self._stream(camera)
        except CameraError as error:
            self.lost += 1
            self._complain(str(error))
        finally:
            self.incomplete += camera.incomplete
            self.camera = None
            camera.close()

    def _welcome(self, camera: RealSense) -> None:
        self.clock = CameraClock()  # the images are watched on: a frozen camera may be frozen still
        self._began = time.monotonic()
        self.camera, self.device = camera, camera.device

    def _complain(self, reason: str) -> None:
        if not self._told:
            self._log.warning(reason)
        self.reason, self._told = reason, True

    def _stream(self, camera: RealSense) -> None:
        newest, limit = time.monotonic(), FIRST_FRAME
        while not self._stop.is_set():
            capture = camera.read(SLICE)
            now = time.monotonic()
            if capture is not None:
                self._greet(camera)
                newest, limit = now, self._patience.lost_after
                self._take(capture)
            elif camera.ended:
                self.ended, self.reason = True, "the recording has ended"
                return
            elif now - newest > limit:
                raise CameraError(f"camera {camera.device.serial} is lost: no frame for {now - newest:.1f} s")

    def _greet(self, camera: RealSense) -> None:
        if self.reason:
            self._log.info(f"streaming from {camera.device}")
            self.reason, self._told = "", False

    def _take(self, capture: Capture) -> None:
        stamp = self.clock.stamp(capture.time, capture.arrival, capture.on_host_clock)
        before = self.verdict
        self.watch.look(capture)
        self._tell(before, self.verdict)
        if self.frozen and self._stuck():
            raise CameraError("the camera is frozen: it repeats one image; its streams are started anew")
        if self.watch.repeated_for > 0 and self._patience.frozen_after > 0:
            self.withheld += 1
            return
        self.frames += 1
        self._deliver(Frame(capture, None if self.watch.black else capture.color, stamp))

    def _tell(self, before: str, now: str) -> None:
        if now and now != before:
            self._log.warning(now)
        elif before and not now:
            self._log.info("the images are good again")

    def _stuck(self) -> bool:
        streaming = time.monotonic() - self._began
        return min(self.watch.repeated_for, streaming) > self._patience.restart_after
