import argparse
import json
from dataclasses import replace

import pytest

from tristage_ros.mla.config import MlaConfig
from tristage_ros.resources import resource
from tristage_ros.simulation.instructions import TABLE
from tristage_ros.training.command import run
from tristage_ros.training.recipe import Recipe, RecipeError
from tristage_ros.training.run_folder import RunFolder

FILE = resource("config", "training.yaml")


def test_the_shipped_recipe_is_read():
    recipe = Recipe.load(FILE, ("optimisation.steps=200", "dagger.at=[0.25, 0.5]", "episodes.banana=7"))
    assert recipe.rounds() == (50, 100)
    assert Recipe.load(FILE, ("optimisation.learning_rate=1e-3",)).optimisation.learning_rate == 1e-3
    assert recipe.episodes["banana"] == 7
    assert Recipe.load(FILE).to_dict()["optimisation"]["steps"] == Recipe.load(FILE).optimisation.steps


def test_the_shipped_recipes_follow_each_other(monkeypatch, tmp_path):
    first, then = Recipe.load(FILE), Recipe.load(resource("config", "training_continuous.yaml"))
    assert not first.start
    assert then.start
    assert list(then.episodes) == list(TABLE)
    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(
        recipe=resource("config", "training_continuous.yaml"), settings=[], device="cpu", only=None
    )
    with pytest.raises(RecipeError, match=r"training.*is not there"):
        run(options)


def test_it_says_whether_3d_tokens_are_told_their_patch():
    assert Recipe.load(FILE).model() == MlaConfig.mini()
    told = Recipe.load(FILE, ("point_patches=true",)).model()
    assert told.point_patches and replace(told, point_patches=False) == MlaConfig.mini()
    with pytest.raises(RecipeError, match="point_patches cannot be 'perhaps'"):
        Recipe.load(FILE, ("point_patches=perhaps",))


def test_a_run_of_before_goes_on_only_as_it_was_begun(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(Recipe.load(FILE))
    begun = json.loads(folder.recipe.read_text())
    del begun["point_patches"]
    folder.recipe.write_text(json.dumps(begun))
    with pytest.raises(RecipeError, match="was begun with point_patches = False, not True: choose another --out"):
        folder.begin(Recipe.load(FILE, ("point_patches=true",)))
    folder.begin(Recipe.load(FILE))


def test_start_with_nothing_behind_it_is_random_weights():
    assert Recipe.load(resource("config", "training_continuous.yaml"), ("start=",)).start == ""


@pytest.mark.parametrize("content", [b"\xff\xfe", b"seed: ["])
def test_a_file_that_is_no_yaml_is_named(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.yaml: (not YAML|byte 1 is not UTF-8)"):
        Recipe.load(path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimisation.stps=1", "not of the form"),
        ("steps", "not of the form"),
        ("nothing.steps=1", "not of the form"),
        ("optimisation.steps=many", "steps cannot be 'many'"),
        ("optimisation.steps=.inf", "steps cannot be inf"),
        ("optimisation.steps=[", "the value cannot be read"),
        ("optimisation.steps=0", "steps must be at least 1, got 0"),
        ("optimisation.compile=3", "compile cannot be 3"),
        ("demonstrations.noisy=1.5", "noisy must be from 0 to 1, got 1.5"),
        ("demonstrations.translation=4", "translation cannot be 4"),
        ("dagger.at=[0.7, 0.2]", "must ascend"),
        ("episodes.banana=0", "episodes of banana"),
        ("episodes.yoga=4", "no task is called 'yoga'"),
        ("dagger={}", "dagger: missing"),
    ],
)
def test_settings_that_cannot_be_used_are_named(setting, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.load(FILE, (setting,))
