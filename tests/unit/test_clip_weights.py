"""The weights that are shipped: what the model card says of them is what was measured of them."""

from __future__ import annotations

import json

import numpy as np

from hemline.encoders.clip import committed_weights, load_clip
from hemline_training.clip.evaluate import ClipEvaluation, Figure


def test_the_committed_weights_are_small_and_load() -> None:
    folder = committed_weights()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 25_000_000
    encoder = load_clip("hemline")
    assert (encoder.name, encoder.dim) == ("hemline", 128)
    red, also_red, shoe = encoder.encode_texts(["red dress", "ladies red dresses", "brown shoe"])
    assert np.dot(red, also_red) > np.dot(red, shoe) + 0.2


def test_the_model_card_shows_the_figures_measured_of_these_very_weights() -> None:
    folder = committed_weights()
    measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert measured["encoder_id"] == load_clip("hemline").encoder_id
    figures = tuple(Figure(name=name, **rest) for name, rest in measured["figures"].items())
    table = ClipEvaluation(measured["encoder_id"], figures).table()
    assert table in (folder / "README.md").read_text(encoding="utf-8")
