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
from torch import Tensor

from speechbrain_fusion.brains.modulated import ModulatedEnhancementBrain
from speechbrain_fusion.brains.rehearsal import rehearse
from speechbrain_fusion.brains.speech_stage import SpeechStage, ValidatedTerms
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.metrics.table import MetricTable, evaluate
from speechbrain_fusion.models.joint import Joint, JointInputs
from speechbrain_fusion.report.latents import draw_latents, draw_terms, sample_latents

GROUPS = {
    "reconstruction": (
        *("mixture", "cycle", "complex_cycle", "pure_noise", "multi_resolution"),
    ),
    "latent": ("latent", "prior", "anchor", "spread", "invariance", "remix"),
}
# of the losses those that clean clips have a part in
CLEAN = ("anchor", "spread", "remix", "multi_resolution")
NOISY_PHASE = "noisy_phase"
# Test items of which the latents are drawn.
DRAWN = 8


class SharedLatentBrain(ValidatedTerms, ModulatedEnhancementBrain):
    """Train and evaluate a `SharedLatentEnhancer`, `modules.enhancer`.

    Batches of stage one have the signal "clean"; those of stage two "mixture", of which
    some are noise alone (`pure_noise` in their info), and "clean", unrelated to it;
    those of the test "mixture" and "target". All are [batch, 1, time]. Neither training
    nor validation knows what clean speech is in a mixture: the best checkpoint is that
    of the lowest loss.

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
        # as it is before processes share it
        self.enhancer = self.modules.enhancer
        self._check_losses_known()
        if self.hparams.select != "loss":
            raise ValueError(
                "select: expected loss, as no metric of a mixture is known without "
                f"its clean speech, got {self.hparams.select!r}"
            )
        rehearse(self.hparams)

    def _check_losses_known(self) -> None:
        """Refuse losses that do not exist, or that nothing is there for."""
        known = [name for names in GROUPS.values() for name in names]
        if unknown := sorted(set(self.hparams.losses) - set(known)):
            raise ValueError(f"losses: expected some of {known}, got {unknown}")
        if self.enhancer.speech.phase is None and self._weight("complex_cycle"):
            raise ValueError(
                "loss_weights: expected 0 for complex_cycle, there is no phase decoder"
            )
        if self.modulation.granularity == "none":
            return
        for group, names in GROUPS.items():
            if not any(self._weight(name) for name in names):
                raise ValueError(
                    f"gradient_modulation: expected a weight that is not 0 of a "
                    f"{group} loss, {[*names]}"
                )

    def _weight(self, name: str) -> float:
        return self.hparams.loss_weights.get(name, 0.0)

    def modulated_losses(self) -> tuple[list[str], Mapping[str, float]]:
        """Name the two groups of losses, which have their weights already."""
        return ["reconstruction", "latent"], {}

    def _new_table(self) -> MetricTable:
        return MetricTable((), [NOISY_PHASE])

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
        begun = self.checkpointer and self.checkpointer.find_checkpoint() is not None
        if not begun and not self.test_only:
            self._learn_speech(datasets)
            self._keep_latents(datasets["test"])
        self.enhancer.freeze()
        self._to_draw = datasets["test"]
        return super().run(datasets)

    def _learn_speech(self, datasets: Mapping[str, Any]) -> None:
        """Train the speech autoencoder, or load one."""
        speech, saved = self.enhancer.speech, self.hparams.speech_checkpoint
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
            lengths = batch.lengths if batch.padded else None
            return self.modules.enhancer(mixture, lengths)
        spoken = [not info["pure_noise"] for info in batch.info]
        anchored = any(map(self._weight, CLEAN))
        given = JointInputs(
            # not on the device, which would have to be asked how many there are
            speech=torch.tensor(spoken),
            clean=batch["clean"].squeeze(1) if anchored else None,
            cycle=any(map(self._weight, ("cycle", "latent", "complex_cycle"))),
            noisier=self._weight("invariance") > 0,
            remix=self._weight("remix") > 0,
        )
        return self.modules.enhancer(mixture, joint=given)

    def compute_objectives(
        self, predictions: Any, batch: Batch, stage: sb.Stage
    ) -> Any:
        """Return the losses; a test has none."""
        if stage == sb.Stage.TEST:
            return torch.zeros(())
        return super().compute_objectives(predictions, batch, stage)

    def compute_terms(self, predictions: Joint, batch: Batch) -> dict[str, Tensor]:
        """Return the YAML's losses by name, those of weight 0 left out."""
        arguments = joint_arguments(predictions)
        return {
            name: predictions.mixture.new_zeros(()) if given is None else loss(*given)
            for name, loss in self.hparams.losses.items()
            if self._weight(name)
            for given in [arguments[name]]
        }

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
        """Add a test's metrics to the table, those with the noisy phase too."""
        if stage != sb.Stage.TEST:
            return
        super().score(batch, predictions, stage)
        lengths = batch.lengths if batch.padded else None
        with torch.no_grad(), self.evaluation_ctx:
            estimate = self.modules.enhancer(
                batch["mixture"].squeeze(1), lengths, noisy_phase=True
            )
        estimate = estimate.unsqueeze(1).to(batch["target"].dtype)
        scored = batch["target"], estimate, batch.lengths
        results = evaluate(self.hparams.metrics, *scored)
        self.table.add(NOISY_PHASE, batch.ids, batch.info, results)

    def signals_to_score(self, batch: Batch, predictions: Tensor) -> dict[str, Tensor]:
        """Return the mixtures and the estimates, [batch, 1, time]."""
        enhanced = predictions.unsqueeze(1).to(batch["target"].dtype)
        return {"unprocessed": batch["mixture"], "enhanced": enhanced}

    def closing_lines(self) -> list[str]:
        """Draw what belongs to this method, and say where it lies."""
        folder, lines = Path(self.hparams.output_folder), super().closing_lines()
        stages = {"speech autoencoder": speech_history(folder)}
        stages["joint training"] = self.history.epochs
        try:
            draw_terms(folder / "terms.png", stages)
            lines += ["", f"every loss       {folder / 'terms.png'}"]
            if (latents := self._latents_before()) is not None:
                latents["noisy, after"] = self._sample(self._to_draw)["noisy"]
                draw_latents(folder / "latents.png", latents)
                lines += [f"latent space     {folder / 'latents.png'}"]
        except ImportError as error:
            lines.append(f"no figure: {error}")
        return lines

    def _sample(self, dataset: Any) -> dict[str, Tensor]:
        items = [dataset[(1, index)] for index in range(min(DRAWN, len(dataset)))]
        return sample_latents(self.enhancer, items, self.device)

    @property
    def _latents_file(self) -> Path:
        return Path(self.hparams.output_folder, "latents_before.pt")

    def _keep_latents(self, dataset: Any) -> None:
        """Remember the latents of before joint training, to be drawn after it."""
        if if_main_process():
            found = self._sample(dataset)
            named = {"clean": found["clean"], "noisy, before": found["noisy"]}
            torch.save(named, self._latents_file)

    def _latents_before(self) -> dict[str, Tensor] | None:
        if not self._latents_file.is_file():
            return None
        return torch.load(self._latents_file, weights_only=True)


