"""Gradients of several losses, summed over batches and processes."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import Parameter

Sums = dict[Parameter, Tensor]


class GradientSums:
    """Gradients per loss and parameter, summed over the batches of one step.

    Arguments
    ---------
    shared : mapping of torch.nn.Parameter to any
        Parameters in which the auxiliary losses' gradients are kept apart; elsewhere
        they are added to the main loss's.

    Example
    -------
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> sums = GradientSums({layer.weight: "layer"})
    >>> for batch in range(2):
    ...     sums.add(sums.main, layer(torch.ones(2)).sum(), [layer.weight])
    >>> sums.main[layer.weight]
    tensor([[2., 2.]])
    """

    def __init__(self, shared: Mapping[Parameter, Any]) -> None:
        self.shared = shared
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.loss = torch.zeros(())
        self.main: Sums = {}
        self.auxiliaries: dict[str, Sums] = {}

    def add(
        self,
        to: Sums,
        loss: Tensor,
        parameters: Sequence[Parameter],
        retain_graph: bool = False,
    ) -> None:
        """Differentiate a loss of one batch; each gradient is added as it arrives."""
        with contextlib.ExitStack() as hooks:
            take = functools.partial(self._take, to)
            for parameter in parameters:
                handle = parameter.register_post_accumulate_grad_hook(take)
                hooks.callback(handle.remove)
            torch.autograd.backward(
                loss, retain_graph=retain_graph, inputs=list(parameters)
            )

    def _take(self, to: Sums, parameter: Parameter) -> None:
        """Move a gradient into its sum, in float32 at least."""
        gradient, parameter.grad = parameter.grad, None
        if gradient is None:
            return
        sums = to if parameter in self.shared else self.main
        if parameter in sums:
            sums[parameter] += gradient
        else:
            dtype = torch.promote_types(gradient.dtype, torch.float32)
            # autograd may give parts of one memory to two parameters
            sums[parameter] = gradient.to(dtype, copy=True)

    def reduce(self, parameters: Sequence[Parameter]) -> None:
        """Average over all processes, in one message; they give the same parameters."""
        every = [self.main, *(x for _, x in sorted(self.auxiliaries.items()))]
        shared = [parameter for parameter in parameters if parameter in self.shared]
        slots = [(self.main, parameter) for parameter in parameters]
        slots += [(sums, parameter) for sums in every[1:] for parameter in shared]
        reached = [any(p in sums for sums in every) for p in parameters]
        flat = self._flatten(slots, reached)
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        sizes = [parameter.numel() for _, parameter in slots]
        *values, counts, self.loss = flat.split([*sizes, len(reached), 1])
        # a parameter that no process reaches has no gradient: as in one process
        anywhere = reached if all(reached) else [x > 0 for x in counts.tolist()]
        kept = {p for p, yes in zip(parameters, anywhere, strict=True) if yes}
        for (sums, parameter), value in zip(slots, values, strict=True):
            if parameter in kept:
                sums[parameter] = value.view(parameter.shape)

    def _flatten(
        self, slots: Sequence[tuple[Sums, Parameter]], reached: Sequence[bool]
    ) -> Tensor:
        """Join the gradients, zeros where there are none, and the counts and loss."""
        types = [parameter.dtype for _, parameter in slots]
        dtype = functools.reduce(torch.promote_types, types, torch.float32)
        like = slots[0][1].detach().new_zeros(0, dtype=dtype)
        parts = [sums[p] if p in sums else torch.zeros_like(p) for sums, p in slots]
        parts += [like.new_tensor(reached), self.loss]
        return torch.cat([part.detach().to(like).flatten() for part in parts])
