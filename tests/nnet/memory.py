"""What a gradient needs: the bytes that a forward pass keeps for the backward one."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


def saved_bytes(function: Callable[..., object], *inputs: Tensor | None) -> int:
    """Count the storage kept for backward, each once, without parameters and inputs."""
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        # kept alive: no two have one address
        kept[x.untyped_storage().data_ptr()] = x
        return x

    with saved_tensors_hooks(keep, lambda x: x):
        result = function(*inputs)
    known = list(function.parameters()) if isinstance(function, nn.Module) else []
    for x in (*known, *inputs):
        if x is not None:
            kept.pop(x.untyped_storage().data_ptr(), None)
    del result
    return sum(x.untyped_storage().nbytes() for x in kept.values())
