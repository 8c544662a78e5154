"""Weights of a transformer to start from."""

import math

from torch import nn


def initialize_for_depth(net: nn.Module, residual_layers: int) -> None:
    """Small normal weights, as in GPT-2; what writes into the residual stream starts smaller."""
    for name, module in net.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            shrink = math.sqrt(residual_layers) if name.endswith("project") else 1
            nn.init.normal_(module.weight, std=0.02 / shrink)
