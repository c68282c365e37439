"""Enhance speech and tell where it is: an ordinary SpeechBrain script of two tasks.

A mask for the spectrum and a voice activity detector share an encoder. The sounds are
made up as they are asked for: harmonic tones that come and go, in noise.
"""

import math
import sys

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.nnet.losses import bce_loss, mse_loss
from speechbrain.processing.features import spectral_magnitude
from speechbrain.utils.distributed import ddp_init_group
from speechbrain.utils.metric_stats import MetricStats

from speechbrain_fusion.brains import GradientModulationBrain

RATE = 8000


class Enhancement(GradientModulationBrain):
    """Removes noise from spectra and detects speech in them."""

    def compute_forward(self, batch, stage):
        """Estimate the clean spectrum and the logits of voice activity."""
        noisy = self.spectrum(batch.to(self.device).noisy.data)
        latent, _ = self.modules.encoder(noisy)
        mask = torch.sigmoid(self.modules.mask(latent))
        return mask * noisy, self.modules.activity(latent)

    def compute_objectives(self, predictions, batch, stage):
        """Compare both with the clean speech."""
        (estimate, logits), (signal, lengths) = predictions, batch.clean
        clean = self.spectrum(signal)
        active = clean.mean(-1) > self.hparams.active_above
        spectrum = mse_loss(estimate, clean, lengths, reduction="batch")
        activity = bce_loss(logits, active, lengths, reduction="batch")
        if stage != sb.Stage.TRAIN:
            self.errors.append(batch.id, estimate, clean, lengths, reduction="batch")
        return {"spectrum": spectrum.mean(), "activity": activity.mean()}

    def spectrum(self, signals):
        """Return compressed magnitudes, [batch, frames, bins]."""
        stft = self.hparams.stft(signals)
        return spectral_magnitude(stft, power=0.5).log1p()

    def on_stage_start(self, stage, epoch=None):
        """Forget the errors of the stage before."""
        self.errors = MetricStats(metric=mse_loss)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log, and keep the best checkpoint."""
        log = self.hparams.train_logger.log_stats
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
            return
        stats = {"loss": stage_loss, "error": self.errors.summarize("average")}
        if stage == sb.Stage.VALID:
            log(
                stats_meta={"epoch": epoch},
                train_stats={"loss": self.train_loss, **self.gradient_figures()},
                valid_stats=stats,
            )
            self.checkpointer.save_and_keep_only(meta=stats, min_keys=["loss"])
        else:
            log({"epoch loaded": self.hparams.epoch_counter.current}, test_stats=stats)


@sb.utils.data_pipeline.takes("seed", "samples")
@sb.utils.data_pipeline.provides("clean", "noisy")
def make_sounds(seed, samples):
    """Make a voice that comes and goes, alone and in noise."""
    draw = torch.Generator().manual_seed(seed)
    pitch, bursts, start = torch.rand(3, generator=draw)
    phase = 2 * math.pi * torch.arange(samples) / RATE
    tones = [torch.sin((100 + 120 * pitch) * k * phase) / k for k in range(1, 15)]
    clean = 0.1 * sum(tones) * (torch.sin((2 + 2 * bursts) * phase + 6 * start) > 0)
    yield clean
    yield clean + 0.05 * torch.randn(samples, generator=draw)


def make_dataset(seeds):
    """List a sound of 0.8 to 1.3 s for each seed."""
    items = {f"{x}": {"seed": x, "samples": 6400 + 128 * (x % 32)} for x in seeds}
    return DynamicItemDataset(items, [make_sounds], ["id", "clean", "noisy"])


if __name__ == "__main__":
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    ddp_init_group(run_opts)
    with open(hparams_file, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    sb.create_experiment_directory(hparams["output_folder"], hparams_file, overrides)
    datasets = {name: make_dataset(range(*x)) for name, x in hparams["splits"].items()}
    brain = Enhancement(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit(
        hparams["epoch_counter"],
        datasets["train"],
        datasets["valid"],
        train_loader_kwargs=hparams["train_loader"],
        valid_loader_kwargs=hparams["eval_loader"],
    )
    brain.evaluate(
        datasets["test"], min_key="loss", test_loader_kwargs=hparams["eval_loader"]
    )
