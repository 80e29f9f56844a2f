"""Start what `ros2 bag play BAG --clock` is to drive: `ros2 launch tristage_ros replay.launch.py`."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Describe point cloud and policy on the clock of the bag, as the pick cell describes its graph."""
    spec = spec_from_file_location("piper_pick_launch", Path(__file__).with_name("piper_pick.launch.py"))
    piper_pick = module_from_spec(spec)
    spec.loader.exec_module(piper_pick)
    return piper_pick.describe("replay")
