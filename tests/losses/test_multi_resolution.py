"""The multi-resolution loss against short-time spectra computed another way."""

import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.losses import multi_resolution_loss
from tests.losses.signals import noise

TIME = 2001


def power_one_spectrum(signal, size):
    """Hann windows every size / 4 samples, amid silence; white noise keeps its power.

    All frames that contain any of the signal, [batch, bins, frames].
    """
    window = torch.hann_window(size)

    def transform(x):
        wide = F.pad(x, (size // 2, 2 * size))
        hop = size // 4
        return torch.stft(
            wide, size, hop, window=window, center=False, return_complex=True
        )

    heard = transform(torch.ones(1, signal.shape[-1])).abs().sum((0, 1)) > 0
    return transform(signal)[..., heard] / window.square().sum().sqrt()


def error(reference, estimate, size, compression):
    """Errors of compressed amplitudes, and of real and imaginary parts, [batch]."""
    spectra = [power_one_spectrum(x, size) for x in (reference, estimate)]
    one, other = (x.abs() ** compression for x in spectra)
    amplitudes = (one - other).square().mean((1, 2))
    angles = [x.angle() for x in spectra]
    difference = torch.polar(one, angles[0]) - torch.polar(other, angles[1])
    parts = torch.view_as_real(difference).square().mean((1, 2, 3))
    return amplitudes + parts


@pytest.mark.parametrize("size", [128, 512])
@pytest.mark.parametrize("compression", [0.3, 0.5])
def test_amplitudes_and_parts_of_compressed_spectra_both_count(size, compression):
    pair = noise(2, TIME), 2 * noise(2, TIME, seed=1)
    values = multi_resolution_loss(
        *pair, fft_sizes=(size,), compression=compression, reduction="none"
    )
    torch.testing.assert_close(
        values, error(*pair, size, compression), rtol=1e-4, atol=0
    )


def test_unless_told_it_hears_four_sizes_compressed_to_the_root():
    pair = noise(2, TIME), 2 * noise(2, TIME, seed=1)
    expected = sum(error(*pair, size, 0.5) for size in (1024, 512, 256, 128)) / 4
    torch.testing.assert_close(
        multi_resolution_loss(*pair), expected.mean(), rtol=1e-4, atol=0
    )
