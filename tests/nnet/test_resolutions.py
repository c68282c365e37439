"""Several window sizes with one frame shift: alignment, level, the way back."""

import pytest
import torch

from speechbrain_fusion.nnet.resolutions import MultiResolutionSTFT

SIZES, HOP, TIME = (256, 128, 64), 32, 3000


def make(**options):
    return MultiResolutionSTFT(**{"fft_sizes": SIZES, "hop": HOP, **options})


def noise(items=2, time=TIME):
    return torch.randn(items, time, generator=torch.Generator().manual_seed(0))


def blocks(features, stft):
    widths = [size // 2 + 1 for size in stft.fft_sizes]
    widths += [stft.bins, stft.bins] if stft.parts else []
    return features.split(widths, 1)


@pytest.mark.parametrize("parts", [True, False])
def test_published_and_other_widths(parts):
    published = MultiResolutionSTFT(parts=parts)
    assert published.channels == 964 + 2 * 513 * parts
    stft = make(parts=parts)
    assert stft.features(noise()).shape == (2, stft.channels, stft.main.frames(TIME))


@pytest.mark.parametrize("place", [0, 500, 1024, TIME - 1])
def test_a_click_is_in_the_same_frame_at_every_resolution(place):
    signal = torch.zeros(1, TIME)
    signal[0, place] = 1.0
    stft = make()
    for block in blocks(stft.features(signal), stft):
        loudest = block.sum(1).argmax().item()
        assert abs(loudest * HOP - place) <= HOP // 2


@pytest.mark.parametrize("frequency", [0.5, 1.0, 2.5])
def test_a_tone_is_at_the_same_frequency_at_every_resolution(frequency):
    stft = make()
    tone = torch.sin(frequency * torch.arange(TIME))[None]
    for size, block in zip(SIZES, blocks(stft.features(tone), stft), strict=True):
        peak = block.mean(-1).argmax().item()
        assert abs(peak - frequency * size / (2 * torch.pi)) <= 1


def test_white_noise_has_unit_power_at_every_resolution():
    stft = make(compression=1.0)
    for block in blocks(stft.features(noise(4, 40000))[..., 10:-10], stft):
        assert block.square().mean().item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("compression", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("time", [1, 100, TIME])
def test_the_largest_resolution_is_invertible(compression, time):
    stft, signal = make(compression=compression), noise(2, time)
    again = stft.synthesize(stft.analyze(signal), time)
    torch.testing.assert_close(again, signal, atol=1e-4, rtol=1e-3)


def test_parts_are_those_of_the_largest_resolution():
    stft, signal = make(parts=True), noise()
    *_, real, imaginary = blocks(stft.features(signal), stft)
    spectrum = stft.analyze(signal)
    torch.testing.assert_close(real, spectrum[:, 0].mT)
    torch.testing.assert_close(imaginary, spectrum[:, 1].mT)
    torch.testing.assert_close(
        stft.features(signal, None, spectrum), stft.features(signal)
    )


@pytest.mark.parametrize("short", [1, 31, 33, 700])
def test_an_item_of_a_padded_batch_gives_what_it_gives_alone(short):
    stft, batch = make(parts=True), noise()
    batch[1, short:] = torch.nan
    count = torch.tensor([TIME, short])
    together = stft.features(batch, count)[1:]
    alone = stft.features(batch[1:, :short])
    frames = alone.shape[-1]
    torch.testing.assert_close(together[..., :frames], alone)
    assert stft.valid(count, TIME)[1].sum() == frames


def test_gradients_of_silence_are_finite():
    signal = torch.zeros(1, 500, requires_grad=True)
    make(parts=True).features(signal).sum().backward()
    assert signal.grad.isfinite().all()


def test_autocast_changes_nothing():
    stft, signal = make(parts=True), noise()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = stft.features(signal)
    torch.testing.assert_close(low, stft.features(signal))


def test_any_window_may_be_shorter_than_the_shift():
    assert make(hop=128).features(noise()).shape[1] == 129 + 65 + 33
