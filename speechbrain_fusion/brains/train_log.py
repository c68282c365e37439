"""A run's figures as text and, if asked for, in TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.train_logger import FileTrainLogger

from speechbrain_fusion.extras import import_extra

Figures = Mapping[str, float]


class TrainLog(FileTrainLogger):
    r"""Upstream's text log, whose figures TensorBoard can show as well.

    Points stand at their epochs, so that a run that was stopped goes on in the same
    curves; upstream's `TensorboardLogger` counts from one again.

    Arguments
    ---------
    save_file : Path or str
        The text.
    tensorboard : bool
        Whether to write for TensorBoard, to the folder `tensorboard` beside the text.
    stage : str
        A folder in there, so that the curves of two stages are not one.

    Raises
    ------
    ImportError
        If TensorBoard is asked for and not installed.

    Example
    -------
    >>> path = getfixture("tmp_path") / "train_log.txt"
    >>> TrainLog(path).log_stats({"epoch": 1}, {"loss": 2.5}, verbose=False)
    >>> path.read_text()
    'epoch: 1 - train loss: 2.50\n'
    """

    def __init__(
        self, save_file: Path | str, tensorboard: bool = False, stage: str = ""
    ) -> None:
        super().__init__(save_file)
        self.writer = None
        if tensorboard and if_main_process():
            self.writer = _open(Path(save_file).parent / "tensorboard" / stage)

    def log_stats(
        self,
        stats_meta: Figures,
        train_stats: Figures | None = None,
        valid_stats: Figures | None = None,
        test_stats: Figures | None = None,
        verbose: bool = True,
    ) -> None:
        """Log the figures of an epoch, which is `stats_meta["epoch"]`."""
        super().log_stats(stats_meta, train_stats, valid_stats, test_stats, verbose)
        if self.writer is None:
            return
        parts = {"train": train_stats, "valid": valid_stats, "test": test_stats}
        tagged = {k: x for k, x in stats_meta.items() if k != "epoch"}
        for part, figures in parts.items():
            tagged |= {f"{name}/{part}": x for name, x in (figures or {}).items()}
        for tag, value in tagged.items():
            self.writer.add_scalar(tag, value, int(stats_meta["epoch"]))
        self.writer.flush()


def _open(folder: Path) -> Any:
    need = "tensorboard: true needs TensorBoard"
    board = import_extra("torch.utils.tensorboard", "tensorboard", need)
    return board.SummaryWriter(str(folder))
