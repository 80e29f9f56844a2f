import math

import torch

from tristage_ros.mla.model import PlaceEmbedder, random_model, window_centres


def test_window_centres_go_row_by_row():
    assert window_centres(torch.tensor([0, 1, 5, 15]), 4).tolist() == [
        [0.125, 0.125],
        [0.375, 0.125],
        [0.375, 0.375],
        [0.875, 0.875],
    ]


def test_places_are_told_by_halving_wavelengths():
    embedder = PlaceEmbedder(1, 1.6, 12)
    with torch.no_grad():
        embedder.linear.weight.copy_(torch.eye(12))
        told = embedder(torch.tensor([[0.1]]))[0].tolist()
    angles = [2 * math.pi * 0.1 / wavelength for wavelength in (1.6, 0.8, 0.4, 0.2, 0.1, 0.05)]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    assert all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(told, expected, strict=True))


def test_a_model_with_place_features_is_the_same_pruned_or_not(tiny_config):
    model = random_model(tiny_config(place_features=True), 0)
    tokens, keep = torch.randn(16, 16), torch.tensor([2, 7, 11])
    everything = model.embed_image(tokens, torch.arange(16))
    torch.testing.assert_close(model.embed_image(tokens[keep], keep), everything[keep])
    plain = random_model(tiny_config(), 0)
    torch.testing.assert_close(plain.embed_image(tokens, keep), plain.projector_2d(tokens))
