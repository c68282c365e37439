"""Checkpoints that are whole or not there, and that say when they do not fit."""

import pickle
import shutil
import textwrap
from collections.abc import Sequence
from logging import DEBUG
from pathlib import Path
from typing import Any

from speechbrain.utils import checkpoints
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

UNFINISHED = "unfinished-"
# what the hooks raise for the files of another model and for broken ones
UNFIT = (
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    pickle.UnpicklingError,
)


class Checkpointer(checkpoints.Checkpointer):
    """SpeechBrain's checkpointer, safe against a kill or a full disk while it saves.

    A checkpoint is written into a folder that is not taken for one and renamed when
    it is complete (upstream writes the mark of a checkpoint first, so that a run
    killed in between cannot be resumed). Takes upstream's arguments.

    Example
    -------
    >>> import torch
    >>> folder, layer = getfixture("tmp_path"), torch.nn.Linear(2, 2)
    >>> checkpointer = Checkpointer(folder, {"layer": layer})
    >>> path = checkpointer.save_checkpoint().path
    >>> path.parent == folder and path.name.startswith("CKPT+")
    True
    """

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Save everything that is recoverable; takes upstream's arguments.

        Returns
        -------
        Checkpoint or None
            What was saved, on the main process.

        Raises
        ------
        OSError
            If it cannot be written, naming the folder; earlier checkpoints stay.
        """
        try:
            # upstream would name the unfinished folder in the log
            saved = super().save_checkpoint(*args, **kwargs | {"verbosity": DEBUG})
        except Exception as error:
            self._remove_unfinished()
            raise OSError(
                f"{self.checkpoints_dir}: checkpoint not written ({error}); "
                "earlier checkpoints are as they were"
            ) from error
        # no process may still be writing when the folder gets its name
        ddp_barrier()
        finished = saved and self._finish(saved)
        # nor look for checkpoints: all must agree on which to delete
        ddp_barrier()
        return finished

    def save_and_keep_only(
        self, *args: Any, importance_keys: Sequence[Any] = (), **kwargs: Any
    ) -> None:
        """Save, then delete the least important; takes upstream's arguments."""
        # upstream appends to its default, and so to that of all later calls
        super().save_and_keep_only(*args, importance_keys=[*importance_keys], **kwargs)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load a checkpoint into everything that is recoverable.

        Raises
        ------
        ValueError
            If it was saved by another model, naming the folder.
        """
        try:
            super().load_checkpoint(checkpoint)
        except UNFIT as error:
            # torch lists every parameter in a line of its own
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
            raise ValueError(
                f"{checkpoint.path}: not a checkpoint of this model, expected one "
                f"saved with the same configuration ({reason}); train into another "
                "output_folder or remove it"
            ) from error

    def _finish(self, saved: Any) -> Any:
        path = saved.path.with_name(saved.path.name.removeprefix(UNFINISHED))
        if path.exists():
            # aside at once: deleting takes long enough to be killed in between
            path.rename(path.with_name(f"{UNFINISHED}replaced"))
        saved.path.rename(path)
        self._remove_unfinished()
        logger.info(f"Saved a checkpoint in {path}")
        files = {name: path / file.name for name, file in saved.paramfiles.items()}
        return saved._replace(path=path, paramfiles=files)

    def _remove_unfinished(self) -> None:
        """Remove what a kill or a failure left half written or half deleted."""
        if if_main_process():
            for folder in self.checkpoints_dir.iterdir():
                half = folder.name.startswith(checkpoints.CKPT_PREFIX)
                half = half and not self._is_checkpoint_dir(folder)
                if half or folder.name.startswith(UNFINISHED):
                    shutil.rmtree(folder, ignore_errors=True)

    def _new_checkpoint_dirpath(self) -> Path:
        self._remove_unfinished()
        final = super()._new_checkpoint_dirpath()
        return final.with_name(UNFINISHED + final.name)

    def _custom_checkpoint_dirpath(self, name: str) -> Path:
        self._remove_unfinished()
        final = super()._custom_checkpoint_dirpath(name)
        return final.with_name(UNFINISHED + final.name)


def check_trained(checkpointer: checkpoints.Checkpointer, key: str | None) -> None:
    """Refuse to evaluate what has not been trained.

    Arguments
    ---------
    checkpointer : speechbrain.utils.checkpoints.Checkpointer
        Where there must be a checkpoint.
    key : str, optional
        A figure that it must have.

    Raises
    ------
    ValueError
        If there is none, naming the folder.

    Example
    -------
    >>> check_trained(Checkpointer(getfixture("tmp_path")), "si_sdr")
    Traceback (most recent call last):
    ValueError: ...: no checkpoint that has si_sdr to evaluate, train first
    """
    if checkpointer.find_checkpoint(max_key=key) is None:
        scored = f" that has {key}" if key else ""
        raise ValueError(
            f"{checkpointer.checkpoints_dir}: no checkpoint{scored} to evaluate, train "
            "first"
        )
