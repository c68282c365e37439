"""What all small trainings share, and how one is cut short."""

from collections.abc import Callable
from typing import Any

import torch
from speechbrain.core import Brain
from torch import Tensor

ON_CPU = {"device": "cpu", "distributed_backend": "gloo", "noprogressbar": True}


def parameters(brain: Brain) -> Tensor:
    """Return all parameters in one row."""
    modules = brain.modules.parameters()
    return torch.cat([p.detach().flatten().clone() for p in modules])


class Killed(Exception):
    """Stands for the end of a process."""


def dying(owner: Any, method: str, call: int) -> Callable[..., Any]:
    """Make a method of a Brain, or of a class, that dies when called for that time."""
    whole, calls = getattr(owner, method), []

    def die(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == call:
            raise Killed
        return whole(*args, **kwargs)

    return die


def die_at(brain: Brain, method: str, call: int) -> None:
    """Let a Brain's method die when it is called for that time."""
    setattr(brain, method, dying(brain, method, call))
