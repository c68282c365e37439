"""Parameters of networks under test."""

import torch
from torch import nn


def jittered(model: nn.Module) -> nn.Module:
    """Move all parameters, since biases of zero would hide what they do."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def count(*modules: nn.Module) -> int:
    """Count the parameters of all modules together."""
    return sum(p.numel() for module in modules for p in module.parameters())
