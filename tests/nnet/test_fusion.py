import pytest
import torch

from speechbrain_fusion.nnet import FusionLayer


def test_fusion_is_the_product_of_all_latents():
    latents = torch.randn(3, 2, 4, 5)
    assert torch.equal(FusionLayer()(*latents), latents[0] * latents[1] * latents[2])


def test_fusion_has_no_parameter_and_does_not_care_for_order():
    left, right = torch.randn(2, 2, 4, 5)
    fusion = FusionLayer()
    assert not list(fusion.parameters())
    assert torch.equal(fusion(left, right), fusion(right, left))


def test_the_gradient_of_one_latent_is_the_other():
    left, right = torch.randn(2, 4, requires_grad=True)
    grad = torch.autograd.grad(FusionLayer()(left, right).sum(), left)[0]
    assert torch.equal(grad, right)


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (3, 2)], [(2, 3), (1, 3)]])
def test_one_latent_or_unequal_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="two or more latents of one shape"):
        FusionLayer()(*(torch.ones(shape) for shape in shapes))
