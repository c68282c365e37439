"""The general (linear) fusion model: two linear modules joined by a product.

    h_i = W_i x_i,  i in {left, right}
    y_j = V_j (h_left * h_right)     fused
    y_j = V_j h_j                    independent

Source: Gajecki & Nogueira, "Deep Latent Fusion Layers for Binaural Speech
Enhancement", IEEE/ACM TASLP, 2023.

What gradient descent conserves. Let w_i,k be row k of W_i, L any loss of the outputs
and g_k = dL/d(h_left,k * h_right,k), one number per sample. With h_i,k = w_i,k . x_i,

    dL/dw_left,k = sum over samples of g_k h_right,k x_left, so that
    w_left,k . dL/dw_left,k = sum over samples of g_k h_left,k h_right,k,

and the same for the right side. Under gradient flow, dw/dt = -dL/dw,

    d/dt |w_i,k|^2 = -2 sum over samples of g_k h_left,k h_right,k  for both i,

hence |w_left,k|^2 - |w_right,k|^2 stays what it was. The condition is on the training
alone: both sides follow the gradient of one loss, on any batches, at one rate, without
momentum and weight decay. There is none on the inputs: they may differ in scale and
number, be correlated or not, and a bias is one more of them. A step of size r changes
the difference by r^2 (|dL/dw_left,k|^2 - |dL/dw_right,k|^2): in a given time, steps of
half the size drift half as far. Likewise |w_i,k|^2 - sum over j of |v_j,k|^2 is
conserved, v_j,k being column k of V_j; in independent models |w_i,k|^2 - |v_i,k|^2 is,
and nothing ties the sides to each other. Rates per weight, as Adam's, conserve none.

So the sides' norms, if unequal at the start, approach each other in ratio as they grow
and never in difference; and what they approach is equal norms, not equal variances of
the latents, where the inputs differ in scale.
"""

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.fusion import FusionLayer
from speechbrain_fusion.nnet.shapes import check_axes


class GeneralFusionModel(nn.Module):
    """Two linear modules, left and right, fused by their latents' product or not.

    Has the same number of parameters fused or independent.

    Arguments
    ---------
    inputs, hidden, outputs : int
        Sizes of one side's input, latent and output.
    fuse : bool
        Whether both decoders get the product of the latents, or each its own side's.
    bias : bool
        Append a one to the inputs. Without it the fused output is quadratic in the
        inputs, an even function, and cannot follow them linearly.
    scales : tuple of float
        Standard deviations of the left and right encoder's initial weights, times
        sqrt(inputs).
    generator : torch.Generator, optional
        Draws the initial weights.

    Example
    -------
    >>> model = GeneralFusionModel(inputs=5, hidden=8, outputs=3)
    >>> model(torch.randn(2, 100, 5)).shape
    torch.Size([2, 100, 3])
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        fuse: bool = True,
        bias: bool = False,
        scales: tuple[float, float] = (1.0, 1.0),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.fuse, self.bias = inputs, fuse, bias
        encoder = torch.randn(2, hidden, inputs + bias, generator=generator)
        decoder = torch.randn(2, outputs, hidden, generator=generator)
        scale = torch.tensor(scales).view(2, 1, 1) / inputs**0.5
        self.encoder = nn.Parameter(scale * encoder)
        self.decoder = nn.Parameter(decoder / hidden**0.5)
        self.fusion = FusionLayer()

    def latents(self, x: Tensor) -> Tensor:
        """Encode each side's input, before they meet.

        Arguments
        ---------
        x : Tensor
            Left and right input, shape [2, samples, inputs].

        Returns
        -------
        Tensor
            h_left and h_right, shape [2, samples, hidden].

        Raises
        ------
        ValueError
            If there are not two sides of so many inputs.
        """
        check_axes(x, sides=2, samples=None, inputs=self.inputs)
        if self.bias:
            x = nn.functional.pad(x, (0, 1), value=1.0)
        return x @ self.encoder.mT

    def forward(self, x: Tensor) -> Tensor:
        """Compute both sides' outputs.

        Arguments
        ---------
        x : Tensor
            Left and right input, shape [2, samples, inputs].

        Returns
        -------
        Tensor
            y_left and y_right, shape [2, samples, outputs].

        Raises
        ------
        ValueError
            If there are not two sides of so many inputs.
        """
        h = self.latents(x)
        if self.fuse:
            h = self.fusion(*h.unbind(0))
        return h @ self.decoder.mT
