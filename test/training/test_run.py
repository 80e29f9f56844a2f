import json

import pytest
import torch

from tristage_ros.cli import main
from tristage_ros.mla.checkpoint import load_checkpoint
from tristage_ros.training.frames import read_shard
from tristage_ros.training.run import Run
from tristage_ros.training.share import helpers


def unable() -> None:
    """Stand for work that another process cannot find."""


@pytest.mark.timeout(600)
def test_processes_that_share_batches_train_one_model(recipe, config, shards, tmp_path):
    """Beside the norms' statistics, the losses are those of one process; no other may differ by a weight."""
    losses = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        (folder / "demonstrations").symlink_to(shards[0].parent)
        settings = recipe("optimisation.steps=4", "dagger.at=[]", "optimisation.warm_up=1", "optimisation.auxiliary=0")
        run = Run(settings, folder, workers=workers, collected=True, config=config)
        assert run.trainer.share.count == workers
        run.train()
        losses[workers] = [step["action"] for step in run.folder.steps()]
        assert run.folder.figure.stat().st_size > 1000
    assert losses[1] == pytest.approx(losses[2], rel=0.05)


def test_a_helper_that_cannot_start_ends_the_run():
    unable.__module__ = "nowhere"
    with pytest.raises(Exception, match=r"exit code|nowhere"), helpers(unable, 2):
        pass


def test_the_checkpoint_is_half_and_says_how_it_was_made(recipe, config, shards, tmp_path):
    run = Run(recipe("dagger.at=[]"), tmp_path, workers=1, collected=True, config=config)
    run.train()
    model, statistics, facts = load_checkpoint(run.folder.checkpoint)
    assert (facts["step"], facts["recipe"]["seed"]) == (8, run.recipe.seed)
    assert statistics.action.q01 == pytest.approx(run._plan.statistics.action.q01)
    assert model.dtype == torch.float32  # on a CPU
    for name, tensor in run.trainer.average.model.state_dict().items():
        expected = tensor if "running_" in name else tensor.half().float()
        torch.testing.assert_close(model.state_dict()[name], expected, rtol=0, atol=0)
    stored, *_ = load_checkpoint(run.folder.checkpoint, dtype=torch.bfloat16)
    assert stored.dtype == torch.bfloat16


@pytest.mark.long
@pytest.mark.timeout(600)
def test_train_collects_trains_rolls_out_and_checks(tmp_path, capsys):
    """The whole command with the real model and simulation, and once more, when only the check is left to do."""
    settings = [
        "episodes={banana: 1, box: 1}", "demonstrations.shard=1", "demonstrations.looks=1",
        "optimisation.batch=2", "optimisation.steps=2",
        "optimisation.compile=false", "dagger.at=[0.5]", "dagger.episodes=2", "check.episodes=1",
    ]  # fmt: skip
    for _ in range(2):
        assert main(["train", "--out", str(tmp_path), "--workers", "2", *settings]) == 0
    assert "banana: " in capsys.readouterr().out
    assert len(list((tmp_path / "demonstrations").glob("*.safetensors"))) == 4
    frames, facts = read_shard(tmp_path / "demonstrations" / "box-0000000.safetensors")
    assert (facts.instruction, facts.episodes) == ("close the box", 1) and len(frames) > 2
    looks, _ = read_shard(tmp_path / "demonstrations" / "banana-looks-0000000.safetensors")
    assert len(looks) == 1
    assert sorted(p.name for p in (tmp_path / "rollouts").iterdir()) == [
        "0-banana-00000.safetensors",
        "0-box-00000.safetensors",
    ]
    notes = [json.loads(line) for line in (tmp_path / "outcomes.jsonl").read_text().splitlines()]
    assert [(n["step"], n["check"]) for n in notes] == [(1, False)] * 2 + [(2, True)] * 4
    assert [json.loads(line)["step"] for line in (tmp_path / "curve.jsonl").read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimisation.steps=x"], "steps cannot be 'x'"),
        (["--recipe", "nothing.yaml"], "nothing.yaml"),
        (["--only", "train"], "no demonstrations"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, message, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
