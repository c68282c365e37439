"""Real Fourier transforms as real and imaginary part, which can be exported.

Ordinarily they are `torch.fft`'s. ONNX runtimes have neither complex numbers nor a
reliable real FFT, so that while a model is exported they are products with the matrix
of the transform: O(n^2), which for windows of some hundred samples is no burden.
"""

import numpy as np
import torch
from torch import Tensor

from speechbrain_fusion.nnet.exporting import is_exporting


def rfft_parts(x: Tensor) -> Tensor:
    """Transform the last axis.

    Arguments
    ---------
    x : torch.Tensor
        Shape [..., size].

    Returns
    -------
    torch.Tensor
        Real and imaginary part, shape [..., size // 2 + 1, 2].

    Example
    -------
    >>> rfft_parts(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([[1., 0.],
            [1., 0.],
            [1., 0.]])
    """
    if not is_exporting():
        return torch.view_as_real(torch.fft.rfft(x))
    basis = dft_matrix(int(x.shape[-1])).to(x)
    return torch.stack([x @ basis[0].T, x @ basis[1].T], -1)


def irfft_parts(real: Tensor, imaginary: Tensor, size: int) -> Tensor:
    """Undo `rfft_parts`.

    Arguments
    ---------
    real, imaginary : torch.Tensor
        Shape [..., size // 2 + 1]; first and last imaginary parts are without effect.
    size : int
        An even number.

    Returns
    -------
    torch.Tensor
        Shape [..., size].

    Example
    -------
    >>> irfft_parts(torch.ones(3), torch.zeros(3), 4)
    tensor([1., 0., 0., 0.])
    """
    if not is_exporting():
        return torch.fft.irfft(torch.complex(real, imaginary), size)
    # all frequencies but the first and the last stand for two
    weight = torch.full((size // 2 + 1, 1), 2 / size, dtype=torch.float64)
    weight[0] = weight[-1] = 1 / size
    basis = (dft_matrix(size) * weight).to(real)
    return real @ basis[0] + imaginary @ basis[1]


def dft_matrix(size: int) -> Tensor:
    """Return cosines and negative sines.

    Arguments
    ---------
    size : int
        Samples n.

    Returns
    -------
    torch.Tensor
        cos and -sin of 2 pi k m / n, float64, shape [2, n // 2 + 1, n].

    Example
    -------
    >>> dft_matrix(4)[0].round().int()
    tensor([[ 1,  1,  1,  1],
            [ 1,  0, -1,  0],
            [ 1, -1,  1, -1]], dtype=torch.int32)
    """
    # whole turns are taken out while the products are exact; by numpy, since a tracer
    # would record every step
    turns = np.arange(size // 2 + 1)[:, None] * np.arange(size) % size
    angles = turns * (2 * np.pi / size)
    return torch.from_numpy(np.stack([np.cos(angles), -np.sin(angles)]))
