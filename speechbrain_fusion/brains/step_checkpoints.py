"""When a checkpoint inside an epoch may be taken."""

from typing import Any

import speechbrain as sb


class StepCheckpointsBrain(sb.Brain):
    """A Brain whose checkpoints inside an epoch wait for the optimizers' step.

    A checkpoint holds no gradients: one taken between the batches of an accumulation
    window would lose those of its first batches.
    """

    def _should_save_intra_epoch_ckpt(self, *args: Any) -> bool:
        stepped = self.step % self.grad_accumulation_factor == 0
        return stepped and super()._should_save_intra_epoch_ckpt(*args)
