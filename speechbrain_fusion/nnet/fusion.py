"""Latent fusion: several networks meet in the product of their latents.

Source: Gajecki & Nogueira, "Deep Latent Fusion Layers for Binaural Speech
Enhancement", IEEE/ACM TASLP, 2023.
"""

import functools

import torch
from torch import Tensor, nn


class FusionLayer(nn.Module):
    """Hadamard product of two or more latents of equal shape; has no parameter.

    Example
    -------
    >>> fusion = FusionLayer()
    >>> left, right = torch.full((1, 4, 3), 2.0), torch.full((1, 4, 3), 5.0)
    >>> fusion(left, right).unique()
    tensor([10.])
    """

    def forward(self, *latents: Tensor) -> Tensor:
        """Multiply the latents element by element.

        Arguments
        ---------
        *latents : Tensor
            Two or more tensors of one shape, e.g. [batch, channels, frames].

        Returns
        -------
        Tensor
            Their product, of the same shape.

        Raises
        ------
        ValueError
            If there are fewer than two latents or their shapes differ.
        """
        shapes = [tuple(latent.shape) for latent in latents]
        if len(shapes) < 2 or shapes.count(shapes[0]) < len(shapes):
            raise ValueError(
                f"FusionLayer expects two or more latents of one shape, got {shapes}"
            )
        return functools.reduce(torch.mul, latents)
