"""PReLU of several networks in one call, with a fast gradient.

Source: He, Zhang, Ren, Sun: "Delving Deep into Rectifiers", ICCV 2015.
"""

from typing import Any

import torch
from torch import Tensor, nn

from speechbrain_fusion.nnet.stepping import step_prelu, stepping


class PReLU(nn.Module):
    """PReLU with one slope per channel and ear.

    Arguments
    ---------
    channels : int
        Channels of each network.
    ears : int
        Number of networks side by side.

    Example
    -------
    >>> PReLU(1)(torch.tensor([-4.0, 4.0]).view(1, 1, 1, 2)).flatten()
    tensor([-1.,  4.], grad_fn=<ViewBackward0>)
    """

    def __init__(self, channels: int, ears: int = 1) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((ears, channels), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, ears, channels, frames]; the shape stays."""
        if stepping():
            return step_prelu(x, self.slope)
        return _PReLU.apply(x, self.slope.to(x.dtype))


class SharedPReLU(PReLU):
    """PReLU with one slope for everything.

    Example
    -------
    >>> SharedPReLU()(torch.tensor([-4.0, 4.0]))
    tensor([-1.,  4.], grad_fn=<ViewBackward0>)
    """

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape; it stays."""
        return super().forward(x.reshape(1, 1, 1, -1)).view_as(x)


class _PReLU(torch.autograd.Function):
    """PReLU whose backward takes half the time of autograd's, which is not vectorized.

    That writes every element's share of the slope's gradient before it sums.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return step_prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(grad, x, 0)
        of_slope = (grad - positive).mul_(x).sum(-1).sum(0)
        return positive.lerp_(grad, slope.unsqueeze(-1)), of_slope

    @staticmethod
    def symbolic(graph: Any, x: Any, slope: Any) -> Any:
        """Tell the ONNX exporter which operator this is."""
        axis = graph.op("Constant", value_t=torch.tensor([-1]))
        y = graph.op("PRelu", x, graph.op("Unsqueeze", slope, axis))
        return y.setType(x.type())
