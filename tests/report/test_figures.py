"""What the learning curve of a run shows."""

import pytest
import torch

from speechbrain_fusion.report.figures import draw_curve, draw_run, import_pyplot

HISTORY = [
    {"epoch": e, "train_loss": 1.0, "train_si_sdr": 2.0, "valid_loss": 3.0, **more}
    for e in (1, 2)
    for more in [{"valid_si_sdr": 4.0, "valid_anchor": 5.0}]
]


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        (["si_sdr"], {"train loss", "valid loss", "valid si sdr"}),
        ([], {"train loss", "valid loss"}),
    ],
)
def test_losses_and_the_metrics_of_validation_are_drawn(metrics, shown):
    """A metric may have the name of a loss; losses of a validation are no metrics."""
    pyplot = import_pyplot()
    figure, axis = pyplot.subplots()
    draw_curve(axis, HISTORY, metrics)
    texts = axis.get_legend().get_texts()
    pyplot.close(figure)
    assert {text.get_text() for text in texts} == shown


def test_one_signal_is_drawn(tmp_path):
    draw_run(tmp_path / "run.png", HISTORY, {"mixture": torch.ones(1, 800)}, 8000)
    assert (tmp_path / "run.png").stat().st_size > 1000
