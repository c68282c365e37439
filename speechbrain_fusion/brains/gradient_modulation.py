"""Training on several losses that share modules, their gradients modulated.

    class Separation(GradientModulationBrain):          # instead of sb.Brain
        def compute_objectives(self, predictions, batch, stage):
            return {"separation": ..., "enhancement": ...}

with, in the YAML:

    gradient_modulation:
        main: separation
        weights: {enhancement: 0.1}
        shared: [encoder, enhancer]
        granularity: tensor

Gradients are summed over all processes and the batches of an accumulation window before
they are projected; see `modulate_gradients`. The rest of upstream's loop stays.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
import torch._functorch.config
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from torch import Tensor
from torch.nn import Parameter
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from speechbrain_fusion.brains.gradient_log import GradientLog
from speechbrain_fusion.brains.gradient_sums import GradientSums, Sums
from speechbrain_fusion.brains.modulation import (
    ModulationStatistics,
    modulate_gradients,
)
from speechbrain_fusion.brains.modulation_settings import Modulation
from speechbrain_fusion.brains.ordered import KeptSamplerBrain
from speechbrain_fusion.brains.processes import gather
from speechbrain_fusion.report.gradients import write_gradients

logger = get_logger(__name__)


class GradientModulationBrain(KeptSamplerBrain):
    """A Brain whose auxiliary losses do not work against the main one.

    `compute_objectives` returns a dict of named losses, in every stage, and `hparams`
    has the key `gradient_modulation`, a `Modulation` or a mapping of its arguments. The
    rest is upstream's Brain, and another one can be combined with it, as in
    `class Ours(Theirs, GradientModulationBrain)`; where `Theirs` evaluates batches in a
    way of its own, return the `weighted_sum` of the losses outside of training.

    `gradient_statistics` are those of the last step, on the device. `gradient_log`
    holds cosine and conflict rate of each auxiliary loss over the run; it is part of
    checkpoints, and `fit` ends with its table and figure in `hparams.output_folder`,
    where there is one. `gradient_figures()` gives the epoch's averages for a train
    logger:

        train_stats={"loss": loss, **self.gradient_figures()}

    What differs from upstream, beside the modulation:

    - Clipping is by the norm of all parameter groups of an optimizer, and a negative
      `max_grad_norm` disables it.
    - A step whose gradient, of all processes together, is not finite is left out on all
      of them; `nonfinite_patience` counts the steps whose loss is not. (With the fp16
      scaler it is the scaler that decides, also on the gradient of all.) Running
      statistics of batch norms still take the batch in; this package's leave out what
      is not finite.
    - Checkpoints inside an epoch wait for the optimizers' step: they hold no gradients.
    - Activation checkpointing needs `use_reentrant=False`.
    - An `EpochSampler` or `DynamicBatches` of the training is told each epoch and not
      divided between processes a second time.

    Source: see `modulate_gradients`.

    Example
    -------
    >>> class Tasks(GradientModulationBrain):
    ...     def compute_forward(self, batch, stage):
    ...         return self.modules.model(batch)
    ...
    ...     def compute_objectives(self, predictions, batch, stage):
    ...         main, other = predictions.unbind(-1)
    ...         return {"main": main.mean(), "other": -0.5 * main.mean() + other.mean()}
    >>> brain = Tasks(
    ...     {"model": torch.nn.Linear(3, 2)},
    ...     lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    ...     {"gradient_modulation": {"main": "main", "shared": ["model"]}},
    ...     {"device": "cpu", "noprogressbar": True},
    ... )
    >>> brain.fit(range(1), [torch.ones(4, 3)])
    >>> brain.gradient_statistics.groups
    ('model.weight', 'model.bias')
    >>> brain.gradient_statistics.conflict_rate
    tensor([1.])
    """

    max_grad_norm: float
    gradient_statistics: ModulationStatistics | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hparams = getattr(self, "hparams", None)
        self.modulation = Modulation.of(getattr(hparams, "gradient_modulation", None))
        # parameters outlive their modules' wrappers: module and name of each
        self._members: dict[str, set[Parameter]] = {}
        self._shared = self._find_shared()
        self._sums = GradientSums(self._shared)
        self._checked = False
        self._names: list[str] | None = None
        self.gradient_log = GradientLog()
        if self.checkpointer is not None:
            # a plain Brain's checkpoint has none
            self.checkpointer.add_recoverable(
                "gradient_log", self.gradient_log, optional_load=True
            )

    def _find_shared(self) -> dict[Parameter, tuple[str, str]]:
        """Return the module, as the YAML names it, and the name of each parameter."""
        found: dict[Parameter, tuple[str, str]] = {}
        for module in self.modulation.shared or list(self.modules):
            try:
                part = self.modules.get_submodule(module)
            except AttributeError as error:
                raise ValueError(
                    "gradient_modulation.shared: expected modules, of "
                    f"{list(self.modules)} or parts of them, got {module!r}"
                ) from error
            self._members[module] = set(part.parameters())
            for name, parameter in part.named_parameters(module):
                found.setdefault(parameter, (module, name))
        return found

    # -- losses ----------------------------------------------------------------

    def weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Add the losses up with their weights.

        Arguments
        ---------
        losses : mapping of str to torch.Tensor
            Scalars, what `compute_objectives` returns.

        Returns
        -------
        torch.Tensor
            Scalar.

        Raises
        ------
        ValueError
            If the main loss or one that has a weight is not among them.
        """
        return functools.reduce(torch.add, self.modulation.weigh(losses).values())

    @torch.no_grad()
    def evaluate_batch(self, batch: Any, stage: sb.Stage) -> Tensor:
        """Return the weighted sum of a batch's losses."""
        with self.evaluation_ctx:
            outputs = self.compute_forward(batch, stage=stage)
            losses = self.compute_objectives(outputs, batch, stage=stage)
        return self.weighted_sum(losses).detach().cpu()

    # -- gradients -------------------------------------------------------------

    def fit_batch(self, batch: Any) -> Tensor:
        """Add a batch's gradients to those of the window, and step at its end."""
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        # DDP would reduce one of the backward passes only, or refuse the second
        with self.no_sync(True):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                losses = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            weighted = self.modulation.weigh(losses)
            self._backward(weighted)
        loss = functools.reduce(torch.add, weighted.values()).detach()
        self._sums.loss = self._sums.loss + loss / self.grad_accumulation_factor
        if should_step:
            self._share_buffers()
            self._write_gradients()
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.cpu()

    def _share_buffers(self) -> None:
        """Let the next forward begin with the first process's buffers, as upstream."""
        for module in self.modules.values():
            if isinstance(module, DistributedDataParallel):
                # forgotten in no_sync
                module.require_forward_param_sync = True

    def _backward(self, losses: Mapping[str, Tensor]) -> None:
        """Add each loss's gradients; an auxiliary one's pass ends where it reaches."""
        self._check_losses(losses)
        parameters, main = self._parameters(), self.modulation.main
        # the main loss last: its pass frees what it goes through
        order = [name for name in losses if name != main and losses[name].requires_grad]
        for name in losses:
            if name != main:
                # on all processes, even if only some have a gradient
                self._sums.auxiliaries.setdefault(name, {})
        for name in (*order, main):
            sums = self._sums.main if name == main else self._sums.auxiliaries[name]
            loss = self.scaler.scale(losses[name] / self.grad_accumulation_factor)
            self._sums.add(sums, loss, parameters, retain_graph=name != main)
        if not self._checked and len(order) + 1 == len(losses):
            self._check_shared()

    def _check_losses(self, losses: Mapping[str, Tensor]) -> None:
        """Refuse a main loss without gradient, and losses that come and go."""
        main, names = self.modulation.main, sorted(losses)
        if not losses[main].requires_grad:
            raise ValueError(
                f"gradient_modulation.main: {main!r} has no gradient, is it detached?"
            )
        first, self._names = self._names is None, self._names or names
        # all processes or none: messages of other sizes would end them
        for others in gather(names) if first else [self._names]:
            if others != names:
                raise ValueError(
                    "compute_objectives: expected the same losses in every batch and "
                    f"process, {others}, got {names}; return torch.zeros(()) for one "
                    "that a batch lacks"
                )

    def _parameters(self) -> list[Parameter]:
        """Return what is trained: parameters of the modules and of the optimizers."""
        optimized = [p for x in self._optimizers().values() for p in _parameters_of(x)]
        every = dict.fromkeys([*self.modules.parameters(), *optimized])
        return [parameter for parameter in every if parameter.requires_grad]

    def _optimizers(self) -> dict[str, Optimizer]:
        if self.optimizers_dict is None and self.opt_class is not None:
            # of an init_optimizers that does not name them
            return {"optimizer": self.optimizer}
        return self.optimizers_dict or {}

    def _write_gradients(self) -> None:
        """Give each parameter its gradient of all losses, batches and processes."""
        parameters = self._parameters()
        if self.distributed_launch:
            self._sums.reduce(parameters)
        self.check_loss_isfinite(self._sums.loss)
        gradients = self._sums.main | self._modulate()
        self._sums.clear()
        for parameter in parameters:
            gradient = gradients.pop(parameter, None)
            parameter.grad = None if gradient is None else _like(gradient, parameter)

    def _modulate(self) -> Sums:
        """Return the gradients of the shared parameters, and keep their statistics."""
        shared = [p for p in self._shared if p.requires_grad]
        names = sorted(self._sums.auxiliaries)
        auxiliaries = [self._sums.auxiliaries[name] for name in names]
        column = 0 if self.modulation.granularity == "module" else 1
        update, statistics = modulate_gradients(
            [self._sums.main.get(p) for p in shared],
            [[sums.get(p) for p in shared] for sums in auxiliaries],
            self.modulation.granularity,
            self.modulation.symmetric,
            [self._shared[p][column] for p in shared],
            # the same on all processes and after a restart
            torch.Generator().manual_seed(self.optimizer_step),
            in_place=True,
        )
        scale = self.scaler.get_scale()
        norm, modulated = statistics.norm / scale, statistics.modulated_norm / scale
        self.gradient_statistics = dataclasses.replace(
            statistics, norm=norm, modulated_norm=modulated
        )
        self.gradient_log.add(self.gradient_statistics.figures(names))
        found = zip(shared, update, strict=True)
        return {p: gradient for p, gradient in found if gradient is not None}

    def _check_shared(self) -> None:
        """Refuse a module named as shared that one side has no gradient in."""
        self._checked = True
        auxiliaries = self._sums.auxiliaries
        if not auxiliaries:
            return
        every = [parameter for sums in auxiliaries.values() for parameter in sums]
        named = f"an auxiliary loss ({', '.join(sorted(auxiliaries))})"
        sides = {"the main loss": set(self._sums.main), named: set(every)}
        for module in self.modulation.shared or []:
            for side, parameters in sides.items():
                if self._members[module].isdisjoint(parameters):
                    raise ValueError(
                        f"gradient_modulation.shared: {module!r} has no gradient "
                        f"of {side}, expected modules that both train"
                    )

    # -- statistics ------------------------------------------------------------

    def gradient_figures(self) -> dict[str, float]:
        """Average the statistics of the epoch's steps, by name and loss."""
        return self.gradient_log.epoch_means()

    def _fit_train(self, train_set: Any, epoch: int, enable: bool) -> None:
        """Begin an epoch of the log, or go on in one that a checkpoint holds."""
        self.gradient_log.begin(epoch)
        super()._fit_train(train_set, epoch, enable)

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train, and write what the gradients were like over the run."""
        super().fit(*args, **kwargs)
        folder = getattr(self.hparams, "output_folder", None)
        if folder is not None and if_main_process() and not self.test_only:
            write_gradients(Path(folder), self.gradient_log.curve())

    # -- steps -----------------------------------------------------------------

    def optimizers_step(self) -> None:
        """Clip and step; a gradient that is not finite is left out on all processes."""
        limit = self.max_grad_norm
        self._clip(limit)
        # upstream's own clipping: of one group, and by a negative norm too
        self.max_grad_norm = math.inf
        try:
            super().optimizers_step()
        finally:
            self.max_grad_norm = limit

    def _clip(self, limit: float) -> None:
        """Clip each optimizer's gradients, or drop all where one is not finite."""
        optimizers = self._optimizers()
        if self.optimizers_dict is not None:
            optimizers = self.freeze_optimizers(optimizers)
        every = [_parameters_of(x) for x in optimizers.values()]
        trained = [[p for p in group if p.grad is not None] for group in every]
        norms = [get_total_norm([p.grad for p in group]) for group in trained]
        if not self.scaler.is_enabled() and not all(x.isfinite() for x in norms):
            logger.warning("The gradient is not finite: this step is left out.")
            for parameter in (p for group in trained for p in group):
                parameter.grad = None
        elif limit >= 0:
            # in the scaled space: upstream unscales
            limit *= self.scaler.get_scale()
            for group, norm in zip(trained, norms, strict=True):
                clip_grads_with_norm_(group, limit, norm)

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Forget all gradients, those of an unfinished window too."""
        super().zero_grad(set_to_none)
        self._sums.clear()

    def _compile(self) -> None:
        """Compile so that the graph outlives the first of the backward passes."""
        if self.compile or self.compile_module_keys:
            torch._functorch.config.donated_buffer = False
        super()._compile()


def _like(gradient: Tensor, parameter: Parameter) -> Tensor:
    """Lay a gradient out as its parameter: fused optimizers take that for granted."""
    if (gradient.dtype, gradient.stride()) == (parameter.dtype, parameter.stride()):
        return gradient
    return torch.empty_like(parameter, requires_grad=False).copy_(gradient)


def _parameters_of(optimizer: Optimizer) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]
