import pytest

from tristage_ros.mla.config import MlaConfig


@pytest.mark.parametrize("config", [MlaConfig.mini(), MlaConfig.mla_7b()])
def test_both_sizes_have_256_tokens_of_each_kind(config):
    assert (config.grid, config.image_tokens, config.point_tokens, config.token_size) == (16, 256, 256, 42)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "heads"),
        ({"layers": 0}, "from 1 to"),
        ({"image_heads": 5}, "image_heads"),
        ({"image_size": 673}, "image_size"),
        ({"point_base": 25}, "point_base"),
        ({"groups": (256, 512)}, "groups"),
        ({"points": 100}, "groups"),
        ({"neighbours": 513}, "neighbours"),
        ({"denoising_steps": 16}, "denoising_steps"),
        ({"image_squash": 0}, "from 1 to"),
        ({"norm_eps": 0.0}, "norm_eps"),
        ({"final_norm": "layer"}, "final_norm must be one of variance, rms"),
        ({"knn": "float16"}, "knn must be one of float32, bfloat16"),
        ({"fps_start": "last"}, "fps_start must be one of first, random"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        MlaConfig.from_dict(MlaConfig.mini().to_dict() | change)


def test_a_dict_with_other_fields_is_refused():
    data = MlaConfig.mini().to_dict()
    assert MlaConfig.from_dict(data) == MlaConfig.mini()
    with pytest.raises(ValueError, match=r"unknown.*colour"):
        MlaConfig.from_dict(data | {"colour": 1})
    del data["layers"]
    with pytest.raises(ValueError, match=r"missing.*layers"):
        MlaConfig.from_dict(data)


@pytest.mark.parametrize("value", [True, "192", None, [1], 10**400, -1, 2**21])
def test_a_size_of_another_kind_is_refused_by_name(value):
    with pytest.raises(ValueError, match="width must be a whole number from 1 to"):
        MlaConfig.from_dict(MlaConfig.mini().to_dict() | {"width": value})


def test_a_config_that_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match="not names with values"):
        MlaConfig.from_dict([1])
