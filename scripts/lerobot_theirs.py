"""What the real lerobot makes of our files, and files of its own for us: its Python runs this for lerobot_check.sh.

usage: lerobot_theirs.py read DATASET SEEN.npz | train DATASET | write DATASET MADE.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from lerobot.configs import FeatureType
from lerobot.datasets import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.policies import make_pre_post_processors
from lerobot.policies.act import ACTConfig, ACTPolicy
from lerobot.utils.feature_utils import dataset_to_policy_features

FPS, SIZE, LENGTHS = 10, (48, 64), (6, 9)
JOINTS = [f"main_joint_{number}.pos" for number in range(1, 7)] + ["gripper.pos"]


def read(root: str, out: str) -> None:
    """Load every frame, and keep what was seen of each."""
    dataset = LeRobotDataset("local/check", root=root, video_backend="pyav")
    cameras = ", ".join(dataset.meta.camera_keys)
    print(f"read: {dataset.num_episodes} episodes, {dataset.num_frames} frames at {dataset.fps} Hz, {cameras}")
    kept: dict[str, list[np.ndarray]] = {}
    for index in range(dataset.num_frames):
        item = dataset[index]
        for key in ("observation.state", "observation.joints", "action", *dataset.meta.camera_keys):
            value = item[key].numpy()
            if key in dataset.meta.camera_keys and key not in dataset.meta.depth_keys:
                value = np.rint(value * 255).astype(np.uint8)
            kept.setdefault(key, []).append(value)
        kept.setdefault("task", []).append(np.array(item["task"]))
    np.savez(out, **{key: np.stack(values) for key, values in kept.items()})


def train(root: str) -> None:
    """Train one step of the smallest ACT on all colours, with lerobot's own normalisation and optimiser."""
    meta = LeRobotDatasetMetadata("local/check", root=root)
    features = dataset_to_policy_features(meta.features)
    outputs = {key: feature for key, feature in features.items() if feature.type is FeatureType.ACTION}
    config = ACTConfig(
        input_features={key: feature for key, feature in features.items() if key not in outputs},
        output_features=outputs, chunk_size=4, n_action_steps=4, dim_model=32, n_heads=2, dim_feedforward=64,
        n_encoder_layers=1, n_vae_encoder_layers=1, latent_dim=8, pretrained_backbone_weights=None, device="cpu",
    )  # fmt: skip
    policy = ACTPolicy(config).train()
    preprocess, _ = make_pre_post_processors(config, dataset_stats=meta.stats)
    times = {"action": [index / meta.fps for index in config.action_delta_indices]}
    dataset = LeRobotDataset("local/check", root=root, delta_timestamps=times, video_backend="pyav")
    batch = preprocess(next(iter(torch.utils.data.DataLoader(dataset, batch_size=4))))
    optimiser = config.get_optimizer_preset().build(policy.parameters())
    losses = []
    for _ in range(2):
        loss, _ = policy.forward(batch)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    size = sum(parameter.numel() for parameter in policy.parameters())
    print(f"trained: {size} weights, loss {losses[0]:.3f} before the step and {losses[1]:.3f} after it")
    assert np.isfinite(losses).all()


def write(root: str, out: str) -> None:
    """Write a dataset with lerobot's own writer: joints in degrees, colour, depth in mm on its default scale."""
    numbers = {"dtype": "float32", "shape": (7,), "names": JOINTS}
    picture = {"dtype": "video", "names": ["height", "width", "channels"]}
    features = {
        "observation.state": numbers, "action": numbers,
        "observation.images.top": picture | {"shape": (*SIZE, 3)},
        "observation.images.top_depth": picture | {"shape": (*SIZE, 1), "info": {"is_depth_map": True}},
    }  # fmt: skip
    dataset = LeRobotDataset.create(
        "local/made", FPS, features, root=root, robot_type="agilex_piper", use_videos=True, image_writer_threads=2
    )
    kept: dict[str, list[np.ndarray]] = {}
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for episode, length in enumerate(LENGTHS):
        for at in range(length):
            state = np.array([at, 30 + at, -40, episode, 0, 1, 20 + at], np.float32)
            color = np.stack([3 * x + at, 4 * y, 100 + 0 * x], -1).astype(np.uint8)
            depth = (200 + 10 * x + 20 * y + at).astype(np.uint16)[..., None]
            depth[0] = 0
            frame = {"observation.state": state, "action": state + np.float32(0.5), "observation.images.top": color,
                     "observation.images.top_depth": depth, "task": f"task {episode}"}  # fmt: skip
            for key, value in frame.items():
                kept.setdefault(key, []).append(np.array(value))
            dataset.add_frame(frame)
        dataset.save_episode()
    dataset.finalize()
    np.savez(out, **{key: np.stack(values) for key, values in kept.items()})
    print(f"written: {sum(LENGTHS)} frames in {len(LENGTHS)} episodes")


if __name__ == "__main__":
    {"read": read, "train": train, "write": write}[sys.argv[1]](*map(str, map(Path, sys.argv[2:])))
