import pytest
import torch

from speechbrain_fusion.nnet import ConcatSharing, CrossStitch, make_sharing
from speechbrain_fusion.nnet.sharing import SHARINGS

EARS, CHANNELS = 3, 5


def make(way):
    torch.manual_seed(0)
    return make_sharing(way, CHANNELS, EARS)


def latents():
    return torch.randn(2, EARS, CHANNELS, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("way", SHARINGS)
def test_every_way_keeps_the_shape(way):
    assert make(way)(latents()).shape == latents().shape


@pytest.mark.parametrize("way", SHARINGS)
def test_every_way_treats_frames_and_items_alone(way):
    layer, x = make(way), latents()
    frame = layer(x[:1, :, :, 3:4])
    torch.testing.assert_close(layer(x)[:1, :, :, 3:4], frame)


@pytest.mark.parametrize("way", [way for way in SHARINGS if way != "none"])
def test_every_ear_hears_all(way):
    x = latents().requires_grad_()
    for ear in range(EARS):
        (gradient,) = torch.autograd.grad(make(way)(x)[:, ear].sum(), x)
        assert (gradient.abs().sum((0, 2, 3)) > 0).all()


def test_without_sharing_every_ear_keeps_its_own():
    assert torch.equal(make("none")(latents()), latents())


@pytest.mark.parametrize(
    ("way", "pooled"),
    [
        ("product", lambda x: x.prod(1)),
        ("sum", lambda x: x.sum(1)),
        ("mean", lambda x: x.mean(1)),
    ],
)
def test_all_get_the_same(way, pooled):
    y = make(way)(latents())
    for ear in range(EARS):
        torch.testing.assert_close(y[:, ear], pooled(latents()))


@pytest.mark.parametrize("way", ["product", "sum", "mean", "none"])
def test_pooling_has_no_parameter(way):
    assert not list(make(way).parameters())


def test_concat_can_be_any_linear_map_of_all_channels():
    layer = ConcatSharing(CHANNELS, EARS)
    assert sum(p.numel() for p in layer.parameters()) == EARS * CHANNELS * (
        EARS * CHANNELS + 1
    )
    with torch.no_grad():
        # ear i takes over the latent of ear i + 1
        layer.pointwise.bias.zero_()
        layer.pointwise.weight.zero_()
        for ear in range(EARS):
            taken = (ear + 1) % EARS
            layer.pointwise.weight[
                ear, :, taken * CHANNELS : (taken + 1) * CHANNELS
            ] = torch.eye(CHANNELS)
    torch.testing.assert_close(layer(latents()), latents().roll(-1, 1))


def test_cross_stitch_starts_near_every_ears_own_and_keeps_equal_latents():
    layer = CrossStitch(CHANNELS, EARS)
    same = latents()[:, :1].expand(-1, EARS, -1, -1)
    torch.testing.assert_close(layer(same), same)
    torch.testing.assert_close(
        layer(latents()), 0.85 * latents() + 0.05 * latents().sum(1, keepdim=True)
    )


def test_an_unknown_way_names_those_there_are():
    with pytest.raises(ValueError, match=r"share: expected one of .*'sum'.*'average'"):
        make("average")
