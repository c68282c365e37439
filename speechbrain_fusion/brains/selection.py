"""The figure of an epoch by which the best checkpoint, the rate and the end go."""

import math
from collections.abc import Mapping
from typing import Any

from speechbrain.utils.logger import get_logger

from speechbrain_fusion.brains.rehearsal import LOSS

logger = get_logger(__name__)

# By how much an item without a score is worse than any that has one.
UNSCORED = 1e3


def chosen_figure(
    select: str, epoch: int, loss: float, summary: Mapping[str, Mapping[str, Any]]
) -> float:
    """Return what an epoch's validation came to.

    Arguments
    ---------
    select : str
        The metric that decides, of which more is better, or "loss".
    epoch : int
        The epoch.
    loss : float
        The validation's.
    summary : mapping
        Its scores, a `MetricTable`'s summary; items that lack some are warned of.

    Returns
    -------
    float
        The metric's mean, less for items without a score: a network that is silent on
        what is hard is none to choose. Or the loss.

    Raises
    ------
    ValueError
        If there is none: no item has a score, or the loss is not finite.

    Example
    -------
    >>> figures = {"enhanced": 3.0, "scored": 4, "total": 4}
    >>> chosen_figure("si_sdr", 1, -2.5, {"si_sdr": {"mean": figures}})
    3.0
    """
    means = {name: entry["mean"] for name, entry in summary.items()}
    for name, mean in means.items():
        if (few := mean["scored"]) < (total := mean["total"]):
            logger.warning("validation: %s of %d of %d items", name, few, total)
    if select == LOSS and not math.isfinite(loss):
        raise ValueError(
            f"select: the validation's loss is {loss} in epoch {epoch}, expected "
            "a finite one; the checkpoints of before are as they were"
        )
    if select == LOSS:
        return loss
    figures = means[select]
    lacking = figures["total"] - figures["scored"]
    chosen = float(figures["enhanced"]) - UNSCORED * lacking
    if math.isnan(chosen):
        why = ""
        if not math.isfinite(loss):
            why = f"; the loss is {loss}: the network's output may not be finite"
        raise ValueError(
            f"select: {select} scored no item of the validation set in epoch {epoch}"
            f"{why}; the checkpoints of before are as they were"
        )
    return chosen
