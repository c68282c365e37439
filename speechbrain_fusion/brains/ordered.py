"""Items in an order and number that are the same for any number of processes."""

import sys
from typing import Any

import speechbrain as sb
from torch.utils.data import BatchSampler

from speechbrain_fusion.brains.loaders import loader_options
from speechbrain_fusion.brains.state import draw_apart
from speechbrain_fusion.brains.step_checkpoints import StepCheckpointsBrain
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.data.batching import DynamicBatches
from speechbrain_fusion.data.sampler import EpochSampler, this_process


class KeptSamplerBrain(StepCheckpointsBrain):
    """A Brain that leaves an `EpochSampler` or `DynamicBatches` as it is.

    Both deal items out to processes themselves, which upstream would do a second time,
    and learn of each epoch, also in a loader that is made already. With other samplers
    upstream does as ever.
    """

    def _train_loader_specifics(self, dataset: Any, loader_kwargs: dict) -> dict:
        if _dealer(**loader_kwargs) is not None:
            return loader_kwargs
        return super()._train_loader_specifics(dataset, loader_kwargs)

    def _fit_train(self, train_set: Any, epoch: int, enable: bool) -> None:
        # a LoopedLoader has another one
        loader = getattr(train_set, "loader", train_set)
        names = ("batch_sampler", "sampler")
        dealer = _dealer(**{name: getattr(loader, name, None) for name in names})
        if dealer is not None:
            _, world = this_process()
            if self.distributed_launch and dealer.world != world:
                raise ValueError(
                    f"{type(dealer).__name__}: expected one of {world} processes, got "
                    f"one of {dealer.world}; make it after ddp_init_group"
                )
            dealer.set_epoch(epoch)
        super()._fit_train(train_set, epoch, enable)


def _dealer(
    batch_sampler: Any = None, sampler: Any = None, **_: Any
) -> EpochSampler | DynamicBatches | None:
    """Return the sampler among a loader's that deals items out itself, if any."""
    if isinstance(batch_sampler, BatchSampler):
        sampler = batch_sampler.sampler
    for each in (batch_sampler, sampler):
        if isinstance(each, (EpochSampler, DynamicBatches)):
            return each
    return None


class OrderedBrain(KeptSamplerBrain):
    """A Brain that takes items by keys (epoch, index), each of which counts once.

    `hparams` has seed, of the order. Random numbers that layers draw, for noise or
    dropout, are other ones on each process.
    """

    # how many items of the batch that is evaluated count: all but a repetition
    counted: int
    # how many items of the validation have yet to come before a repetition may
    _left: int = sys.maxsize

    def make_dataloader(
        self,
        dataset: Any,
        stage: sb.Stage,
        ckpt_prefix: str | None = "dataloader-",
        **loader_kwargs: Any,
    ) -> Any:
        """Make a loader whose order follows from the seed on any number of processes.

        Takes upstream's arguments; `batch_size` is that of one process. For training
        `max_batch_seconds` asks for `DynamicBatches` instead, of `max_batch_size` items
        at most.
        """
        train = stage == sb.Stage.TRAIN
        options = loader_options(dataset, train, self.hparams.seed, loader_kwargs)
        return super().make_dataloader(dataset, stage, ckpt_prefix, **options)

    def on_fit_start(self) -> None:
        """Let processes draw apart, before a checkpoint restores what each drew."""
        draw_apart()
        super().on_fit_start()

    def _fit_valid(self, valid_set: Any, epoch: int, enable: bool) -> None:
        """Count every item once: a process's last may be a repetition."""
        sampler = getattr(valid_set, "sampler", None)
        if isinstance(sampler, EpochSampler):
            self._left = sampler.own
        super()._fit_valid(valid_set, epoch, enable)
        self._left = sys.maxsize

    def without_repetition(self, batch: Batch) -> Batch:
        """Leave out what repeats an item of another process, if there is anything else.

        All processes make a step, so one may have nothing but a repetition.
        """
        self.counted = min(len(batch), self._left)
        self._left -= self.counted
        return batch.first(self.counted or len(batch))
