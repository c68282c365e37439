import math

import pytest
import torch

from speechbrain_fusion.losses.latent import latent_loss


def latents(frames=10, dtype=torch.float32):
    return torch.randn(2, 3, 4, frames, dtype=dtype)


def test_it_is_the_squared_euclidean_distance_of_an_item():
    reference, estimate = latents(dtype=torch.float64)
    distances = torch.linalg.vector_norm((reference - estimate).flatten(1), dim=1)
    values = latent_loss(reference, estimate, reduction="none")
    torch.testing.assert_close(values, distances**2)
    torch.testing.assert_close(latent_loss(reference, estimate), values.mean())
    total = latent_loss(reference, estimate, reduction="sum")
    torch.testing.assert_close(total, ((reference - estimate) ** 2).sum())


def test_ears_are_summed_too():
    reference, estimate = latents()
    ears = latent_loss(reference[:, None], estimate[:, None])
    torch.testing.assert_close(ears, latent_loss(reference, estimate))


def test_padding_changes_neither_value_nor_gradient():
    reference, estimate = latents()
    reference[1, :, 7:], estimate[1, :, 7:] = math.nan, math.inf
    estimate.requires_grad_()
    lengths = torch.tensor([1.0, 0.7, 1.0])
    values = latent_loss(reference, estimate, lengths, reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), estimate)
    alone = latent_loss(reference[1:2, :, :7], estimate[1:2, :, :7])
    torch.testing.assert_close(values[1], alone)
    assert (gradient[1, :, 7:] == 0).all()
    expected = 2 * (estimate - reference)[1, :, :7]
    torch.testing.assert_close(gradient[1, :, :7], expected)


def test_a_mean_of_items_knows_no_batch_size():
    reference, estimate = latents()
    once = latent_loss(reference, estimate)
    twice = latent_loss(reference.repeat(2, 1, 1), estimate.repeat(2, 1, 1))
    torch.testing.assert_close(once, twice)


def test_bfloat16_is_summed_in_float32():
    reference, estimate = torch.zeros(1, 16, 4096), torch.ones(1, 16, 4096)
    with torch.autocast("cpu", torch.bfloat16):
        value = latent_loss(reference.bfloat16(), estimate.bfloat16())
    assert value.dtype == torch.float32
    assert value.item() == 16 * 4096


def test_wrong_arguments_are_named():
    reference, estimate = latents()
    with pytest.raises(ValueError, match="differ in shape"):
        latent_loss(reference, estimate[..., :-1])
    with pytest.raises(ValueError, match=r"mean.*sum.*none.*median"):
        latent_loss(reference, estimate, reduction="median")
