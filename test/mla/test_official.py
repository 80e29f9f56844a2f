import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.mla.checkpoint import CheckpointError
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.memory import MemoryShortageError
from tristage_ros.mla.model import Mla, random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.official import load_official, save_official
from tristage_ros.pruning import PruningConfig, TriStagePruner
from tristage_ros.resources import find_checkpoint

STATISTICS = DatasetStatistics.tabletop()
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 27786213453\n"
# A narrow LLaMA between tokenizers, embedders and head as released
SMALL = MlaConfig(width=64, layers=2, heads=2, ffn_width=96)
ALONG = {  # what inference has no use for
    "vision_tower_2d": {"class_embedding": [1024], "split_embedding": [1024], "global_attention.q.0.bias": [1024]},
    "vision_tower_3d": {
        "cls_token": [1, 1, 768],
        "pos_embed": [1, 257, 768],
        "norm.weight": [768],
        "patch_embed.EncP.raw_point_embed.net.1.num_batches_tracked": [],
    },
    "llm_backbone": {
        "llm.coordinate_aware_contrastive_loss_module.image_projection_head.0.weight": [64, 64],
        "llm.tactile_contrastive_loss_module.tactile_projection_head.2.bias": [256],
    },
    "generation_manager": {"image_gen_module.mae_mask_token": [1, 1, 64]},
}


@pytest.fixture(scope="module")
def small() -> Mla:
    model = random_model(SMALL, 5)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():  # statistics of a tokenizer that has seen data
        buffer.uniform_(0.5, 2.0, generator=generator) if "var" in name else buffer.normal_(generator=generator)
    return model


@pytest.fixture
def run(small, tmp_path):
    file = save_official(tmp_path, small, STATISTICS, "rlbench")
    rewrite(file, lambda modules: [modules.setdefault(m, {}).update(zeros(extra)) for m, extra in ALONG.items()])
    return tmp_path


def zeros(shapes):
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def rewrite(file, change) -> None:
    content = torch.load(file, weights_only=True)
    change(content["model"])
    torch.save(content, file)


def set_entries(path, **entries) -> None:
    data = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not None}))


def test_what_is_saved_is_loaded_and_the_rest_is_listed(small, run):
    model, statistics, report = load_official(run, "rlbench", dtype=torch.float32)
    assert (model.config, statistics, model.training) == (SMALL, STATISTICS, False)
    for name, tensor in small.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert sorted(report.dropped) == sorted(f"{module}.{name}" for module, names in ALONG.items() for name in names)
    assert (report.vintage.name, report.vintage.fused_tokens, report.warnings) == ("release", 513, ())


def test_weights_are_cast_but_running_statistics_keep_their_digits(small, run):
    model, _, _ = load_official(run)
    for name, tensor in small.state_dict().items():
        wanted = tensor if "running_" in name else tensor.bfloat16()
        assert torch.equal(model.state_dict()[name], wanted), name


