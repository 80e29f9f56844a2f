"""A camera that is kept: each fault, what becomes of it, and the way back."""

import time

import pytest
from emulated_realsense import SMALL, EmulatedRealSense, record

from tristage_ros.devices.realsense.device import Recording, Settings
from tristage_ros.devices.realsense.link import CameraLink, Patience

STREAMS = Settings(SMALL, SMALL)
HASTY = Patience(lost_after=1.0, retry=0.2, frozen_after=0.5, restart_after=1.5)


class Setting:
    """A link and what it delivered and said."""

    def __init__(self, source, patience=HASTY):
        self.frames, self.numbers, self.infos, self.warnings = [], [], [], []
        self.info, self.warning = self.infos.append, self.warnings.append
        self.link = CameraLink(source, STREAMS, patience, self.take, self)
        self.link.start()

    def take(self, frame):
        self.numbers.append(frame.capture.metadata["frame_number"])
        self.frames.append((frame.stamp, frame.color is not None, bool(frame.capture.depth.any())))

    def until(self, condition, timeout=60.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, (self.link.reason, self.warnings)
            time.sleep(0.02)

    def more(self, count=5):
        wanted = len(self.frames) + count
        self.until(lambda: len(self.frames) >= wanted)


@pytest.fixture
def linked():
    made = []

    def start(*arguments):
        made.append(Setting(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.link.close()
        assert not one.link.failure


@pytest.fixture
def device():
    with EmulatedRealSense() as emulated:
        yield emulated


def test_frames_are_delivered_with_stamps_of_this_machine(linked, device):
    s = linked(device)
    s.more()
    assert abs(s.frames[-1][0] - time.time()) < 10.0
    assert s.link.camera is not None and not s.link.reason
    assert len(s.infos) == 1 and "emu0001" in s.infos[0]
    assert not s.warnings


def test_unplugging_is_one_warning_and_plugging_in_brings_frames_again(linked, device):
    s = linked(device)
    s.more()
    device.unplug()
    s.until(lambda: s.link.camera is None and "not connected" in s.link.reason)
    gone = len(s.frames)
    time.sleep(1.0)  # several attempts
    assert len(s.frames) == gone
    device.plugged = True
    s.more()
    assert s.warnings == [f"camera emu0001 is lost: {s.warnings[0].partition('lost: ')[2]}"]
    assert s.link.lost == 1 and device.starts == 2
    assert len(s.infos) == 2


def test_a_stream_that_stops_alone_is_a_lost_camera(linked, device):
    s = linked(device)
    s.more()
    device.colorless = True
    s.until(lambda: s.link.lost)
    held = len(s.frames)
    s.until(lambda: device.starts >= 2)
    device.colorless = False
    s.more()
    assert len(s.frames) > held and "lost" in s.warnings[0]


def test_a_camera_that_comes_late_is_waited_for(linked, device):
    device.unplug()
    s = linked(device)
    s.until(lambda: s.warnings)
    device.plugged = True
    s.more()
    assert len(s.warnings) == 1 and "not connected" in s.warnings[0]


def test_a_frozen_image_is_not_delivered_and_the_streams_are_started_anew(linked, device):
    s = linked(device)
    s.more()
    device.frozen = True
    s.until(lambda: s.link.frozen)
    held = len(s.frames)
    s.until(lambda: device.starts >= 3)
    assert len(s.frames) == held  # not one of the restarts let the old image through
    assert "frozen" in s.warnings[0]
    device.frozen = False
    s.more()
    assert not s.link.frozen


def test_repeated_images_are_believed_where_that_is_said(linked, device):
    device.frozen, device._images = True, device.images(0)
    s = linked(device, Patience(frozen_after=0.0))
    s.more(20)
    assert not s.link.frozen and not s.warnings


def test_a_black_colour_image_is_withheld_and_depth_goes_on(linked, device):
    s = linked(device)
    s.more()
    device.black = True
    s.until(lambda: s.link.watch.black)
    s.more()
    assert not s.frames[-1][1]
    assert s.frames[-1][2]
    device.black = False
    s.until(lambda: s.frames[-1][1])
    assert len(s.warnings) == 1 and "black" in s.warnings[0]


def test_depth_without_a_value_is_delivered_as_it_is_and_told(linked, device):
    s = linked(device)
    s.more()
    device.blind = True
    s.until(lambda: s.link.watch.without_depth)
    s.more()
    assert s.frames[-1][1:] == (True, False)
    assert len(s.warnings) == 1 and "depth" in s.warnings[0]


@pytest.mark.parametrize("offset", [10.0, -10.0])
def test_clocks_10_s_apart_are_measured_and_taken_out(linked, device, offset):
    device.clock_offset = offset
    s = linked(device)
    s.more()
    assert abs(s.frames[-1][0] - time.time()) < 5.0
    assert s.link.clock.mapped
    assert s.link.clock.skew == pytest.approx(-offset, abs=2.0)


def test_a_recording_is_played_to_its_end_with_stamps_of_now(linked, tmp_path):
    record(tmp_path / "camera.db3", EmulatedRealSense(), 15)
    began = time.time()
    s = linked(Recording(tmp_path / "camera.db3"))
    s.until(lambda: s.link.ended)
    assert s.frames  # in real time, a loaded machine drops some
    assert all(stamp > began - 1.0 for stamp, *_ in s.frames)
    assert s.link.reason == "the recording has ended" and not s.warnings


def test_a_recording_that_is_looped_begins_anew(linked, tmp_path):
    record(tmp_path / "camera.db3", EmulatedRealSense(), 15)
    s = linked(Recording(tmp_path / "camera.db3", loop=True))
    s.until(lambda: s.numbers != sorted(s.numbers))
    s.more()
    assert abs(s.frames[-1][0] - time.time()) < 10.0
