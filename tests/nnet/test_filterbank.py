import pytest
import torch
import torch.nn.functional as F

from speechbrain_fusion.nnet import LearnedFilterbank, STFTFilterbank
from speechbrain_fusion.nnet.filterbank import frame, overlap_add


@pytest.mark.parametrize("size", [8, 16])
def test_overlap_add_is_the_adjoint_of_framing(size):
    x, hop = torch.randn(2, 40, dtype=torch.float64), 4
    frames = torch.randn_like(frame(x, size, hop))
    left = (frame(x, size, hop) * frames).sum()
    right = (x * overlap_add(frames, hop)).sum()
    torch.testing.assert_close(left, right)


def test_the_learned_bank_is_a_strided_convolution_and_its_transpose():
    bank, x = LearnedFilterbank(6, 8, ears=2), torch.randn(3, 2, 40)
    latent, own = bank.analyze(x)
    y = bank.synthesize(torch.ones_like(latent), own, 40)
    for ear in range(2):
        kernel, bias = bank.encoder.weight[ear, :, None], bank.encoder.bias[ear, :, 0]
        expected = F.conv1d(x[:, ear : ear + 1], kernel, bias, stride=4)
        torch.testing.assert_close(latent[:, ear], expected)
        back = bank.decoder.weight[ear].T[:, None]
        expected = F.conv_transpose1d(latent[:, ear], back, stride=4)[:, 0]
        torch.testing.assert_close(y[:, ear], expected)


@pytest.mark.parametrize("bias", ["encoding", "mask", "none"])
def test_the_learned_bank_computes_in_float32_inside_autocast_too(bias):
    bank, x = LearnedFilterbank(6, 8, bias=bias), torch.randn(3, 1, 40)

    def pass_through():
        latent, own = bank.analyze(x)
        # as networks in half precision mask
        mask = torch.full_like(latent, 0.5, dtype=torch.bfloat16)
        return bank.synthesize(mask, own, 40)

    with torch.autocast("cpu", torch.bfloat16):
        y = pass_through()
    assert y.dtype == torch.float32
    assert torch.equal(y, pass_through())


def test_relu_encodings_are_not_negative():
    latent, _ = LearnedFilterbank(6, 8, "relu").analyze(torch.randn(1, 1, 50))
    assert (latent >= 0).all()
    assert (latent > 0).any()


@pytest.mark.parametrize("time", [1, 31, 64, 1000, 1001, 1023])
def test_the_padded_stft_returns_its_input_at_any_length(time):
    bank = STFTFilterbank(64)
    x = torch.randn(2, 2, time)
    latent, own = bank.analyze(x)
    y = bank.synthesize(torch.ones_like(latent), own, time)
    assert latent.shape[2] == 65
    assert (y - x).abs().max() < 1e-6 * x.abs().max() + 1e-6


def test_a_tone_lies_in_its_bin():
    time = torch.arange(4000) / 8000
    tone = torch.sin(2 * torch.pi * 1000 * time).view(1, 1, -1)
    latent, _ = STFTFilterbank(64).analyze(tone)
    assert latent[0, 0, :, 20].argmax() == round(1000 / 8000 * 128)


def test_silence_has_a_finite_gradient():
    bank, x = STFTFilterbank(16), torch.zeros(1, 1, 100, requires_grad=True)
    latent, own = bank.analyze(x)
    bank.synthesize(latent, own, 100).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "bank", [LearnedFilterbank(4, 8), STFTFilterbank(8), STFTFilterbank(8, pad=False)]
)
@pytest.mark.parametrize("time", [5, 8, 30, 33])
def test_frames_counts_the_frames_of_a_shorter_item(bank, time):
    alone, _ = bank.analyze(torch.randn(1, 1, max(time, bank.window)))
    count = bank.frames(torch.tensor([float(max(time, bank.window))]))
    assert int(count) == alone.shape[-1]


@pytest.mark.parametrize("window", [0, 7])
def test_an_odd_window_is_refused(window):
    with pytest.raises(ValueError, match="expected an even number"):
        LearnedFilterbank(4, window)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="power of two from 4 up, got 60"):
        STFTFilterbank(60)
    with pytest.raises(ValueError, match="power of two from 4 up, got 2"):
        STFTFilterbank(2)
    with pytest.raises(ValueError, match=r"activation: expected .*'relu'.*got 'gelu'"):
        LearnedFilterbank(4, 8, "gelu")
    with pytest.raises(ValueError, match=r"bias: expected one of .*got 'decoder'"):
        LearnedFilterbank(4, 8, bias="decoder")


@pytest.mark.parametrize("rest", [1 / 64, 0.5])
def test_an_untrained_bank_at_rest_returns_its_input(rest):
    bank, x = LearnedFilterbank(64, 16, ears=2, rest=rest), torch.randn(3, 2, 160)
    latent, own = bank.analyze(x)
    y = bank.synthesize(torch.full_like(latent, rest), own, 160)
    # half a window at either end lies in one frame only
    torch.testing.assert_close(y[..., 8:-8], x[..., 8:-8], rtol=1e-4, atol=1e-5)


def test_the_ears_begin_with_the_same_filters():
    bank = LearnedFilterbank(64, 16, ears=2)
    assert torch.equal(bank.encoder.weight[0], bank.encoder.weight[1])
