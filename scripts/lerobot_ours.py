"""Our side of lerobot_check.sh: a dataset for the real lerobot, and what it saw and wrote against what we read.

usage: lerobot_ours.py write DATASET | seen DATASET SEEN.npz | made DATASET MADE.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))

from lerobot_sets import CAMERAS, MAPPING, Demonstrations

from tristage_ros.datasets.lerobot.dataset import open_lerobot
from tristage_ros.datasets.lerobot.writer import write_dataset

COARSE = 1.5  # mm: half a step of lerobot's own scale at 1.8 m, and its rounding to whole millimetres


def write(root: Path) -> None:
    """Write two episodes of made-up scenes with depth, and beside it the same without."""
    write_dataset(Demonstrations((8, 5)), root)
    write_dataset(Demonstrations((8, 5)), root.with_name(f"{root.name}_colour"), depth=False)


def seen(root: Path, path: Path) -> None:
    """Compare what the real lerobot saw of our dataset with what we read of it."""
    theirs, count, worst = np.load(path), 0, dict.fromkeys(("state", "joints", "action", "colour", "depth, mm"), 0.0)
    for episode in open_lerobot(root):
        for frame in episode.frames():
            action = np.concatenate([frame.action.translation[0], frame.action.orientation[0], frame.action.gripper])
            assert theirs["task"][count] == episode.task
            pairs = [
                ("state", theirs["observation.state"][count], frame.state),
                ("joints", theirs["observation.joints"][count], frame.joints),
                ("action", theirs["action"][count], action),
            ]
            for camera in CAMERAS:
                depth = frame.depths[camera] * 1e3  # 0 where nothing was measured, for lerobot, too
                pairs += [
                    ("colour", theirs[f"observation.images.{camera}"][count].transpose(1, 2, 0), frame.images[camera]),
                    ("depth, mm", theirs[f"observation.images.{camera}_depth"][count][0], depth),
                ]
            for name, one, other in pairs:
                worst[name] = max(worst[name], float(np.abs(one.astype(np.float64) - other).max()))
            count += 1
    assert count == len(theirs["task"])
    print(
        f"{count} frames, the largest differences: " + ", ".join(f"{name} {value:.3g}" for name, value in worst.items())
    )
    assert (
        max(worst["state"], worst["joints"], worst["action"]) == 0 and worst["colour"] <= 3 and worst["depth, mm"] < 0.5
    )


def made(root: Path, path: Path) -> None:
    """Read what the real lerobot wrote, and compare with what it was given."""
    given, count, worst = np.load(path), 0, dict.fromkeys(("joints, rad", "colour on average", "depth, mm"), 0.0)
    mapping = root.with_suffix(".yaml")
    text = MAPPING.replace("main_gripper", "gripper.pos")
    for number in range(1, 7):
        text = text.replace(f"main_joint_{number}", f"main_joint_{number}.pos")
    mapping.write_text(text.replace("top\n", "top\n    depth: observation.images.top_depth\n"), encoding="utf-8")
    dataset = open_lerobot(root, mapping)
    for episode in dataset:
        for frame in episode.frames():
            joints = np.radians(given["observation.state"][count][:6].astype(np.float64))
            color, depth = given["observation.images.top"][count], given["observation.images.top_depth"][count][..., 0]
            ours = frame.depths["front"] * 1e3
            assert (ours[0] == 0).all()  # not measured
            for name, difference in (
                ("joints, rad", np.abs(frame.joints[:6] - joints).max()),
                ("colour on average", np.abs(frame.images["front"].astype(int) - color).mean()),
                ("depth, mm", np.abs(ours - depth)[1:].max()),
            ):
                worst[name] = max(worst[name], float(difference))
            count += 1
    assert count == len(given["action"])
    print(
        f"{len(dataset)} episodes, {count} frames, the largest differences: "
        + ", ".join(f"{name} {value:.3g}" for name, value in worst.items())
    )
    assert worst["joints, rad"] < 1e-6 and worst["colour on average"] < 6 and worst["depth, mm"] < COARSE


if __name__ == "__main__":
    {"write": write, "seen": seen, "made": made}[sys.argv[1]](*map(Path, sys.argv[2:]))
