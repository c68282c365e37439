"""Enhancement and separation of noisy mixtures of talkers in one network.

Source: Hu et al., "Unifying Speech Enhancement and Separation with Gradient Modulation
for End-to-End Noise-Robust Speech Separation", ICASSP 2023.
"""

import functools
from collections.abc import Callable
from typing import Any

import speechbrain as sb
from torch import Tensor

from speechbrain_fusion.brains.modulated import ModulatedEnhancementBrain
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.losses.pit import (
    best_permutation,
    pairwise_si_sdr_loss,
    reorder,
)
from speechbrain_fusion.metrics.table import MetricTable, evaluate
from speechbrain_fusion.models.unified import Separation

ENHANCEMENT = "enhancement"


class SeparationBrain(ModulatedEnhancementBrain):
    """Train and evaluate a `UnifiedSeparator`.

    Batches have the signals "mixture" and "clean" (the mixture without noise), [batch,
    1, time], and "target", [batch, talkers, time]. The network is
    `modules.separator`; the clean mixture is a target of its features alone.

    Takes the arguments of `ModulatedEnhancementBrain`. In `hparams`

    - losses: "enhancement" compares features of the clean mixture with the enhanced
      ones, every other loss the talkers; the loss finds which estimate is whose.
    - valid_metrics, metrics: of the talkers, after the permutation with the best
      SI-SDR; "unprocessed" is the mixture.
    - feature_metrics: dict of name to function (reference, estimate, lengths) ->
      [batch], what the enhancement network does to the features, in the test.
    - talkers: their number; there is no key `channels`.
    """

    def _new_table(self) -> MetricTable:
        return MetricTable(self._numbered("talker"))

    def _numbered(self, name: str) -> list[str]:
        return [f"{name}_{number}" for number in range(1, self.hparams.talkers + 1)]

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Separation:
        """Separate the mixtures."""
        mixture, clean = (batch[name].squeeze(1) for name in ("mixture", "clean"))
        return self.modules.separator(mixture, batch.lengths, clean)

    def compute_terms(self, predictions: Separation, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses in use, of features or of talkers, by name."""
        features = predictions.clean, predictions.enhanced, predictions.lengths
        talkers = batch["target"], predictions.signals, batch.lengths
        return {
            name: loss(*(features if name == ENHANCEMENT else talkers))
            for name, loss in self.losses_in_use().items()
        }

    def losses_in_use(self) -> dict[str, Callable[..., Tensor]]:
        """Return the losses by name; in an evaluation all mixtures count in them."""
        losses = super().losses_in_use()
        if self.modules.training:
            return losses
        return {name: _of_all(loss) for name, loss in losses.items()}

    def signals_to_score(
        self, batch: Batch, predictions: Separation
    ) -> dict[str, Tensor]:
        """Return the mixture for each talker, and the estimates in their order."""
        target = batch["target"]
        estimate = predictions.signals.to(target.dtype)
        costs = pairwise_si_sdr_loss(target, estimate, batch.lengths)
        return {
            "unprocessed": batch["mixture"].expand_as(target),
            "enhanced": reorder(estimate, best_permutation(costs)),
        }

    def score(self, batch: Batch, predictions: Separation, stage: sb.Stage) -> None:
        """Add a batch's metrics to the table, in the test those of features too."""
        super().score(batch, predictions, stage)
        if stage != sb.Stage.TEST or predictions.clean is None:
            return
        features = {"unprocessed": predictions.noisy, "enhanced": predictions.enhanced}
        for system, latent in features.items():
            results = evaluate(
                self.hparams.feature_metrics,
                predictions.clean,
                latent,
                predictions.lengths,
            )
            self.table.add(system, batch.ids, batch.info, results)

    # -- examples --------------------------------------------------------------

    def example_signals(self, batch: Batch, enhanced: Tensor) -> dict[str, Tensor]:
        """Name mixtures, talkers and their estimates, [batch, 1, time]."""
        signals: dict[str, Any] = {name: batch[name] for name in ("mixture", "clean")}
        for kind, talkers in {"target": batch["target"], "enhanced": enhanced}.items():
            signals |= zip(self._numbered(kind), talkers.split(1, dim=1), strict=True)
        return signals

    def example_panels(self, example: dict[str, Tensor]) -> dict[str, Tensor]:
        """Draw the mixture, then each talker beside its estimate."""
        panels = {"noisy mixture": example["mixture"]}
        for number in range(1, self.hparams.talkers + 1):
            panels[f"estimate {number}"] = example[f"enhanced_{number}"]
            panels[f"talker {number}"] = example[f"target_{number}"]
        return panels


def _of_all(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Take the threshold from a loss: what is solved is left out of training alone."""
    if isinstance(loss, functools.partial) and "threshold" in loss.keywords:
        return functools.partial(loss, threshold=None)
    return loss
