"""Ways in which several networks share a latent, behind one interface.

Every way maps the networks' latents [batch, ears, channels, frames] to what each of
them goes on with, of the same shape, so that one can stand for another:

    product      all get the product: `FusionLayer`, of the fusion paper; no parameter
    sum, mean    all get the sum or the mean; no parameter
    concat       each gets a 1x1 convolution of all latents' channels together
    cross_stitch each gets its own weighted sum of the latents, channel by channel
    none         each keeps its own

Source: Gajecki & Nogueira, "Deep Latent Fusion Layers for Binaural Speech
Enhancement", IEEE/ACM TASLP, 2023, compares the product with the other ways.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.convolution import PointwiseConv
from speechbrain_fusion.nnet.fusion import FusionLayer
from speechbrain_fusion.nnet.options import choose

OWN_SHARE = 0.9


class ProductSharing(nn.Module):
    """Give every network the product of all latents.

    Example
    -------
    >>> latents = torch.tensor([2.0, 5.0]).view(1, 2, 1, 1)
    >>> ProductSharing()(latents).flatten()
    tensor([10., 10.])
    """

    def __init__(self) -> None:
        super().__init__()
        self.fusion = FusionLayer()

    def forward(self, latents: Tensor) -> Tensor:
        """Map [batch, ears, channels, frames]; the shape stays."""
        return self.fusion(*latents.unbind(1)).unsqueeze(1).expand_as(latents)


class SumSharing(nn.Module):
    """Give every network the sum of all latents.

    Example
    -------
    >>> latents = torch.tensor([2.0, 5.0]).view(1, 2, 1, 1)
    >>> SumSharing()(latents).flatten()
    tensor([7., 7.])
    """

    def forward(self, latents: Tensor) -> Tensor:
        """Map [batch, ears, channels, frames]; the shape stays."""
        return latents.sum(1, keepdim=True).expand_as(latents)


class MeanSharing(nn.Module):
    """Give every network the mean of all latents.

    Example
    -------
    >>> latents = torch.tensor([2.0, 5.0]).view(1, 2, 1, 1)
    >>> MeanSharing()(latents).flatten()
    tensor([3.5000, 3.5000])
    """

    def forward(self, latents: Tensor) -> Tensor:
        """Map [batch, ears, channels, frames]; the shape stays."""
        return latents.mean(1, keepdim=True).expand_as(latents)


class ConcatSharing(nn.Module):
    """Give every network a 1x1 convolution of its own over all latents' channels.

    Arguments
    ---------
    channels : int
        Channels of one latent.
    ears : int
        Number of networks.

    Notes
    -----
    Gao et al., "NDDR-CNN: Layerwise feature fusing in multi-task CNNs by neural
    discriminative dimensionality reduction", CVPR 2019.

    Example
    -------
    >>> ConcatSharing(4, ears=2)(torch.randn(3, 2, 4, 10)).shape
    torch.Size([3, 2, 4, 10])
    """

    def __init__(self, channels: int, ears: int = 2) -> None:
        super().__init__()
        self.pointwise = PointwiseConv(ears * channels, channels, ears)

    def forward(self, latents: Tensor) -> Tensor:
        """Map [batch, ears, channels, frames]; the shape stays."""
        return self.pointwise(latents.flatten(1, 2).unsqueeze(1))


class CrossStitch(nn.Module):
    """Give every network its own weighted sum of the latents, channel by channel.

    A network starts with nine tenths of its own latent and a tenth of the others'.

    Arguments
    ---------
    channels : int
        Channels of one latent.
    ears : int
        Number of networks.

    Notes
    -----
    Misra et al., "Cross-stitch networks for multi-task learning", CVPR 2016.

    Example
    -------
    >>> latents = torch.tensor([2.0, 4.0]).view(1, 2, 1, 1)
    >>> CrossStitch(1)(latents).flatten()
    tensor([2.2000, 3.8000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, channels: int, ears: int = 2) -> None:
        super().__init__()
        own = torch.eye(ears)
        others = (1 - own) / max(ears - 1, 1)
        start = OWN_SHARE * own + (1 - OWN_SHARE) * others
        # [to ear, from ear, channels]
        self.weight = nn.Parameter(start.unsqueeze(-1).repeat(1, 1, channels))

    def forward(self, latents: Tensor) -> Tensor:
        """Map [batch, ears, channels, frames]; the shape stays."""
        return torch.einsum("bect,oec->boct", latents, self.weight)


SHARINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "product": lambda channels, ears: ProductSharing(),
    "sum": lambda channels, ears: SumSharing(),
    "mean": lambda channels, ears: MeanSharing(),
    "concat": ConcatSharing,
    "cross_stitch": CrossStitch,
    "none": lambda channels, ears: nn.Identity(),
}


def make_sharing(way: str, channels: int, ears: int = 2) -> nn.Module:
    """Make the layer by which networks share a latent.

    Arguments
    ---------
    way : str
        "product", "sum", "mean", "concat", "cross_stitch" or "none".
    channels : int
        Channels of one network's latent.
    ears : int
        Number of networks.

    Returns
    -------
    nn.Module
        Maps [batch, ears, channels, frames] to the same shape.

    Raises
    ------
    ValueError
        If there is no such way, naming those there are.

    Example
    -------
    >>> make_sharing("sum", channels=4)(torch.ones(1, 2, 4, 3)).unique()
    tensor([2.])
    """
    return choose("share", way, SHARINGS)(channels, ears)
