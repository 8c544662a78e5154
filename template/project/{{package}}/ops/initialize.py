"""Weights to start from."""

import math

from torch import nn


def initialize_for_relu(net: nn.Module) -> None:
    """Keep the variance of activations through convolutions followed by a ReLU (He et al.)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def initialize_for_depth(net: nn.Module, residual_layers: int) -> None:
    """Small normal weights, as in GPT-2; what writes into the residual stream starts smaller."""
    for name, module in net.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            shrink = math.sqrt(residual_layers) if name.endswith("project") else 1
            nn.init.normal_(module.weight, std=0.02 / shrink)
