"""Arrays as they come, NumPy's or PyTorch's, and back to what they were."""

from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.inference.limits import MOST_CHANNELS

Array = TypeVar("Array", np.ndarray, Tensor)


class Signal(NamedTuple):
    """A signal in the form that all is computed in.

    Attributes
    ----------
    samples : torch.Tensor
        float32 on the CPU, shape [channels, time].
    like : np.ndarray or torch.Tensor
        Of the kind that it came as.
    """

    samples: Tensor
    like: Any

    def back(self, result: Tensor) -> Any:
        """Give a result, [signals, time], as what came in.

        Of the same type, on the same device; [time] if that came in and one signal
        goes out.
        """
        flat = self.like.ndim == 1 and len(result) == 1
        # cloned outside inference mode: what is given can be trained on
        shaped = (result[0] if flat else result).clone()
        if isinstance(self.like, Tensor):
            return shaped.to(self.like.device, self.like.dtype)
        return shaped.numpy().astype(self.like.dtype)


def take(signal: Any) -> Signal:
    """Bring a signal into the form that all is computed in.

    Arguments
    ---------
    signal : np.ndarray or torch.Tensor
        Floating-point samples, shape [time] or [channels, time].

    Returns
    -------
    Signal
        It and what it came as.

    Raises
    ------
    ValueError
        If it is of another type or shape, empty, or has values that are not finite.

    Example
    -------
    >>> take(np.zeros(8)).samples.shape
    torch.Size([1, 8])
    """
    if not isinstance(signal, np.ndarray | Tensor):
        raise ValueError(
            f"expected a signal as NumPy array or PyTorch tensor, got {type(signal)}"
        )
    _check_shape(tuple(signal.shape))
    _check_type(signal)
    if isinstance(signal, Tensor):
        samples = signal.detach().to("cpu", torch.float32)
    else:
        with np.errstate(over="ignore"):
            samples = torch.from_numpy(np.array(signal, dtype=np.float32))
    if not samples.isfinite().all():
        raise ValueError("expected finite samples, got NaN, infinite or too large ones")
    return Signal(samples.reshape(-1, samples.shape[-1]), signal)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 2):
        raise ValueError(f"expected a signal [time] or [channels, time], got {shape}")
    if 0 in shape:
        raise ValueError(f"expected at least one sample and one channel, got {shape}")
    if len(shape) == 2 and shape[0] > max(MOST_CHANNELS, shape[1]):
        raise ValueError(
            f"expected [channels, time], got {shape}: are they the wrong way round?"
        )


def _check_type(signal: np.ndarray | Tensor) -> None:
    if isinstance(signal, Tensor):
        real = signal.is_floating_point()
    else:
        real = np.issubdtype(signal.dtype, np.floating)
    if not real:
        raise ValueError(
            f"expected floating-point samples, got {signal.dtype}: divide integers by "
            "their full scale, 32768 for int16"
        )
