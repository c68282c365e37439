"""Two-stage, self-supervised training through a shared latent space.

Stage one trains a speech autoencoder on clean speech, stage two a mixture autoencoder
on noisy speech of other talkers. One command does both, and goes on in either.

Source: see `speechbrain_fusion.models.shared_latent`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from torch import Tensor

from speechbrain_fusion.brains.latent_losses import (
    ADDED,
    CLEAN,
    GROUPS,
    KINDS,
    NOISE,
    SPOKEN,
    check_joint_losses,
    check_speech_losses,
    joint_arguments,
)
from speechbrain_fusion.brains.modulated import ModulatedEnhancementBrain
from speechbrain_fusion.brains.rehearsal import LOSS
from speechbrain_fusion.brains.release import unwrapped, whole
from speechbrain_fusion.brains.speech_stage import SpeechStage
from speechbrain_fusion.brains.validated_terms import ValidatedTerms
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.metrics.table import MetricTable
from speechbrain_fusion.models.joint import Joint, JointInputs
from speechbrain_fusion.report.latents import draw_latents, draw_terms, sample_latents
from speechbrain_fusion.report.run_files import (
    JOINT_STAGE,
    LATENTS,
    SPEECH_HISTORY,
    SPEECH_STAGE,
    TERMS,
)

logger = get_logger(__name__)

NOISY_PHASE = "noisy_phase"
# Test items of which the latents are drawn.
DRAWN = 8


class SharedLatentBrain(ValidatedTerms, ModulatedEnhancementBrain):
    """Train and evaluate a `SharedLatentEnhancer`, `modules.enhancer`.

    Batches of stage one have the signal "clean"; those of stage two "mixture", of which
    some are noise alone (`pure_noise` in their info), "clean", unrelated to it, and
    "added", more noise; those of the test "mixture" and "target". All are [batch, 1,
    time]. A training set says by `pure_noise` which share is noise alone. Neither
    training nor validation knows what clean speech is in a mixture: the best checkpoint
    is that of the lowest loss.

    Takes the arguments of `ModulatedEnhancementBrain`. In `hparams`

    - losses, loss_weights: of stage two, by the names mixture, cycle, complex_cycle,
      pure_noise, multi_resolution (together "reconstruction"), latent, prior, anchor,
      spread, invariance and remix (together "latent").
    - gradient_modulation: rules "reconstruction" and "latent"; of granularity "none"
      all losses are added up.
    - speech_losses, speech_loss_weights, speech_opt_class, speech_epoch_counter,
      speech_lr_annealing, speech_train_logger, speech_checkpointer: as those without
      `speech_`, for stage one, whose losses are amplitude, phase, prior,
      complex_cycle and multi_resolution.
    - speech_checkpoint: a folder of checkpoints of a stage one that was trained
      before, or one of them, to start stage two from; None to train it.
    - init_from: a model folder to begin with, for `from_yaml`; if it has a speech
      autoencoder of this kind, there is no stage one.
    - select: "loss".

    There is no key `channels`.

    Raises
    ------
    ValueError
        Also for losses of other names or without what they are about, and for metrics
        that cannot be computed: all that a test needs is tried at once.
    """

    def __init__(
        self,
        modules: Any = None,
        opt_class: Any = None,
        hparams: Any = None,
        run_opts: Any = None,
        checkpointer: Any = None,
    ) -> None:
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        # of stage one
        self.run_opts = run_opts
        self.enhancer: Any = unwrapped(self.modules.enhancer)
        given, phase = vars(self.hparams), self._decodes_phase()
        check_speech_losses(given, phase, "speech_")
        check_joint_losses(given, phase, self.modulation.granularity)
        if self.hparams.select != LOSS:
            raise ValueError(
                "select: expected loss, as no metric of a mixture is known without "
                f"its clean speech, got {self.hparams.select!r}"
            )

    def _weight(self, name: str) -> float:
        return self.hparams.loss_weights.get(name, 0.0)

    def modulated_losses(self) -> tuple[list[str], Mapping[str, float]]:
        """Name the two groups of losses, which have their weights already."""
        return [*GROUPS], {}

    def _new_table(self) -> MetricTable:
        # without a phase decoder every phase is noisy
        return MetricTable((), [NOISY_PHASE] if self._decodes_phase() else [])

    def _decodes_phase(self) -> bool:
        enhancer: Any = unwrapped(self.modules.enhancer)
        return enhancer.speech.phase is not None

    # -- stages of training ----------------------------------------------------

    def run(self, datasets: Mapping[str, Any]) -> float:
        """Train both stages, and test the best checkpoint of the second.

        Arguments
        ---------
        datasets : mapping of str to Dataset
            "clean_train", "clean_valid", "train", "valid" and "test".

        Returns
        -------
        float
            0: a test has no loss.

        Raises
        ------
        ValueError
            If there is no trained speech autoencoder to start stage two from.
        """
        self._look_at(datasets["train"])
        if not (self.has_begun() or self.test_only):
            self._learn_speech(datasets)
            self._keep_latents(datasets["test"])
        self.enhancer.freeze()
        return super().run(datasets)

    def _look_at(self, dataset: Any) -> None:
        """Learn how many items are noise alone, and what signals there are."""
        self.noise_share = float(dataset.pure_noise)
        if self._weight("pure_noise") and not self.noise_share:
            raise ValueError(
                "loss_weights: expected 0 for pure_noise, no item is noise alone "
                "(pure_noise: 0)"
            )
        signals = dataset[(1, 0)].signals
        needed = {"clean": CLEAN, "added": ADDED}
        for name, wanted in self._wanted().items():
            if wanted and name not in signals:
                raise ValueError(
                    f"loss_weights: expected 0 for {', '.join(needed[name])}: items "
                    f"have no signal {name!r}"
                )

    def make_dataloader(
        self, dataset: Any, stage: sb.Stage, *args: Any, **options: Any
    ) -> Any:
        """Look at what trains, and remember whose latents are drawn."""
        if stage == sb.Stage.TRAIN:
            self._look_at(dataset)
        elif stage == sb.Stage.TEST:
            self._to_draw = dataset
        return super().make_dataloader(dataset, stage, *args, **options)

    def _learn_speech(self, datasets: Mapping[str, Any]) -> None:
        """Train the speech autoencoder, or load one."""
        speech, saved = self.enhancer.speech, self.hparams.speech_checkpoint
        if saved is None and whole(self.initialized, "speech"):
            logger.info("init_from: has the speech autoencoder, stage one is left out")
            return
        stage = SpeechStage.of(speech, vars(self.hparams), self.run_opts)
        if saved is None:
            stage.learn(datasets)
        else:
            stage.load(Path(saved))

    # -- stage two -------------------------------------------------------------

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Any:
        """Enhance in the test; else compute what the losses are about."""
        mixture = batch["mixture"].squeeze(1)
        if stage == sb.Stage.TEST:
            return self.modules.enhancer(mixture, batch.own_lengths)
        if batch.padded:
            raise ValueError("expected clips of one length, got a padded batch")
        clips = {
            name: batch[name].squeeze(1)
            for name, wanted in self._wanted().items()
            if wanted
        }
        given = JointInputs(
            [not info["pure_noise"] for info in batch.info],
            clean=clips.get("clean"),
            added=clips.get("added"),
            cycle=any(map(self._weight, ("cycle", "latent", "complex_cycle"))),
            anchor=any(map(self._weight, ("anchor", "multi_resolution"))),
            noisier=self._weight("invariance") > 0,
            remix=self._weight("remix") > 0,
        )
        return self.modules.enhancer(mixture, joint=given)

    def _wanted(self) -> dict[str, bool]:
        """Say which signals, beside the mixture, the losses need."""
        return {
            "clean": any(map(self._weight, CLEAN)),
            "added": any(map(self._weight, ADDED)),
        }

    def compute_objectives(
        self, predictions: Any, batch: Batch, stage: sb.Stage
    ) -> Any:
        """Return the losses; a test has none."""
        if stage == sb.Stage.TEST:
            return torch.zeros(())
        return super().compute_objectives(predictions, batch, stage)

    def compute_terms(self, predictions: Joint, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses in use, by name.

        A loss of speech or of noise alone is divided by the items that a batch has of
        them on average, not by those that it has: so the mean over batches and
        processes is that over items.
        """
        arguments, share = joint_arguments(predictions), self.noise_share
        shares = {SPOKEN: 1 - share, NOISE: share}
        counts = {SPOKEN: len(predictions.spoken), NOISE: len(predictions.noise)}
        # of the graph, so that all processes have the same backward passes
        nothing = 0.0 * (predictions.mixture.sum() + predictions.decoded.latent.sum())
        terms = {}
        for name, loss in self.losses_in_use().items():
            given, kind = arguments[name], KINDS.get(name)
            terms[name] = nothing if given is None else loss(*given)
            if kind is not None:
                scale = counts[kind] / (len(batch) * shares[kind])
                terms[name] = scale * terms[name] + nothing
        return terms

    def combine(self, terms: dict[str, Tensor], stage: sb.Stage) -> Any:
        """Add the losses up with their weights, in training in two groups if wanted."""
        weighted = {name: self._weight(name) * term for name, term in terms.items()}
        if stage != sb.Stage.TRAIN:
            return torch.stack([*weighted.values()]).sum()
        if self.modulation.granularity == "none":
            return {self.modulation.main: torch.stack([*weighted.values()]).sum()}
        return {
            group: torch.stack([weighted[x] for x in names if x in weighted]).sum()
            for group, names in GROUPS.items()
        }

    # -- test ------------------------------------------------------------------

    def score(self, batch: Batch, predictions: Any, stage: sb.Stage) -> None:
        """Add a test's metrics to the table; validation knows no clean speech."""
        if stage == sb.Stage.TEST:
            super().score(batch, predictions, stage)

    def reference_signals(self, batch: Batch, predictions: Any) -> dict[str, Tensor]:
        """Return estimates with the noisy phase, if the network has a phase."""
        if not self._decodes_phase():
            return {}
        lengths = batch.own_lengths
        with torch.no_grad(), self.evaluation_ctx:
            estimate = self.modules.enhancer(
                batch["mixture"].squeeze(1), lengths, noisy_phase=True
            )
        return {NOISY_PHASE: estimate.unsqueeze(1).to(batch["target"].dtype)}

    def signals_to_score(self, batch: Batch, predictions: Tensor) -> dict[str, Tensor]:
        """Return the mixtures and the estimates, [batch, 1, time]."""
        enhanced = predictions.unsqueeze(1).to(batch["target"].dtype)
        return {"unprocessed": batch["mixture"], "enhanced": enhanced}

    def closing_lines(self) -> list[str]:
        """Draw what belongs to this method, and say where it lies."""
        folder, lines = Path(self.hparams.output_folder), super().closing_lines()
        stages = {SPEECH_STAGE: speech_history(folder)}
        stages[JOINT_STAGE] = self.history.epochs
        try:
            draw_terms(folder / TERMS, stages)
            lines += ["", f"every loss       {folder / TERMS}"]
            if (latents := self._latents_before()) is not None:
                latents["noisy, after"] = self._sample(self._to_draw)["noisy"]
                draw_latents(folder / LATENTS, latents)
                lines += [f"latent space     {folder / LATENTS}"]
        except (ImportError, ValueError) as error:
            lines.append(f"no figure: {error}")
        return lines

    def _sample(self, dataset: Any) -> dict[str, Tensor]:
        size = len(dataset)
        places = [size * turn // min(DRAWN, size) for turn in range(min(DRAWN, size))]
        items = [dataset[(1, place)] for place in places]
        return sample_latents(self.enhancer, items, self.device)

    @property
    def _latents_file(self) -> Path:
        return Path(self.hparams.output_folder, "latents_before.pt")

    def _keep_latents(self, dataset: Any) -> None:
        """Remember the latents of before joint training, to be drawn after it."""
        if if_main_process():
            found = self._sample(dataset)
            named = {"clean": found["clean"], "noisy, before": found["noisy"]}
            with written_whole(self._latents_file, "wb") as file:
                torch.save(named, file)

    def _latents_before(self) -> dict[str, Tensor] | None:
        if not self._latents_file.is_file():
            return None
        return torch.load(self._latents_file, weights_only=True)


def speech_history(folder: Path) -> list[dict[str, float]]:
    """Read what stage one has left, if anything."""
    path = folder / SPEECH_HISTORY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
