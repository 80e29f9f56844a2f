from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tristage_ros import cli
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.reader import BagError
from tristage_ros.bags.writer import BagWriter
from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, flange_pose, inverse, rpy_to_matrix
from tristage_ros.mla.checkpoint import save_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.model import random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.trace_file import NAMES, TraceError, load_trace, save_trace
from tristage_ros.perception.lens import Lens
from tristage_ros.pruning import PruningConfig, TriStagePruner
from tristage_ros.pruning.calibration import calibrate, magnitudes_of
from tristage_ros.pruning.config import FEATURES
from tristage_ros.reports.run import JOINT_NAMES
from tristage_ros.resources import resource
from tristage_ros.simulation.scene import HOME
from tristage_ros.studies import calibrate as calibrate_module
from tristage_ros.studies import masks
from tristage_ros.studies.attempt import Attempts
from tristage_ros.studies.observations import from_bag, from_cell
from tristage_ros.studies.salience_trace import record_trace

CAMERAS = resource("config", "cameras.yaml")
LENS = Lens.of("plumb_bob", (-0.05, 0.06, -0.001, 0.001, -0.02))  # of the camera that a bag was written with
INSTRUCTION = "put the banana on the blue plate"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def observations():
    return list(from_cell(4, 0.3, CAMERAS))


@pytest.fixture(scope="module")
def trace(observations):
    return record_trace(build_policy(None, PruningConfig()), INSTRUCTION, observations)


def test_the_cell_sweeps_its_arm_and_is_the_same_again(observations) -> None:
    again = list(from_cell(2, 0.3, CAMERAS))
    np.testing.assert_array_equal(again[1].image, observations[1].image)
    np.testing.assert_array_equal(again[1].points, observations[1].points)
    assert [observation.stamp for observation in observations] == pytest.approx([0.3, 0.6, 0.9, 1.2])
    tools = np.array([observation.state[:3] for observation in observations])
    assert (np.linalg.norm(np.diff(tools, axis=0), axis=1) > 0.01).all()
    assert not np.array_equal(next(from_cell(1, 0.3, CAMERAS, seed=1)).image, observations[0].image)


def test_a_policy_is_recorded_on_all_tokens_and_has_its_pruner_back(observations, trace) -> None:
    policy = build_policy(None, PruningConfig(s1_feature="pre_norm", target_rate=0.5))
    pruner = policy.pruner
    steps = record_trace(policy, INSTRUCTION, observations[:2])
    assert policy.pruner is pruner
    assert policy.act(observations[0])[1].step == 1
    for step, other in zip(steps, trace, strict=False):
        assert all(getattr(step.salience, name).isfinite().all() for name in NAMES)
        assert not torch.allclose(step.salience.feature_2d, other.salience.feature_2d)  # another feature
        assert torch.equal(step.geometry.patch_of_point, other.geometry.patch_of_point)


def test_a_trace_survives_its_file(tmp_path, trace) -> None:
    trace = [replace(step, begins=number in (0, 2)) for number, step in enumerate(trace)]
    save_trace(tmp_path / "trace", trace, "pre_norm")
    loaded, feature = load_trace(tmp_path / "trace")
    assert (len(loaded), feature) == (len(trace), "pre_norm")
    for step, other in zip(loaded, trace, strict=True):
        assert step.begins == other.begins
        assert torch.equal(step.geometry.patch_of_point, other.geometry.patch_of_point)
        assert step.geometry.patches == other.geometry.patches
        assert all(torch.equal(getattr(step.salience, name), getattr(other.salience, name)) for name in NAMES)
    (tmp_path / "other").write_bytes(b"no trace at all")
    with pytest.raises(TraceError, match="no salience trace"):
        load_trace(tmp_path / "other")


@pytest.mark.parametrize("change", [{"steps": "x"}, {"steps": "2"}, {"feature": None}])
def test_a_trace_whose_facts_are_wrong_is_refused(tmp_path, trace, change) -> None:
    path = tmp_path / "trace.safetensors"
    save_trace(path, trace[:1], "pre_norm")
    with safe_open(path, "pt") as file:
        facts = {name: text for name, text in (file.metadata() | change).items() if text is not None}
    save_file(load_file(path), path, facts)
    with pytest.raises(TraceError, match="is no salience trace"):
        load_trace(path)