PROJECTION = "llm.model.layers.1.self_attn.k_proj.weight"
CONVOLUTION = "patch_embed.EncP.LGA_list.0.linear2.1.net1.0.weight"
VARIANCE = "patch_embed.EncP.LGA_list.1.linear2.0.net2.1.running_var"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("projector_3d"), "missing projector_3d.projector.0.weight.*4 faults"),
        (lambda m: m["llm_backbone"].pop(PROJECTION), f"missing llm_backbone.{PROJECTION}"),
        (lambda m: m["vision_tower_3d"].pop(VARIANCE), f"missing vision_tower_3d.{VARIANCE}"),
        (
            lambda m: m["llm_backbone"].update(key_proj=m["llm_backbone"].pop(PROJECTION)),
            f"missing llm_backbone.{PROJECTION}; unexpected llm_backbone.key_proj; 2 faults",
        ),
        (lambda m: m.update(lora=zeros({"a": [1]})), "unexpected lora.a"),
        (lambda m: m["llm_backbone"].update({PROJECTION: torch.zeros(64, 63)}), r"k_proj.weight is \[64, 63\]"),
        (
            lambda m: m["vision_tower_3d"].update({CONVOLUTION: torch.zeros(96, 192)}),
            r"net1.0.weight is \[96, 192\], not \[96, 192, 1, 1\]",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(run, change, message):
    rewrite(next(run.glob("checkpoints/*.pt")), change)
    with pytest.raises(CheckpointError, match=message):
        load_official(run)


@pytest.mark.parametrize(
    ("settings", "slot", "name", "fused"),
    [
        ({}, None, "release", 513),
        ({"camera_name": None, "use_generation": None, "use_reconstruction": False}, None, "older", 512),
        ({"camera_name": None, "use_generation": None, "recon_image": True}, None, "older", 512),
        ({"camera_name": None, "use_generation": None}, None, "unknown", 513),
        ({"use_reconstruction": False}, False, "older", 512),
        ({}, True, "release", 513),
    ],
)
def test_the_vintage_is_told_by_the_settings(small, tmp_path, settings, slot, name, fused):
    save_official(tmp_path, small, STATISTICS)
    set_entries(tmp_path / "config.json", **settings)
    model, _, report = load_official(tmp_path, tactile_slot=slot)
    assert (report.vintage.name, report.vintage.fused_tokens) == (name, fused)
    assert model.config.tactile_slot is (fused == 513)


def test_the_vintage_survives_a_round_trip(small, tmp_path):
    older = Mla(replace(SMALL, tactile_slot=False, chunk=3))
    older.load_state_dict(small.state_dict())
    save_official(tmp_path, older, STATISTICS)
    assert load_official(tmp_path)[0].config == older.config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_reconstruction": False}, "use_reconstruction tell.*tactile_slot"),
        ({"use_diff": False}, "use_diff is false"),
        ({"use_pointcloud": False}, "use_pointcloud is false"),
        ({"action_dim": 14}, "action_dim must be 7, got 14"),
        ({"future_action_window_size": None}, "future_action_window_size is missing"),
    ],
)
def test_runs_of_another_kind_are_refused(run, settings, message):
    set_entries(run / "config.json", **settings)
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{message}"):
        load_official(run)


def test_an_unknown_data_set_is_refused_with_the_known_ones(run):
    set_entries(run / "dataset_statistics.json", franka=STATISTICS.to_dict()["tristage"])
    for dataset in ("bridge", None):
        with pytest.raises(ValueError, match=r"'rlbench', 'franka'|'franka', 'rlbench'"):
            load_official(run, dataset)
    load_official(run, "franka")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run, file: file.unlink(), r"there is no .*checkpoints/\*\.pt"),
        (lambda run, file: (file.parent / "other.pt").touch(), "holds 2 files .other.pt, step-000000.*: give the path"),
        (lambda run, file: (run / "config.json").unlink(), r"no .*config\.json"),
        (lambda run, file: (run / "dataset_statistics.json").write_text("{"), r"statistics\.json .*: not JSON"),
        (lambda run, file: (run / "config.json").write_text("[]"), "JSON object"),
        (lambda run, file: file.write_bytes(b"nothing"), "cannot be read"),
        (
            lambda run, file: file.write_bytes(file.read_bytes()[:9_000_000]),
            r"is cut off after 9\.0 MB: download it again",
        ),
        (
            lambda run, file: file.write_text(POINTER),
            r"pointer of Git LFS, not the file itself \(27\.8 GB\): run git lfs pull",
        ),
        (lambda run, file: (run / "dataset_statistics.json").write_text(POINTER), r"statistics\.json is a pointer"),
        (lambda run, file: torch.save({"weights": {}}, file), "must hold"),
        (lambda run, file: torch.save({"model": [1]}, file), "must hold"),
        (lambda run, file: torch.save({"model": replace}, file), "cannot be read"),  # would run code when unpickled
    ],
)
def test_a_broken_run_directory_is_refused(run, break_it, message):
    break_it(run, next(run.glob("checkpoints/*.pt")))
    with pytest.raises(CheckpointError, match=message):
        load_official(run)


