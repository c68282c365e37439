"""An ordinary SpeechBrain script, not ours, takes in parts of the package.

One at a time, by a few lines of its YAML and a line or two of the script, as its owner
would change them, where the wheel is installed. Every run is then stopped after two
epochs and taken up again.
"""

import itertools
import math
import re
from pathlib import Path

import pytest
import torch

from tests.distribution.conftest import WHERE

pytestmark = pytest.mark.slow
PLAIN = Path(__file__).parent / "plain_training"
PACKAGE = "speechbrain_fusion"
IMPORT = f"from {PACKAGE}.brains import GradientModulationBrain"


class Script:
    """A copy of the plain script, to be edited and run."""

    def __init__(self, folder, away):
        self.folder, self.away = folder, away
        for name in ("train.py", "train.yaml"):
            (folder / name).write_text((PLAIN / name).read_text())

    def edit(self, name, *changes):
        """Replace what must stand in a file once."""
        text = (self.folder / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self.folder / name).write_text(text)

    def train(self, epochs):
        command = ("train.py", "train.yaml", "--device=cpu")
        changes = f"--number_of_epochs={epochs}"
        self.away.run(self.folder, "python", *command, changes)

    def log(self):
        """Read the log: {"train loss": [one for each epoch], ...}."""
        text = (self.folder / "results/train_log.txt").read_text()
        figures = {}
        for name, value in re.findall(r"(\w+ \w+): ([-+.\w]+)", text):
            figures.setdefault(name, []).append(float(value))
        return figures

    def weights(self, module):
        """Load the module's tensors of every checkpoint, the oldest first."""
        paths = sorted((self.folder / "results/save").glob(f"CKPT+*/{module}.ckpt"))
        paths.sort(key=lambda path: path.stat().st_mtime_ns)
        return [torch.load(path, weights_only=True) for path in paths]


@pytest.fixture
def script(away, tmp_path):
    # a script imports what -c does: both look into this folder first
    assert away.holds(away.ask(tmp_path, WHERE)[0])
    return Script(tmp_path, away)


def train_twice(script):
    """Train, train on, and check what every training must show; return its log."""
    script.train(2)
    first = script.log()
    script.train(4)
    log = script.log()
    epochs = re.findall(
        "epoch: (\\d)", (script.folder / "results/train_log.txt").read_text()
    )
    assert epochs == ["1", "2", "3", "4"]
    for name, values in first.items():
        assert log[name][: len(values)] == values
    assert all(math.isfinite(x) for values in log.values() for x in values)
    assert log["train loss"][-1] < log["train loss"][0]
    assert log["valid loss"][-1] < log["valid loss"][0]
    # what the first training left is what the second began with
    assert log["train loss"][2] < log["train loss"][0]
    for module in ("encoder", "decoder"):
        check_changes(script, module)
    return log


def check_changes(script, module):
    """Check that every parameter of a module moved in every epoch."""
    states = script.weights(module)
    assert len(states) == 4
    for before, after in itertools.pairwise(states):
        assert before.keys() == after.keys()
        assert all((before[name] != after[name]).any() for name in before)


def test_the_plain_script_needs_nothing_of_ours(script):
    for name in ("train.py", "train.yaml"):
        assert PACKAGE not in (script.folder / name).read_text()
    log = train_twice(script)
    assert {"train loss", "valid signal", "test score"} <= log.keys()


def test_a_fusion_layer(script):
    script.edit(
        "train.yaml",
        ("modules:\n", f"modules:\n    fusion: !new:{PACKAGE}.nnet.FusionLayer\n"),
    )
    script.edit(
        "train.py",
        ("(x) for x in (left, right)]", "(self.modules.fusion(left, right))] * 2"),
    )
    train_twice(script)