def test_the_command_prints_before_and_after_and_writes_what_it_found(tmp_path, trace, capsys) -> None:
    save_trace(tmp_path / "trace", trace, "pre_norm")
    arguments = ["calibrate", "--trace", str(tmp_path / "trace"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert (
        "before" in printed
        and "after" in printed
        and "stage 2, 3D-bearing patches" in printed
        and "kept" not in printed
    )
    scale = magnitudes_of(trace).scale
    assert written(tmp_path) == PruningConfig.robot().carried(scale)
    assert (tmp_path / "out" / "calibration.png").stat().st_size > 10_000
    assert cli.main([*arguments, "--rate", "0.4"]) == 0
    assert "40" in capsys.readouterr().out
    thresholds = {"tau_2d": written(tmp_path).tau_2d, "tau_3d": written(tmp_path).tau_3d}
    carried = PruningConfig.robot().carried(scale)
    assert written(tmp_path) == replace(carried, **thresholds) != carried
    assert cli.main([*arguments, "--rate", "0.99"]) == 2
    assert "error: rate = 0.99 is out of reach" in capsys.readouterr().err
    save_trace(tmp_path / "trace", trace, "lm_head")
    assert cli.main(arguments) == 2
    assert "s1_feature lm_head" in capsys.readouterr().err


def written(folder: Path) -> PruningConfig:
    return PruningConfig.from_dict(yaml.safe_load((folder / "out" / "pruning.yaml").read_text()))


def test_the_scale_of_a_checkpoint_is_kept_beside_it_and_its_policies_prune_by_it(
    tmp_path, observations, monkeypatch, capsys
) -> None:
    weights = tmp_path / "mine.safetensors"
    model = random_model(MlaConfig.mini(), 3)
    save_checkpoint(weights, model, DatasetStatistics.tabletop(), {})
    bag = write_bag(tmp_path / "bag", observations)
    arguments = ["calibrate", "--checkpoint", str(weights), "--bag", str(bag), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert f"kept: {tmp_path / 'mine.scales.yaml'}" in capsys.readouterr().out
    policy = build_policy(str(weights), PruningConfig.robot())
    assert policy.pruner.config.scale_3d is None and policy.pruner.scale == written(tmp_path).scale_3d
    scales = [build_policy(str(weights), PruningConfig(s1_feature=f).carried()).pruner.scale for f in FEATURES]
    assert None not in scales and scales[0] != scales[1] == policy.pruner.scale
    assert Attempts(str(weights)).policy(TriStagePruner(PruningConfig.robot()), 0).pruner.scale == policy.pruner.scale


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "1.5"], "rate = 1.5 must be between 0 and 1"),
        (["--balance", "2"], "balance = 2.0 must be in [0, 1]"),
        (["--episodes", "0"], "--episodes is 0; at least 1 of every task is needed"),
        (["--instruction", " "], "the instruction is empty"),
        (["--out", "{folder}/taken"], "taken is a file: give --out a folder"),
        (["--pruning", "{folder}/taken"], "taken: "),
        (["--pruning", "{folder}/no_stage_1.yaml"], "is without stage 1"),
        (["--bag", "{folder}/bag", "--cameras-file", "{folder}/none.yaml"], "none.yaml"),
        (["--bag", "{folder}/bag", "--cameras-file", "{folder}/wrist.yaml"], "wrist.yaml: no camera is called front"),
        (["--bag", "{folder}/bag"], "has no messages on /tristage/cloud"),
        (["--checkpoint", "{folder}/none.safetensors"], "no checkpoint at"),
    ],
)
def test_what_cannot_be_is_told_before_a_step_is_taken(
    words, message, tmp_path, observations, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(calibrate_module, "record_trace", None)
    monkeypatch.setattr(calibrate_module, "traces_of_episodes", None)
    (tmp_path / "taken").write_text("not a preset")
    (tmp_path / "no_stage_1.yaml").write_text("stages: [2, 3]")
    front = yaml.safe_load(CAMERAS.read_text())["cameras"]
    (tmp_path / "wrist.yaml").write_text(yaml.safe_dump({"cameras": {"wrist": front["wrist"]}}))
    write_bag(tmp_path / "bag", observations[:1], without=("/tristage/cloud",))
    words = [word.format(folder=tmp_path) for word in words]
    assert cli.main(["calibrate", "--rate", "0.7", "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_rate_out_of_reach_keeps_the_run(tmp_path, trace, monkeypatch, capsys) -> None:
    traces = dict.fromkeys(FEATURES, trace)
    monkeypatch.setattr(calibrate_module, "traces_of_episodes", lambda *arguments: traces)
    assert cli.main(["calibrate", "--rate", "0.99", "--checkpoint", "random", "--out", str(tmp_path)]) == 2
    kept = tmp_path / "trace.safetensors"
    assert f"the run is kept: --trace {kept} tries others" in capsys.readouterr().err
    assert len(load_trace(kept)[0]) == len(trace)


def test_the_variants_of_the_ablation_differ(tmp_path, observations, trace) -> None:
    by_variant = masks.variants(calibrate(trace, PruningConfig(), 0.5).config, trace, observations)
    assert len(by_variant) == 7
    last = [torch.cat([kept[-1].keep_2d, kept[-1].keep_3d]) for kept in by_variant.values()]
    names = list(by_variant)
    assert not [(names[i], names[j]) for i in range(7) for j in range(i) if torch.equal(last[i], last[j])]
    drawn = masks.figure(by_variant, trace, observations, [1, 3])
    assert len(drawn.axes) == 14
    assert masks.table(by_variant).count("\n") == 9


def test_a_bag_gives_the_observations_that_the_policy_had(tmp_path, observations) -> None:
    path = write_bag(tmp_path / "bag", observations)
    read = list(from_bag(path, CAMERAS))
    assert len(read) == len(observations)
    for seen, original in zip(read, observations, strict=True):
        np.testing.assert_allclose(seen.points, original.points)
        np.testing.assert_allclose(seen.state, original.state, atol=1e-4)
        np.testing.assert_allclose(seen.depth, original.depth, atol=1e-3)
        assert np.abs(seen.image.astype(int) - original.image).mean() < 3  # JPEG
        assert seen.stamp == pytest.approx(original.stamp)
        np.testing.assert_allclose(seen.camera.pose, original.camera.pose, atol=1e-4)
        assert seen.camera.fx == original.camera.fx
        assert seen.camera.lens == LENS, "what points are projected through, too"


def test_what_a_bag_lacks_is_named(tmp_path, observations) -> None:
    with pytest.raises(BagError, match="cannot be read"):
        next(from_bag(tmp_path, CAMERAS))
    path = write_bag(tmp_path / "bag", observations, without=("/tristage/cloud", "/joint_states"))
    with pytest.raises(BagError, match="no messages on /tristage/cloud, /joint_states"):
        next(from_bag(path, CAMERAS))


def write_bag(path: Path, observations, without: tuple[str, ...] = ()) -> Path:
    with BagWriter(path, queue_bytes=1 << 30) as writer:
        for seen in observations:
            for topic, kind, fields in recorded(seen):
                if topic not in without:
                    sec, nanosec = divmod(round(seen.stamp * 1e9), 10**9)
                    stamp = new_message("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
                    header = new_message("std_msgs/msg/Header", stamp=stamp, frame_id="base_link")
                    data = bytes(typestore().serialize_cdr(new_message(kind, header=header, **fields), kind))
                    writer.write(topic, kind, data, 10**18 + round(seen.stamp * 1e9))
    return path


def recorded(seen):
    height, width = seen.image.shape[:2]
    shape = {"height": height, "width": width}
    millimetres = np.nan_to_num(seen.depth * 1000).round().astype(np.uint16)
    color = {**shape, "encoding": "rgb8", "step": 3 * width, "data": seen.image.reshape(-1)}
    depth = {**shape, "encoding": "16UC1", "step": 2 * width, "data": millimetres.reshape(-1).view(np.uint8)}
    camera = seen.camera
    lens = {"distortion_model": LENS.model, "d": np.array(LENS.coefficients)}
    k = np.array([camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1.0])
    fields = [
        new_message("sensor_msgs/msg/PointField", name=axis, offset=4 * i, datatype=7, count=1)
        for i, axis in enumerate("xyz")
    ]
    points = seen.points.astype("<f4")
    cloud = {
        "height": 1, "width": len(points), "fields": fields, "point_step": 12, "row_step": points.nbytes,
        "data": points.reshape(-1).view(np.uint8),
    }  # fmt: skip
    tool = np.eye(4)
    tool[:3, :3], tool[:3, 3] = rpy_to_matrix(seen.state[3:6]), seen.state[:3]
    position = np.array([*inverse(flange_pose(tool), HOME), seen.state[6] * GRIPPER_RANGE[1]])
    yield "/front/color/image_raw", "sensor_msgs/msg/Image", color
    yield "/front/aligned_depth_to_color/image_raw", "sensor_msgs/msg/Image", depth
    yield "/front/color/camera_info", "sensor_msgs/msg/CameraInfo", {**shape, "k": k, **lens}
    yield "/tristage/cloud", "sensor_msgs/msg/PointCloud2", cloud
    yield "/joint_states", "sensor_msgs/msg/JointState", {"name": list(JOINT_NAMES), "position": position}
