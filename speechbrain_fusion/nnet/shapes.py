"""Shapes of what layers and losses are given: what does not fit is refused."""

from torch import Tensor


def check_axes(x: Tensor, **axes: int | None) -> None:
    """Refuse a tensor that has other axes.

    Arguments
    ---------
    x : torch.Tensor
        What was given.
    **axes : int or None
        Of each axis, in their order, its name and its size, None for any.

    Raises
    ------
    ValueError
        Naming the axes that were expected and the shape that was given.

    Example
    -------
    >>> import torch
    >>> check_axes(torch.zeros(3, 2, 500), batch=None, ears=2, time=None)
    >>> check_axes(torch.zeros(3, 500), batch=None, ears=2, time=None)
    Traceback (most recent call last):
    ValueError: expected [batch, 2 ears, time], got (3, 500)
    """
    sizes = list(axes.values())
    if x.dim() != len(sizes) or any(
        size is not None and own != size
        for own, size in zip(x.shape, sizes, strict=True)
    ):
        names = [
            name if size is None else f"{size} {name}" for name, size in axes.items()
        ]
        raise ValueError(f"expected [{', '.join(names)}], got {tuple(x.shape)}")


def check_lengths(signal: Tensor, lengths: Tensor | None) -> None:
    """Refuse signals without items, and lengths that are not one for each of them.

    Arguments
    ---------
    signal : torch.Tensor
        Waveforms, shape [batch, ..., time].
    lengths : torch.Tensor or None
        Relative lengths, shape [batch]; None for all of it.

    Raises
    ------
    ValueError
        Naming the shape that was expected.

    Example
    -------
    >>> import torch
    >>> check_lengths(torch.zeros(2, 500), torch.ones(3))
    Traceback (most recent call last):
    ValueError: expected 2 lengths, got shape (3,)
    """
    if signal.dim() < 2:
        shape = tuple(signal.shape)
        raise ValueError(f"expected [batch, time] or [batch, ears, time], got {shape}")
    if lengths is not None and lengths.shape != signal.shape[:1]:
        shape = tuple(lengths.shape)
        raise ValueError(f"expected {len(signal)} lengths, got shape {shape}")