def test_an_expert_block(script):
    # three by three without padding of bins, which the decoder then makes up for
    sizes = "kernel_size: [3, 3], stride: 1, experts: 8"
    block = f"{PACKAGE}.nnet.CollaborativeExpertBlock"
    script.edit(
        "train.yaml",
        (
            "encoder: !new:torch.nn.Conv2d {in_channels: 1, out_channels: 8, "
            "kernel_size: 3, padding: 1}",
            f"encoder: !new:{block} {{in_channels: 1, out_channels: 8, {sizes}}}",
        ),
        (
            "out_channels: 1, kernel_size: 3, padding: 1",
            "out_channels: 1, kernel_size: 3, padding: [1, 2]",
        ),
    )
    script.edit(
        "train.py",
        ("encoder(feats[:, [ear]]) for", "encoder(feats[:, [ear]])[0] for"),
    )
    train_twice(script)
    assert any("gate" in name for name in script.weights("encoder")[0])


def test_the_gradient_modulation_brain(script):
    settings = "{main: spectrum, weights: {signal: 0.5}, shared: [encoder, decoder]}"
    script.edit(
        "train.yaml",
        ("weights: {spectrum: 1.0, signal: 0.5}", f"gradient_modulation: {settings}"),
    )
    script.edit(
        "train.py",
        ("import torch\n", f"import torch\n{IMPORT}\n"),
        ("TwoMics(sb.Brain)", "TwoMics(GradientModulationBrain)"),
        (
            "return sum(self.hparams.weights[name] * losses[name] for name in losses)",
            "return losses",
        ),
        (
            "self.train_stats = stats\n",
            "self.train_stats = {**stats, **self.gradient_figures()}\n",
        ),
    )
    log = train_twice(script)
    assert all(-1 <= x <= 1 for x in log["train cosine_signal"])
    assert all(0 <= x <= 1 for x in log["train conflict_signal"])
    assert len(log["train kept_signal"]) == len(log["train norm_signal"]) == 4
    assert (script.folder / "results/gradients.csv").stat().st_size > 0


def test_a_self_supervised_loss(script):
    script.edit(
        "train.yaml",
        (
            "weights: {spectrum: 1.0, signal: 0.5}",
            "weights: {spectrum: 1.0, signal: 0.5, silence: 0.1}\n"
            f"silence: !name:{PACKAGE}.losses.pure_noise_loss {{compression: 1.0}}",
        ),
    )
    script.edit(
        "train.py",
        (
            "        if stage != sb.Stage.TRAIN:\n            self.scores",
            "        noise = self.stft(noisy - clean).abs()\n"
            '        losses["silence"] = self.hparams.silence('
            "(self.mask(noise) * noise).flatten(0, 1))\n"
            "        if stage != sb.Stage.TRAIN:\n            self.scores",
        ),
    )
    log = train_twice(script)
    for stage in ("train", "valid"):
        assert log[f"{stage} silence"][-1] < log[f"{stage} silence"][0]


def test_mbstoi_as_loss_and_as_metric(script):
    script.edit(
        "train.yaml",
        (
            "weights: {spectrum: 1.0, signal: 0.5}",
            "weights: {spectrum: 1.0, signal: 0.5, hearing: 0.5}\n"
            f"hearing: !new:{PACKAGE}.losses.MBSTOILoss {{rate: !ref <rate>}}\n"
            f"mbstoi: !name:{PACKAGE}.metrics.mbstoi {{rate: !ref <rate>}}",
        ),
    )
    script.edit(
        "train.py",
        (
            '            "signal": (enhanced - clean).abs().mean(),\n',
            '            "signal": (enhanced - clean).abs().mean(),\n'
            '            "hearing": self.hparams.hearing(clean, enhanced),\n',
        ),
        ("metric=residual", "metric=self.hparams.mbstoi"),
    )
    log = train_twice(script)
    assert log["train hearing"][-1] < log["train hearing"][0]
    for stage in ("valid", "test"):
        scores, losses = log[f"{stage} score"], log[f"{stage} hearing"]
        assert all(0 < x < 1 for x in scores)
        # of one measure, once averaged over items and once over the batch
        assert scores == pytest.approx([1 - x for x in losses], abs=0.01)
