import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tristage_ros.mla.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from tristage_ros.mla.normalisation import DatasetStatistics

STATISTICS = DatasetStatistics.tabletop()


@pytest.fixture
def saved(tiny, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny, STATISTICS, {"task": "banana", "success": 0.5})
    return path


def test_what_is_saved_is_loaded(tiny, saved):
    model, statistics, facts = load_checkpoint(saved)
    assert (model.config, statistics, facts) == (tiny.config, STATISTICS, {"task": "banana", "success": 0.5})
    assert not model.training
    for name, tensor in tiny.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_weights_are_cast_but_running_statistics_keep_their_digits(tiny, saved):
    model, _, _ = load_checkpoint(saved, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}


def rewrite(path, change):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: t.pop("llm.norm.weight"), "missing llm.norm.weight"),
        (lambda t, m: t.pop("vision_tower_3d.raw_point_embed.norm.running_var"), "missing .*running_var"),
        (lambda t, m: t.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda t, m: t.update({"llm.norm.weight": torch.zeros(5)}), r"llm.norm.weight is \[5\], not \[32\]"),
        (lambda t, m: m.pop("format"), "no checkpoint of this model"),
        (lambda t, m: m.pop("statistics"), "metadata.*statistics"),
        (lambda t, m: m.update(config="{}"), "metadata.*missing.*layers"),
        (lambda t, m: m.update(facts="{"), "metadata"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        load_checkpoint(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: whole[:100], "is cut off, 100 bytes of"),
        (lambda whole: whole[:-1], r"is cut off, .*: download it again"),
        (
            lambda whole: b"version https://git-lfs.github.com/spec/v1\nsize 12\n",
            r"Git LFS.*\(12 bytes\): run git lfs pull",
        ),
    ],
)
def test_half_a_download_is_told_with_what_to_do(saved, cut, message):
    saved.write_bytes(cut(saved.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("no tensors here")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        load_checkpoint(tmp_path / "text.safetensors")


@pytest.mark.parametrize("end", ["1", 10**400, None])
def test_a_header_whose_offsets_are_none_is_refused(end, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, end]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
