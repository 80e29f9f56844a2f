import argparse

import pytest

from tristage_ros.resources import resource
from tristage_ros.simulation.instructions import TABLE
from tristage_ros.training.command import run
from tristage_ros.training.recipe import Recipe, RecipeError

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
