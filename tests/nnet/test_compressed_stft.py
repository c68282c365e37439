"""Compressed spectra: PyTorch's to a power, their inverse, and which frames count."""

import pytest
import torch

from speechbrain_fusion.nnet import CompressedSTFT
from speechbrain_fusion.nnet.compressed_stft import FLOOR, compress, modulus

SIZES = [(64, 32), (64, 16), (96, 48), (50, 25)]


@pytest.mark.parametrize("time", [1, 2, 31, 32, 33, 34, 1000])
@pytest.mark.parametrize(("fft_size", "hop"), SIZES)
@pytest.mark.parametrize("compression", [1.0, 0.5])
def test_analysis_and_synthesis_are_inverse(time, fft_size, hop, compression):
    stft, x = CompressedSTFT(fft_size, hop, compression), torch.randn(2, time)
    spectrum = stft.analyze(x)
    assert spectrum.shape == (2, 2, stft.frames(time), fft_size // 2 + 1)
    torch.testing.assert_close(stft.synthesize(spectrum, time), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("compression", [1.0, 0.5])
def test_spectra_are_those_of_torch_to_a_power(compression):
    stft, x = CompressedSTFT(64, 32, compression), torch.randn(2, 320)
    plain = torch.stft(
        x,
        64,
        32,
        window=torch.hann_window(64),
        pad_mode="constant",
        return_complex=True,
    ).mT
    expected = torch.polar(plain.abs() ** compression, plain.angle())
    found = torch.view_as_complex(stft.analyze(x).movedim(1, -1).contiguous())
    frames = found.shape[1]
    assert frames == 11
    torch.testing.assert_close(found, expected[:, :frames], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("short", [1, 2, 31, 32, 33, 34, 63, 64, 65, 200])
@pytest.mark.parametrize(("fft_size", "hop"), SIZES)
def test_frames_that_count_are_those_that_hear_something(short, fft_size, hop):
    stft, count = CompressedSTFT(fft_size, hop), torch.tensor([200, short])
    power = stft.analyze(torch.ones(2, 200), count).square().sum((1, 3))
    assert torch.equal(stft.valid(count, 200), power > 0)
    assert stft.frames(short) == int((power[1] > 0).sum())


@pytest.mark.parametrize("function", [modulus, lambda x: compress(x, 0.5)])
def test_silence_has_a_finite_gradient(function):
    x = torch.zeros(1, 2, 3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    assert gradient.isfinite().all()
    assert function(x).max() <= FLOOR


@pytest.mark.parametrize(
    ("fft_size", "hop", "message"),
    [
        (321, 107, "fft_size: expected an even number, got 321"),
        (64, 30, "hop: expected a part of half the window, 32, got 30"),
        (64, 0, "hop: expected a part"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fft_size, hop, message):
    with pytest.raises(ValueError, match=message):
        CompressedSTFT(fft_size, hop)
