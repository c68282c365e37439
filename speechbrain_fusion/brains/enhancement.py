"""The training loop that every recipe shares.

Data, model, losses, metrics and schedule are declared in YAML; a recipe with another
task overrides `compute_forward` or `compute_objectives` alone.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import speechbrain as sb
import torch
from speechbrain.nnet.schedulers import update_learning_rate
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor

from speechbrain_fusion.brains.checkpointer import check_trained
from speechbrain_fusion.brains.examples import Examples
from speechbrain_fusion.brains.ordered import OrderedBrain
from speechbrain_fusion.brains.processes import Means, gather, mean
from speechbrain_fusion.brains.rehearsal import LOSS, check_names, rehearse
from speechbrain_fusion.brains.release import release, start_from
from speechbrain_fusion.brains.schedules import LinearDecay
from speechbrain_fusion.brains.selection import chosen_figure
from speechbrain_fusion.brains.state import History, RandomStates
from speechbrain_fusion.data.batch import Batch
from speechbrain_fusion.inference.weights import Fit
from speechbrain_fusion.metrics.table import MetricTable, evaluate
from speechbrain_fusion.metrics.text import published_text
from speechbrain_fusion.report.figures import TITLES
from speechbrain_fusion.report.page import page_lines
from speechbrain_fusion.report.run import write_report

Brain = TypeVar("Brain", bound="EnhancementBrain")


class EnhancementBrain(OrderedBrain):
    """Train, validate, select, resume, evaluate and show a run of enhancement.

    Batches are `Batch`es with the signals "mixture" and "target", and datasets take
    keys (epoch, index), so that a run gives the same for any number of processes,
    workers and restarts.

    Takes upstream's arguments. `hparams` has these keys:

    - seed, sample_rate, output_folder: int, int in Hz, str.
    - losses: dict of name to function (reference, estimate, lengths) -> scalar.
    - loss_weights: dict of name to float.
    - valid_metrics, metrics: dict of name to function (reference, estimate, lengths)
      -> [batch] or [batch, channels], or a dict of such by name, computed in
      validation and in test.
    - select: name of the validation metric (higher is better) that decides on the
      best checkpoint, the rate and the end; or "loss", the validation's (lower is
      better), which needs no target.
    - epoch_counter, lr_annealing, train_logger: upstream's.
    - train_loader, eval_loader: dicts of what `make_dataloader` takes, for `run`.
    - channels: names of the channels for the tables, e.g. [left, right].
    - table_by: name of a condition of the items ("noise") by which the first metric is
      listed too, or None.
    - examples: number of test items, the first, whose audio is kept, with that of the
      worst and best: see `Examples`; 0 for none.

    and may have

    - table_metrics: names of the metrics that are listed by `table_by`.
    - published: what others have measured on other test sets, printed for orientation:
      dict of system to metric to values; and published_for, what the values are for.
    - init_from: a model folder to begin with, for `from_yaml`, or to test as it is,
      where there is no checkpoint; None for none.

    Source of the data-parallel order: see `EpochSampler`.
    """

    avg_train_loss: float
    max_grad_norm: float
    # what came of init_from
    initialized: Fit | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.max_grad_norm < 0:
            # none: upstream would turn the gradient round
            self.max_grad_norm = math.inf
        self.history = History()
        self.table = self._new_table()
        check_names(self.hparams)
        self.validated = rehearse(self.hparams, max(1, len(self.table.channels)))
        if self.checkpointer is not None:
            # with --debug upstream gives each process a folder of its own
            places = gather(str(self.checkpointer.checkpoints_dir))
            self.checkpointer.checkpoints_dir = Path(places[0])
            self.checkpointer.add_recoverable("history", self.history)
            self.checkpointer.add_recoverable("random_states", RandomStates())

    @classmethod
    def from_yaml(
        cls: type[Brain], hparams: dict[str, Any], run_opts: RunOptions
    ) -> Brain:
        """Make a Brain of what `start_run` returns, as `init_from` says."""
        brain = cls(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        start_from(brain)
        return brain

    def has_begun(self) -> bool:
        """Say whether there is a checkpoint to go on from."""
        found = self.checkpointer and self.checkpointer.find_checkpoint()
        return found is not None

    def _new_table(self) -> MetricTable:
        return MetricTable(channels=tuple(self.hparams.channels))

    def run(self, datasets: Mapping[str, Any]) -> float:
        """Train, and test the best checkpoint, with the YAML's loaders.

        Arguments
        ---------
        datasets : mapping of str to Dataset
            "train", "valid" and "test".

        Returns
        -------
        float
            The mean loss over the test's batches.
        """
        # upstream may change what it is given
        to_train, to_evaluate = self.hparams.train_loader, self.hparams.eval_loader
        self.fit(
            self.hparams.epoch_counter,
            datasets["train"],
            datasets["valid"],
            train_loader_kwargs=dict(to_train),
            valid_loader_kwargs=dict(to_evaluate),
        )
        return self.evaluate(
            datasets["test"],
            **self.best_checkpoint(),
            test_loader_kwargs=dict(to_evaluate),
        )

    def best_checkpoint(self) -> dict[str, str]:
        """Return the arguments by which upstream finds the best checkpoint."""
        chosen = self.hparams.select
        return {"min_key" if chosen == LOSS else "max_key": chosen}

    # -- data ------------------------------------------------------------------

    def fit_batch(self, batch: Batch) -> Tensor:
        """Take one training step."""
        return super().fit_batch(batch.to(self.device))

    def evaluate_batch(self, batch: Batch, stage: sb.Stage) -> Tensor:
        """Enhance and score one batch."""
        batch = self.without_repetition(batch).to(self.device)
        with torch.no_grad(), self.evaluation_ctx:
            predictions = self.compute_forward(batch, stage)
            loss = self.compute_objectives(predictions, batch, stage)
        self.means.add({LOSS: loss}, self.counted)
        self.score(batch, predictions, stage)
        return loss.detach().cpu()

    # -- the task --------------------------------------------------------------

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Any:
        """Enhance the mixtures, [batch, channels, time]."""
        return self.modules.enhancer(batch["mixture"], batch.lengths)

    def compute_objectives(
        self, predictions: Any, batch: Batch, stage: sb.Stage
    ) -> Any:
        """Return what training descends on: the weighted sum of the losses."""
        terms = self.compute_terms(predictions, batch)
        if stage == sb.Stage.TRAIN and len(terms) > 1:
            for name, term in terms.items():
                # as upstream's average, without the batches that are not finite
                value = float(term.detach().nan_to_num(0.0, 0.0, 0.0))
                self.history.terms[name] = self.history.terms.get(name, 0.0) + value
        return self.combine(terms, stage)

    def compute_terms(self, predictions: Any, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses in use, by name."""
        return {
            name: loss(batch["target"], predictions, lengths=batch.lengths)
            for name, loss in self.losses_in_use().items()
        }

    def losses_in_use(self) -> dict[str, Callable[..., Tensor]]:
        """Return the YAML's losses by name, those of weight 0 left out."""
        weights = self.hparams.loss_weights
        losses = self.hparams.losses.items()
        return {name: loss for name, loss in losses if weights[name] != 0}

    def combine(self, terms: dict[str, Tensor], stage: sb.Stage) -> Any:
        """Add the losses up with their weights."""
        weights = self.hparams.loss_weights
        return torch.stack([weights[name] * terms[name] for name in terms]).sum()

    def score(self, batch: Batch, predictions: Any, stage: sb.Stage) -> None:
        """Add a batch's metrics to the table, and keep examples of a test."""
        test = stage == sb.Stage.TEST
        metrics = self.hparams.metrics if test else self.hparams.valid_metrics
        systems = self.signals_to_score(batch, predictions)
        references = self.reference_signals(batch, predictions) if test else {}
        results: dict[str, dict[str, Tensor]] = {}
        for system, signal in (systems | references).items():
            scored = batch["target"], signal, batch.lengths
            results[system] = evaluate(metrics, *scored)
            self.table.add(system, batch.ids, batch.info, results[system])
        if test:
            signals = self.example_signals(batch, systems["enhanced"]) | references
            self.examples.add(batch, signals, results["enhanced"])

    def signals_to_score(self, batch: Batch, predictions: Any) -> dict[str, Tensor]:
        """Return what comes in and what goes out, each as the target."""
        # lower precisions back to the signals'
        enhanced = predictions.to(batch["target"].dtype)
        return {"unprocessed": batch["mixture"], "enhanced": enhanced}

    def reference_signals(self, batch: Batch, predictions: Any) -> dict[str, Tensor]:
        """Return what a test scores beside them, by the table's references."""
        return {}

    # -- examples --------------------------------------------------------------

    def example_signals(self, batch: Batch, enhanced: Tensor) -> dict[str, Tensor]:
        """Name the signals of examples, [batch, channels, time]."""
        return {**batch.signals, "enhanced": enhanced}

    def example_panels(self, example: dict[str, Tensor]) -> dict[str, Tensor]:
        """Choose which signals of an example are drawn, by title."""
        return {title: example[name] for name, title in TITLES.items()}

    # -- stages ----------------------------------------------------------------

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Begin the tables of a stage anew."""
        self.table = self._new_table()
        self.examples = Examples.of(self.hparams)
        self.means = Means()
        annealing = self.hparams.lr_annealing
        if epoch and stage == sb.Stage.TRAIN and isinstance(annealing, LinearDecay):
            # a run taken up for longer brings the rate of its last epoch along
            update_learning_rate(self.optimizer, annealing.rate(epoch))

    def on_stage_end(
        self, stage: sb.Stage, stage_loss: float, epoch: int | None = None
    ) -> None:
        """Record what was measured; after validation decide, after test report."""
        if stage == sb.Stage.TRAIN and epoch is not None:
            self._record_training(epoch, float(stage_loss))
            return
        self._merge_tables()
        if stage == sb.Stage.VALID and epoch is not None:
            # upstream's mean over batches passes over those that are not finite
            self._decide(epoch, **self.means.over_processes())
        else:
            self.examples.close(self.table)
            if if_main_process():
                self._report()

    def _report(self) -> None:
        """Write and print what the test gave."""
        folder, example = Path(self.hparams.output_folder), self.examples.drawn
        lines = write_report(
            folder,
            self.table,
            self.history.epochs,
            example and self.example_panels(example),
            self.hparams.sample_rate,
            by=self.hparams.table_by,
            listed=self.listed_metrics(),
            curves=self.validated,
        )
        print("\n".join(lines))
        # first what the page shows: figures, and what the model folder says
        closing = [*self.closing_lines(), *release(self)]
        print("\n".join([*page_lines(folder), *closing]))

    def closing_lines(self) -> list[str]:
        """Return what else is printed after a test."""
        if not hasattr(self.hparams, "published"):
            return []
        published, values = self.hparams.published, self.hparams.published_for
        return ["", published_text(published, values)] if published else []

    def _record_training(self, epoch: int, loss: float) -> None:
        """Average the loss and its terms over the processes."""
        steps = max(self.step, 1)
        terms = {name: x / steps for name, x in mean(self.history.terms).items()}
        self.history.terms = {}
        figures = mean({"loss": loss}) | terms | self.training_figures()
        self.history.record(epoch, **{f"train_{k}": x for k, x in figures.items()})

    def listed_metrics(self) -> list[str] | None:
        """Name the metrics that are also listed by condition; None for the first."""
        return getattr(self.hparams, "table_metrics", None)

    def training_figures(self) -> dict[str, float]:
        """Return what else an epoch of training is to be remembered by."""
        return {}

    def _merge_tables(self) -> None:
        """Give every process the items of all."""
        # all in one order, so that means are the same to the last bit
        table = self._new_table()
        for state in gather(self.table.state()):
            table.merge(state)
        self.table = table

    def _decide(self, epoch: int, loss: float, **terms: float) -> None:
        """Set the rate, keep the best checkpoint and stop when nothing improves."""
        summary, select = self.table.summary(), self.hparams.select
        scores = {name: entry["mean"]["enhanced"] for name, entry in summary.items()}
        chosen = chosen_figure(select, epoch, loss, summary)
        worse = chosen if select == LOSS else -chosen
        rate, next_rate = self.hparams.lr_annealing([self.optimizer], epoch, worse)
        update_learning_rate(self.optimizer, next_rate)
        counter = self.hparams.epoch_counter
        if hasattr(counter, "update_metric"):
            # whichever way it was told to look
            less = getattr(counter, "direction", "max") == "min"
            counter.update_metric(worse if less else -worse)
        self.history.record(epoch, chosen=chosen)
        self._log(epoch, rate, {LOSS: loss, **terms, **scores})
        if self.checkpointer is not None:
            best = {f"{k}s": [name] for k, name in self.best_checkpoint().items()}
            self.checkpointer.save_and_keep_only(
                meta={select: chosen, "epoch": epoch}, **best
            )

    def _log(self, epoch: int, rate: float, valid: dict[str, float]) -> None:
        """Record an epoch in the history and in upstream's log."""
        figures = {f"valid_{name}": float(value) for name, value in valid.items()}
        self.history.record(epoch, lr=rate, **figures)
        train = {
            name.removeprefix("train_"): value
            for name, value in self.history.epochs[-1].items()
            if name.startswith("train_")
        }
        # on all processes: upstream's loggers choose, and wait for each other
        self.hparams.train_logger.log_stats(
            {"epoch": epoch, "lr": rate}, train_stats=train, valid_stats=valid
        )

    # -- checkpoints -----------------------------------------------------------

    def _save_intra_epoch_ckpt(self) -> None:
        """Share the training averages first: a checkpoint holds those of one."""
        self.avg_train_loss = mean({"loss": self.avg_train_loss})["loss"]
        self.history.terms = mean(self.history.terms)
        super()._save_intra_epoch_ckpt()

    def on_evaluate_start(
        self, max_key: str | None = None, min_key: str | None = None
    ) -> None:
        """Load the best checkpoint, and the history of the latest.

        A test alone without any checkpoint is one of what `init_from` names.

        Raises
        ------
        ValueError
            If there is none with the key, naming the folder.
        """
        if self.checkpointer is None or (self.test_only and self.initialized):
            return
        # upstream would go on with the parameters as they happen to be
        check_trained(self.checkpointer, max_key or min_key)
        super().on_evaluate_start(max_key=max_key, min_key=min_key)
        latest = self.checkpointer.find_checkpoint()
        self.history.load(latest.paramfiles["history"], True)
