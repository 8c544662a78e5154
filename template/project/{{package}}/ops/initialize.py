"""Weights of convolutions to start from."""

from torch import nn


def initialize_for_relu(net: nn.Module) -> None:
    """Keep the variance of activations through convolutions followed by a ReLU (He et al.)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
