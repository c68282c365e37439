"""Stage one of a shared latent space: a speech autoencoder on clean speech.

Source: see `speechbrain_fusion.models.shared_latent`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from torch import Tensor

from speechbrain_fusion.brains.checkpointer import Checkpointer
from speechbrain_fusion.brains.latent_losses import (
    check_speech_losses,
    speech_arguments,
)
from speechbrain_fusion.brains.rehearsal import LOSS
from speechbrain_fusion.brains.validated_terms import ValidatedTerms
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.files import written_whole
from speechbrain_fusion.data.manifest import read_manifest
from speechbrain_fusion.models.speech_autoencoder import Rebuilt, SpeechAutoencoder
from speechbrain_fusion.report.run_files import SPEECH_HISTORY

logger = get_logger(__name__)


class SpeechStage(ValidatedTerms):
    """Train a `SpeechAutoencoder`, `modules.speech`.

    Batches have the signal "clean", [batch, 1, time]. Takes the arguments of
    `EnhancementBrain`; the losses are amplitude, phase, prior, complex_cycle and
    multi_resolution.

    Raises
    ------
    ValueError
        Also for losses of other names, or of a phase that is not decoded.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.speech = self.modules.speech
        check_speech_losses(vars(self.hparams), self.speech.phase is not None, "")

    @classmethod
    def of(
        cls, speech: SpeechAutoencoder, hparams: Mapping[str, Any], run_opts: Any
    ) -> "SpeechStage":
        """Make the stage of a YAML whose keys for it begin with `speech_`."""
        own = {
            "losses": hparams["speech_losses"],
            "loss_weights": hparams["speech_loss_weights"],
            "opt_class": hparams["speech_opt_class"],
            "epoch_counter": hparams["speech_epoch_counter"],
            "lr_annealing": hparams["speech_lr_annealing"],
            "train_logger": hparams["speech_train_logger"],
            "checkpointer": hparams["speech_checkpointer"],
        }
        # before it is wrapped: parallel training looks for what has gradients
        speech.requires_grad_(True)
        return cls(
            modules={"speech": speech},
            opt_class=own["opt_class"],
            hparams={**hparams, **own, "select": LOSS, "channels": ()},
            run_opts=run_opts,
            checkpointer=own["checkpointer"],
        )

    def learn(self, datasets: Mapping[str, Any]) -> None:
        """Train on "clean_train", and load the epoch of the lowest "clean_valid" loss.

        Raises
        ------
        ValueError
            If nothing has been trained after it.
        """
        self.fit(
            self.hparams.epoch_counter,
            datasets["clean_train"],
            datasets["clean_valid"],
            train_loader_kwargs=dict(self.hparams.train_loader),
            valid_loader_kwargs=dict(self.hparams.eval_loader),
        )
        if self.checkpointer.find_checkpoint(min_key=LOSS) is None:
            raise ValueError(
                "stage two needs a trained speech autoencoder: expected speech_epochs "
                "of 1 at least, or speech_checkpoint"
            )
        self.on_evaluate_start(min_key=LOSS)
        if if_main_process():
            path = Path(self.hparams.output_folder, SPEECH_HISTORY)
            with written_whole(path) as file:
                json.dump(self.history.epochs, file, indent=1)

    def load(self, folder: Path) -> None:
        """Load an autoencoder that was trained before.

        Arguments
        ---------
        folder : Path
            Of checkpoints, of which the one of the lowest loss counts, or one of them.

        Raises
        ------
        ValueError
            If there is none, or it is one of another autoencoder, naming it.
        """
        found = None
        if folder.is_dir():
            only = [folder] if folder.name.startswith("CKPT+") else None
            root = folder.parent if only else folder
            stored = Checkpointer(root).list_checkpoints()
            stored = [x for x in stored if only is None or x.path == folder]
            stored = [x for x in stored if "speech" in x.paramfiles]
            # those of inside an epoch have none
            found = min(stored, key=lambda x: x.meta.get(LOSS, math.inf), default=None)
        if found is None:
            raise ValueError(
                f"{folder}: no checkpoint of a speech autoencoder, expected the folder "
                "save/speech of a run, or one in it (speech_checkpoint)"
            )
        self._refuse_leak(found.path.parents[1])
        reader = Checkpointer(found.path.parent, {"speech": self.speech})
        reader.load_checkpoint(found)
        logger.info(f"Loaded the speech autoencoder of {found.path}")

    def _refuse_leak(self, saved: Path) -> None:
        """Refuse an autoencoder that knows the clean speech of this run's mixtures."""
        heard = _utterances(saved, ["clean_train", "clean_valid"])
        folder = Path(getattr(self.hparams, "save_folder", ""))
        mixed = _utterances(folder, ["speech_train", "speech_valid", "speech_test"])
        if both := sorted(heard & mixed):
            raise ValueError(
                f"{saved}: trained on the clean speech of {len(both)} recordings that "
                f"are mixtures here, as {both[0]}; expected a stage one with the same "
                "disjoint sets (speech_checkpoint)"
            )

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Rebuilt:
        """Encode and decode clean speech."""
        weights = self.hparams.loss_weights
        sound = any(weights.get(x, 0) for x in ("complex_cycle", "multi_resolution"))
        return self.modules.speech(batch["clean"].squeeze(1), batch.own_lengths, sound)

    def compute_terms(self, predictions: Rebuilt, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses in use, by name."""
        arguments = speech_arguments(predictions, batch.own_lengths)
        losses = self.losses_in_use().items()
        return {name: loss(*arguments[name]) for name, loss in losses}

    def score(self, batch: Batch, predictions: Any, stage: sb.Stage) -> None:
        """Score nothing: the losses decide."""


def _utterances(folder: Path, names: Sequence[str]) -> set[str]:
    """Gather what is said in the manifests of a run, if they are there."""
    paths = [folder / f"{name}.json" for name in names]
    entries = [x for p in paths if p.is_file() for x in read_manifest(p).values()]
    return {str(Path(x.get("clean_file") or x["file"]).resolve()) for x in entries}
