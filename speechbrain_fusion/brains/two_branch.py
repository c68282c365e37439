"""Enhancement of one channel by a magnitude and a complex branch.

Source: Tai et al., "Foster Strengths and Circumvent Weaknesses: a Speech Enhancement
Framework with Two-branch Collaborative Learning", arXiv 2110.05713.
"""

import functools
from collections.abc import Callable
from typing import Any

import speechbrain as sb
import torch
from speechbrain.utils.logger import get_logger
from torch import Tensor

from speechbrain_fusion.brains.modulated import ModulatedEnhancementBrain
from speechbrain_fusion.brains.rehearsal import white_noise
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.metrics.table import MetricTable
from speechbrain_fusion.models.two_branch import Enhanced

MAGNITUDE, COMPLEX = "magnitude", "complex"
logger = get_logger(__name__)


class TwoBranchBrain(ModulatedEnhancementBrain):
    """Train and evaluate a `TwoBranchEnhancer`.

    Batches have the signals "mixture" and "target", [batch, 1, time]. The network is
    `modules.enhancer`.

    Takes the arguments of `ModulatedEnhancementBrain`. In `hparams`

    - losses: "magnitude" compares the clean spectrum with the magnitude branch's,
      "complex" with the complex branch's; every other loss the signals.
    - references: dict of name to function (mixture, target, lengths) -> estimate, all
      [batch, 1, time]: what the test scores beside the network; None for nothing. One
      whose library is not there is left out, with a warning.

    There is no key `channels`.

    Raises
    ------
    ValueError
        Also for a weight of a branch that is not there, a metric that does not know the
        rate, and unknown `table_metrics`: all that a test needs is tried at once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in (MAGNITUDE, COMPLEX):
            branch = getattr(self.modules.enhancer, name, self.modules.enhancer)
            if branch is None and self.hparams.loss_weights.get(name, 0) != 0:
                raise ValueError(
                    f"loss_weights: expected 0 for {name}, there is no such branch"
                )

    @functools.cached_property
    def references(self) -> dict[str, Callable[..., Tensor]]:
        """References that processed a second of noise as the test will."""
        noise = white_noise(self.hparams.sample_rate)
        usable = {}
        for name, process in (self.hparams.references or {}).items():
            if process is None:
                continue
            try:
                process(noise.sum(0), noise[0], torch.ones(1))
            except ImportError as error:
                logger.warning("references: %s is left out: %s", name, error)
            else:
                usable[name] = process
        return usable

    def _new_table(self) -> MetricTable:
        return MetricTable((), [*self.references])

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Enhanced:
        """Enhance the mixtures."""
        mixture, target = (batch[name].squeeze(1) for name in ("mixture", "target"))
        # without padding batch norm is PyTorch's, and nothing is blanked
        return self.modules.enhancer(mixture, batch.own_lengths, target)

    def compute_terms(self, predictions: Enhanced, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses in use, of spectra or of signals, by name."""
        spectra = {MAGNITUDE: predictions.magnitude, COMPLEX: predictions.spectrum}
        terms = {}
        for name, loss in self.losses_in_use().items():
            if name in spectra:
                pair, lengths = (predictions.clean, spectra[name]), predictions.lengths
            else:
                signal = predictions.signal.unsqueeze(1)
                pair, lengths = (batch["target"], signal), batch.lengths
            terms[name] = loss(*pair, lengths=lengths)
        return terms

    def signals_to_score(
        self, batch: Batch, predictions: Enhanced
    ) -> dict[str, Tensor]:
        """Return the mixtures and the estimates, [batch, 1, time]."""
        enhanced = predictions.signal.unsqueeze(1).to(batch["target"].dtype)
        return {"unprocessed": batch["mixture"], "enhanced": enhanced}

    def reference_signals(
        self, batch: Batch, predictions: Enhanced
    ) -> dict[str, Tensor]:
        """Return what the YAML's references make of the mixtures."""
        signals = batch["mixture"], batch["target"], batch.lengths
        return {name: made(*signals) for name, made in self.references.items()}
