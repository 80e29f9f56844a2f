"""With what images become videos, and how these files are written.

Colour is H.264, or AV1 with the format's own settings where PyAV comes without that encoder: where every second frame
stands for itself, H.264 is as true at half as many bytes again, which beside depth are few, and five times as fast.
Depth is HEVC without loss, and has no other codec: one with loss would make distances out of pixels that have none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("SVT_LOG", "0")  # else AV1's encoder prints its settings, past every log, for each video

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot.layout import LerobotError
from tristage_ros.words import one_line

GROUP = 2  # frames from one that stands for itself to the next: the format's own, for random access
COLOR_PIXELS, DEPTH_PIXELS = "rgb24", "gray12le"
# One thread: the bytes depend on nothing but the images. Blocks of one size: three times as fast as choosing them; of
# 16 pixels a third smaller than of 32. What only pays with loss is left out.
_LOSSLESS = (
    "lossless=1:log-level=none:info=0:pools=none:frame-threads=1:bframes=0:ref=1:me=dia:subme=0:merange=8:rd=1:"
    "fast-intra=1:ctu=16:min-cu-size=16:max-tu-size=16:no-wpp=1:no-sao=1:no-deblock=1:aq-mode=0:rc-lookahead=0:"
    "no-scenecut=1:no-cutree=1:no-weightp=1:max-merge=1:psy-rd=0:psy-rdoq=0:rdoq-level=0:no-signhide=1"
)


@dataclass(frozen=True)
class Codec:
    """Name an encoder with its settings."""

    encoder: str
    name: str  # of what it writes
    pixels: str
    preset: int | str
    crf: int | None = None
    options: tuple[tuple[str, str], ...] = ()

    @property
    def is_there(self) -> bool:
        """Return whether PyAV comes with it."""
        with suppress(av.FFmpegError, ValueError):
            return av.Codec(self.encoder, "w").name == self.encoder
        return False

    @property
    def described(self) -> dict[str, Any]:
        """Return what `info.json` says of it."""
        told = {"video.codec": self.name, "video.pix_fmt": self.pixels, "video.g": GROUP, "video.preset": self.preset}
        return told | ({} if self.crf is None else {"video.crf": self.crf})

    @property
    def settings(self) -> dict[str, str]:
        """Return what the encoder is told."""
        quality = {} if self.crf is None else {"crf": str(self.crf)}
        return {"g": str(GROUP), "preset": str(self.preset), **quality, **dict(self.options)}


COLORS = (
    Codec("libx264", "h264", "yuv420p", "ultrafast", 25, (("threads", "1"),)),
    Codec("libsvtav1", "av1", "yuv420p", 12, 30, (("svtav1-params", "fast-decode=0:lp=1"),)),
)
DEPTH = Codec("libx265", "hevc", DEPTH_PIXELS, "ultrafast", None, (("x265-params", _LOSSLESS),))


def color_codec() -> Codec:
    """Return the first codec for colour that is there.

    Raises:
        LerobotError: none is.
    """
    for codec in COLORS:
        if codec.is_there:
            return codec
    raise LerobotError(
        f"PyAV {av.__version__} encodes no video: none of {', '.join(c.encoder for c in COLORS)} is in it"
    )


def depth_codec() -> Codec:
    """Return the codec for depth.

    Raises:
        LerobotError: it is not there.
    """
    if not DEPTH.is_there:
        raise LerobotError(f"PyAV {av.__version__} has no {DEPTH.encoder}, without which depth loses; leave depth out")
    return DEPTH


@contextmanager
def _own_scheduling() -> Iterator[None]:
    """Take back the real-time priority that SVT-AV1 gives its threads, and the one that opens it, where root asks.

    A process with it goes before everything else of the machine, an arm's set-points included.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has ended
            os.sched_setscheduler(int(thread), policy, parameters)


class VideoWriter:
    """Write the images of one episode into one file, one after the other."""

    def __init__(self, path: Path, fps: float, shape: tuple[int, int], codec: Codec) -> None:
        """Begin a file of images with so many rows and columns.

        Raises:
            LerobotError: the codec takes no such images.
            OSError: the file cannot be written.
        """
        self.path, self.frames, self._period = path, 0, Fraction(1, int(fps))
        self._pixels = DEPTH_PIXELS if codec is DEPTH else COLOR_PIXELS
        if codec.pixels == "yuv420p" and (shape[0] % 2 or shape[1] % 2):
            raise LerobotError(
                f"{path.name}: images of {shape[1]} x {shape[0]} pixels are not even; crop a row or column"
            )
        self._container = av.open(str(path), "w", format="mp4")
        stream = self._container.add_stream(codec.encoder, rate=int(fps), options=codec.settings)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = shape
        stream.pix_fmt = codec.pixels
        self._stream = stream

    def add(self, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Take an image: uint8 [H, W, 3] RGB, or uint16 [H, W] steps of depth.

        Raises:
            LerobotError: the encoder refuses it.
            OSError: the disk does.
        """
        try:
            frame = VideoFrame.from_ndarray(image if image.flags.c_contiguous else image.copy(), format=self._pixels)
            frame.pts = self.frames
            frame.time_base = self._period
            with nullcontext() if self.frames else _own_scheduling():  # the first one opens the encoder
                packets = self._stream.encode(frame)
            self._container.mux(packets)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            raise LerobotError(f"{self.path.name}: frame {self.frames} is not encoded: {one_line(error)}") from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Let go of a file that nobody wants any more."""
        with suppress(av.FFmpegError, ValueError, OSError):
            self._container.close()
