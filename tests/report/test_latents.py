"""Pictures of a latent space and of losses: what they are drawn from."""

import matplotlib.image
import numpy as np
import pytest
import torch

from speechbrain_fusion.data import Example
from speechbrain_fusion.models import SharedLatentEnhancer, SpeechAutoencoder
from speechbrain_fusion.report import latents as latents_module
from speechbrain_fusion.report.figures import import_pyplot
from speechbrain_fusion.report.latents import (
    FRAMES,
    apart,
    draw_latents,
    draw_terms,
    sample_latents,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    speech = SpeechAutoencoder((128,), 32, channels=(8, 6), kernel=1)
    return SharedLatentEnhancer(speech, (8, 8, 6), 3)


def items(count=3):
    signals = torch.randn(2, count, 1, 4000, generator=torch.Generator().manual_seed(0))
    return [
        Example(f"{i}", {"mixture": signals[0, i], "target": signals[1, i]})
        for i in range(count)
    ]


def test_the_same_frames_of_both_are_sampled_and_the_mode_is_kept(model):
    model.train()
    found = sample_latents(model, items())
    assert model.training
    assert {name: x.shape for name, x in found.items()} == dict.fromkeys(
        ("clean", "noisy"), (3 * FRAMES, 6)
    )
    again = sample_latents(model, items())
    for name, latent in found.items():
        assert torch.equal(latent, again[name])


def test_distance_is_in_units_of_the_clean_spread():
    clean = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0))
    assert apart(clean, clean) == 0
    assert apart(clean, clean.mean(0).expand_as(clean)) == pytest.approx(1, rel=1e-4)
    assert apart(5 * clean, 5 * clean + 5) == pytest.approx(apart(clean, clean + 1))


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    latents = torch.randn(3, 50, 6).unbind()
    named = dict(zip(("clean", "noisy, before", "noisy, after"), latents, strict=True))
    draw_latents(tmp_path / "latents.png", named)
    history = [{"epoch": e, "train_a": 1 / e, "valid_a": 2 / e} for e in (1, 2)]
    draw_terms(tmp_path / "terms.png", {"one": history, "two": history})
    for name in ("latents.png", "terms.png"):
        image = matplotlib.image.imread(tmp_path / name)
        assert image.min() < image.max()


@pytest.fixture
def drawn(monkeypatch):
    """Figures that would be saved, by the names of their files."""
    figures = {}

    def keep(figure, path, **_):
        figures[path.name] = figure

    monkeypatch.setattr(latents_module, "save_figure", keep)
    yield figures
    for figure in figures.values():
        import_pyplot().close(figure)


def test_each_panel_shows_its_latents_over_the_clean_ones(tmp_path, drawn):
    clean = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    named = {"clean": clean, "noisy, before": clean + 9.0, "noisy, after": 0.5 * clean}
    draw_latents(tmp_path / "latents.png", named)
    panels = drawn["latents.png"].axes
    for panel, name in zip(panels, [*named][1:], strict=True):
        below, above = panel.collections
        assert [below.get_label(), above.get_label()] == ["clean", name]
        # the plane is turned, distances stay
        shift = np.asarray(above.get_offsets() - below.get_offsets())
        expected = (named[name] - clean).norm(dim=-1).numpy()
        assert np.linalg.norm(shift, axis=1) == pytest.approx(expected, abs=1e-4)
        distance = apart(clean, named[name])
        assert panel.get_title() == f"{name}: {distance:.2f} from clean"


def test_losses_of_training_and_validation_are_told_apart(tmp_path, drawn):
    history = [{"epoch": e, "train_a": 1 / e, "valid_a": 2 / e} for e in (1, 2)]
    draw_terms(tmp_path / "terms.png", {"one": history})
    (panel,) = [axis for axis in drawn["terms.png"].axes if axis.lines]
    shown = {line.get_label(): list(line.get_ydata()) for line in panel.lines}
    names = {"training" if "train" in x else "validation": y for x, y in shown.items()}
    assert names == {"training": [1.0, 0.5], "validation": [2.0, 1.0]}


def test_without_history_there_is_no_picture_of_losses(tmp_path):
    draw_terms(tmp_path / "terms.png", {"one": []})
    assert not (tmp_path / "terms.png").exists()