def speech_history(folder: Path) -> list[dict[str, float]]:
    """Read what stage one has left, if anything."""
    path = folder / "speech_history.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def joint_arguments(joint: Joint) -> dict[str, tuple[Any, ...] | None]:
    """Say what each loss of stage two compares; None where a batch has nothing for it.

    Arguments
    ---------
    joint : Joint
        What the enhancer returns.

    Returns
    -------
    dict of str to tuple or None
        The losses' arguments by their names in the YAML.
    """
    noise = ~joint.speech
    found: dict[str, tuple[Any, ...] | None] = {
        "mixture": (joint.noisy, joint.mixture),
        "prior": (joint.decoded.latent,),
        "pure_noise": (joint.decoded.amplitude[noise],) if noise.any() else None,
        **dict.fromkeys(
            (
                *("latent", "cycle", "complex_cycle", "anchor", "multi_resolution"),
                *("spread", "invariance", "remix"),
            )
        ),
    }
    if joint.cycle is not None:
        own = joint.cycle
        found["latent"] = own.decoded.latent, own.latent
        found["cycle"] = joint.noisy[joint.speech], own.mixture
        if own.again is not None and own.decoded.phase is not None:
            found["complex_cycle"] = own.decoded.amplitude, own.decoded.phase, own.again
    if joint.anchor is not None:
        pair = joint.anchor.latent, joint.anchor.spectrum
        found["anchor"] = (pair, *joint.anchor.decoded)
        found["multi_resolution"] = joint.anchor.signal, joint.anchor.estimate
        if joint.speech.any():
            latents = joint.anchor.latent, joint.decoded.latent
            found["spread"] = tuple(x[joint.speech] for x in latents)
        if joint.remixed is not None:
            found["remix"] = (pair, *joint.remixed)
    if joint.noisier is not None:
        found["invariance"] = joint.decoded.latent[joint.speech].detach(), joint.noisier
    return found