def test_one_of_several_files_is_chosen_by_its_path(small, run, tmp_path_factory):
    best = run / "checkpoints" / "best.pt"
    best.symlink_to(next(run.glob("checkpoints/*.pt")).rename(tmp_path_factory.mktemp("blobs") / "0123"))
    (run / "checkpoints" / "earlier.pt").touch()
    model, statistics, report = load_official(find_checkpoint(str(best)), dtype=torch.float32)
    assert (model.config, statistics, report.file) == (SMALL, STATISTICS, best)
    with pytest.raises(CheckpointError, match=r"there is no .*later\.pt"):
        load_official(run / "checkpoints" / "later.pt")


def test_its_tokenizer_is_that_of_the_run(run):
    with pytest.raises(FileNotFoundError, match=f"put it in {run}, or"):
        build_policy(str(next(run.glob("checkpoints/*.pt"))), PruningConfig(), precision="float32")


def test_a_released_run_is_told_what_was_commanded_and_ours_what_is_measured(small, run, tmp_path):
    def told():
        return load_official(run)[0].config.state_source

    assert told() == "measured", "the run of a model of ours"
    set_entries(run / "config.json", state_source="commanded")
    assert told() == "commanded"
    set_entries(run / "config.json", state_source="guessed")
    with pytest.raises(CheckpointError, match=r"config\.json: state_source must be one of measured, commanded"):
        told()
    assert (MlaConfig.mla_7b().state_source, MlaConfig.mini().state_source) == ("commanded", "measured")
    before = MlaConfig.mini().to_dict()
    del before["state_source"]
    assert MlaConfig.from_dict(before) == MlaConfig.mini()


def test_an_untrained_or_touching_model_is_warned_of(small, tmp_path):
    file = save_official(tmp_path, random_model(SMALL, 0), STATISTICS)
    rewrite(file, lambda modules: modules.update(tactile_embedder=zeros({"mlp.fc1.weight": [64, 12]})))
    untrained, tactile = load_official(tmp_path)[2].warnings
    assert "never saw data" in untrained and "tactile" in tactile


def test_a_run_directory_gives_the_policy_of_its_model(tiny, tmp_path, observation, instruction, make_policy):
    save_official(tmp_path, tiny, STATISTICS)
    policy = build_policy(str(tmp_path), PruningConfig(), precision="float32", seed=4)
    policy.reset(instruction)
    expected = make_policy(TriStagePruner(), seed=4).act(observation())[0]
    action, _ = policy.act(observation())
    np.testing.assert_allclose(action.translation, expected.translation, rtol=0, atol=1e-6)
    assert not policy.random_weights


def test_a_model_that_does_not_fit_says_what_would(run, monkeypatch):
    monkeypatch.setattr("tristage_ros.mla.memory.free_bytes", lambda device: 32_000_000)
    with pytest.raises(MemoryShortageError, match=r"as float32, but cpu has 0.03 GB.*would fit is bfloat16"):
        load_official(run, dtype=torch.float32)
    monkeypatch.setattr("tristage_ros.mla.memory.free_bytes", lambda device: 1)
    with pytest.raises(MemoryShortageError, match="would fit is the mini"):
        load_official(run)


MEASURE = """
import re, sys, torch
from tristage_ros.mla.official import load_official

def resident(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

torch.set_num_threads(1)
load_official(sys.argv[1])  # whatever is set up on the first call
open("/proc/self/clear_refs", "w").write("5")  # forget the peak
before = resident("VmRSS")
model = load_official(sys.argv[2])[0]
size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
print((resident("VmHWM") - before) / size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_more_than_the_model_and_a_part_of_it_is_in_memory(tmp_path, tiny, tiny_config):
    config = tiny_config(width=512, layers=14, heads=8, ffn_width=1376)
    save_official(tmp_path / "warm", tiny, STATISTICS)
    save_official(tmp_path / "large", random_model(config, 0), STATISTICS)  # float32, twice what is loaded
    arguments = [sys.executable, "-c", MEASURE, str(tmp_path / "warm"), str(tmp_path / "large")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) < 1.3


def test_what_python_takes_for_no_archive_is_told_as_cut_off(run, monkeypatch):
    def fail(_: object) -> bool:
        raise zipfile.BadZipFile("zipfiles that span multiple disks are not supported")

    monkeypatch.setattr(zipfile, "is_zipfile", fail)
    with pytest.raises(CheckpointError, match="download it again"):
        load_official(run)
