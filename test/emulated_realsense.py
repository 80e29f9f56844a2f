"""A RealSense that tests can break: a software device of the SDK behind the SDK's own pipeline."""

import threading
import time

import numpy as np
import rclpy  # noqa: F401  loaded after the SDK, its middleware makes the process crash when it ends

import pyrealsense2 as rs  # isort: skip

from tristage_ros.devices.realsense.capture import CameraError, Profile

SMALL = Profile(160, 120, 30)
DIFFERENT = 31  # images, which come in turn; a prime, so that frames that are dropped do not make two look alike
DISTORTION = (0.11, -0.23, 0.001, -0.002, 0.05)


class EmulatedRealSense:
    """Push noisy RGB-D frames at a rate, and be the source of a `RealSense`.

    Its faults are plain attributes: `plugged`, `frozen`, `black`, `blind` (depth all zero), `colorless` (no
    colour comes), `clock_offset` (s).
    """

    live = True

    def __init__(self, profile=SMALL, serial="emu0001", depth_unit=0.001, on_host_clock=True, usb="3.2", lens=None):
        self.profile, self.serial, self.depth_unit, self.usb = profile, serial, depth_unit, usb
        self.lens = lens or rs.distortion.brown_conrady  # of the colour stream
        self.domain = rs.timestamp_domain.global_time if on_host_clock else rs.timestamp_domain.hardware_clock
        self.plugged, self.frozen, self.black, self.blind, self.clock_offset = True, False, False, False, 0.0
        self.colorless = False
        self.number = self.starts = 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._device, self._made = None, {}
        y, x = np.mgrid[0 : profile.height, 0 : profile.width]
        self._scene = np.stack([40 + x % 160, 60 + y % 120, np.full_like(x, 90)], axis=-1).astype(np.uint8)
        self._surface = (0.6 / depth_unit + 0.1 * x).astype(np.uint16)
        self._noise = np.random.default_rng(0).integers(0, 8, (profile.height, profile.width), np.uint8)

    # What the SDK sees

    def attach(self, context, pipeline, config):
        """Put a new device behind the pipeline, as a camera that is plugged in again is a new one."""
        with self._lock:
            if not self.plugged:
                raise CameraError(f"camera {self.serial} is not connected")
            self._build()
            self.starts += 1
            pipeline.set_device(self._device)

    def _build(self):
        self._device = device = rs.software_device()
        for key, value in (
            (rs.camera_info.name, "Intel RealSense D435 (emulated)"),
            (rs.camera_info.serial_number, self.serial),
            (rs.camera_info.firmware_version, "5.17.0.10"),
            (rs.camera_info.usb_type_descriptor, self.usb),
        ):
            (device.update_info if device.supports(key) else device.register_info)(key, value)
        self._sensors, self._profiles = {}, {}
        self._add("Stereo Module", rs.stream.depth, rs.format.z16, 2, 0.6 * self.profile.width, rs.distortion.none)
        self._add("RGB Camera", rs.stream.color, rs.format.rgb8, 3, self.profile.width, self.lens)
        depth, color = self._profiles[rs.stream.depth], self._profiles[rs.stream.color]
        self._sensors[rs.stream.depth].add_read_only_option(rs.option.depth_units, self.depth_unit)
        self._sensors[rs.stream.depth].add_read_only_option(rs.option.stereo_baseline, 50.0)
        beside = rs.extrinsics()
        beside.rotation, beside.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0.015, 0, 0]
        depth.register_extrinsics_to(color, beside)
        device.create_matcher(rs.matchers.default)

    def _add(self, name, kind, form, size, focal, distortion):
        lens = rs.intrinsics()
        lens.width, lens.height = self.profile.width, self.profile.height
        lens.ppx, lens.ppy, lens.fx, lens.fy = lens.width / 2, lens.height / 2, focal, focal
        lens.model = distortion
        lens.coeffs = list(DISTORTION) if kind == rs.stream.color else [0.0] * 5
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fmt, stream.bpp = kind, 0, int(kind), form, size
        stream.width, stream.height, stream.fps = lens.width, lens.height, self.profile.rate
        stream.intrinsics = lens
        self._sensors[kind] = self._device.add_sensor(name)
        self._profiles[kind] = self._sensors[kind].add_video_stream(stream, True)

    # What it sees

    def images(self, number):
        """Return the colour and depth of frame `number`; those of neighbours differ."""
        key = number % DIFFERENT, self.black, self.blind
        if key not in self._made:
            noise = np.roll(self._noise, key[0], axis=1)
            color = noise[..., None] // 4 + np.zeros(3, np.uint8) if self.black else self._scene + noise[..., None]
            self._made[key] = color, (self._surface + noise) * np.uint16(not self.blind)
        return self._made[key]

    def push(self):
        """Deliver one frame if it is plugged in and somebody streams."""
        with self._lock:
            if not self.plugged or self._device is None:
                return
            self.number += 1
            if not self.frozen:
                self._images = self.images(self.number)
            moment = (time.time() + self.clock_offset) * 1e3
            for kind, data, size in zip((rs.stream.depth, rs.stream.color), self._images[::-1], (2, 3), strict=True):
                self._push(kind, np.ascontiguousarray(data), size, moment)

    def _push(self, kind, data, size, moment):
        sensor = self._sensors[kind]
        if not sensor.get_active_streams() or (self.colorless and kind == rs.stream.color):
            return
        frame = rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp = data, self.profile.width * size, size
        frame.timestamp, frame.domain, frame.frame_number = moment, self.domain, self.number
        frame.profile = self._profiles[kind].as_video_stream_profile()
        if size == 2:
            frame.depth_units = self.depth_unit
        else:
            sensor.set_metadata(rs.frame_metadata_value.actual_exposure, 156)
        sensor.on_video_frame(frame)

    # Time

    def __enter__(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        due = time.monotonic()
        while not self._stop.is_set():
            self.push()
            due = max(due + 1 / self.profile.rate, time.monotonic() - 0.2)
            self._stop.wait(max(0.0, due - time.monotonic()))

    def unplug(self):
        """Vanish: no frame, and nothing to be found."""
        with self._lock:
            self.plugged, self._device = False, None


def record(path, device, count):
    """Write a .db3 file of `device` as the SDK's tools do; return the numbers of at least `count` frames in it."""
    pipeline, config, numbers = rs.pipeline(), rs.config(), []
    device.attach(None, pipeline, config)
    p = device.profile
    config.enable_stream(rs.stream.color, p.width, p.height, rs.format.rgb8, p.rate)
    config.enable_stream(rs.stream.depth, p.width, p.height, rs.format.z16, p.rate)
    config.enable_record_to_file(str(path))
    pipeline.start(config)
    with device:
        while len(numbers) < count:
            frames = pipeline.wait_for_frames(20000)
            if frames.get_color_frame() and frames.get_depth_frame():
                numbers.append(frames.get_color_frame().get_frame_number())
    pipeline.stop()
    return numbers
