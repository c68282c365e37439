"""Enhancement whose auxiliary losses do not work against the main one."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import speechbrain as sb
from torch import Tensor

from speechbrain_fusion.brains.enhancement import EnhancementBrain
from speechbrain_fusion.brains.gradient_modulation import GradientModulationBrain
from speechbrain_fusion.report.run_files import GRADIENTS_FIGURE


class ModulatedEnhancementBrain(EnhancementBrain, GradientModulationBrain):
    """An `EnhancementBrain` of which `hparams.gradient_modulation` rules the losses.

    The losses' weights are those of `loss_weights`, in `gradient_modulation` there are
    none. What the gradients were like goes to the history and the train logger
    (`train_conflict_<loss>` and so on) and, over the steps, to gradients.csv and
    gradients.png.

    Takes the arguments of `EnhancementBrain`; for the key `gradient_modulation` see
    `Modulation`.

    Raises
    ------
    ValueError
        If the main loss is none of the losses, or weights are given twice or are less
        than 0.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        losses, weights = self.modulated_losses()
        if self.modulation.weights:
            raise ValueError(
                "gradient_modulation.weights: expected none, loss_weights has them"
            )
        if self.modulation.main not in losses:
            raise ValueError(
                f"gradient_modulation.main: expected one of losses, {losses}, got "
                f"{self.modulation.main!r}"
            )
        self._check_factors(weights)
        self.modulation = dataclasses.replace(self.modulation, weights=weights)

    def _check_factors(self, weights: Mapping[str, float]) -> None:
        """Refuse, by the keys of the YAML, what a `Modulation` would."""
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(
                    f"loss_weights: expected factors of at least 0, got {name}: "
                    f"{weight}"
                )
        main = self.modulation.main
        if weights.get(main) == 0:
            raise ValueError(
                f"gradient_modulation.main: expected a loss in use, got {main!r}, "
                "whose weight in loss_weights is 0"
            )

    def modulated_losses(self) -> tuple[list[str], Mapping[str, float]]:
        """Name the losses whose gradients are told apart, and their weights."""
        return list(self.hparams.losses), self.hparams.loss_weights

    def combine(self, terms: dict[str, Tensor], stage: sb.Stage) -> Any:
        """Keep the losses apart in training."""
        return terms if stage == sb.Stage.TRAIN else super().combine(terms, stage)

    def closing_lines(self) -> list[str]:
        """Say after the test, too, how often gradients were in conflict."""
        return [*super().closing_lines(), *self._gradient_lines()]

    def _gradient_lines(self) -> list[str]:
        """Lay out the last epoch's conflicts, and where the figure is."""
        lines, last = [], (self.history.epochs or [{}])[-1]
        for name in self.modulated_losses()[0]:
            if f"train_conflict_{name}" in last:
                rate, cosine = (
                    last[f"train_{kind}_{name}"] for kind in ("conflict", "cosine")
                )
                lines.append(
                    f"gradient of {name} against {self.modulation.main} in the last "
                    f"epoch: conflict rate {rate:.2f}, cosine {cosine:+.2f}"
                )
        figure = Path(self.hparams.output_folder, GRADIENTS_FIGURE)
        return ["", *lines, f"over the steps   {figure}"] if lines else []

    def training_figures(self) -> dict[str, float]:
        """Return what the epoch's gradients were like."""
        return self.gradient_figures()
