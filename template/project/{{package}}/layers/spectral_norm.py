"""Weights that stretch nothing by more than 1."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", bound=nn.Module)


class SpectralNorm(nn.Module):
    """(C, ...) weight -> the same divided by its largest singular value, as far as that is known.

    PyTorch's own refines its estimate in every forward pass, so that the result of a step would
    depend on how many micro-batches it has. Here `refine_norms` does it, once a step.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.register_buffer("left", torch.zeros(rows))
        self.register_buffer("right", F.normalize(torch.randn(columns), dim=0))
        self.refine(weight, times=15)

    def forward(self, weight: Tensor) -> Tensor:
        # a copy, as `refine` changes it, perhaps before the backward pass; not a matrix product,
        # which would be in half precision under autocast
        outer = self.left[:, None] * self.right
        return weight / (outer * weight.flatten(1)).sum()

    @torch.no_grad()
    def refine(self, weight: Tensor, times: int = 1) -> None:
        """Come nearer to the singular vectors, by power iteration."""
        matrix = weight.flatten(1)
        for _ in range(times):
            self.left.copy_(F.normalize(matrix @ self.right, dim=0))
            self.right.copy_(F.normalize(matrix.T @ self.left, dim=0))


def spectral_norm(layer: Layer) -> Layer:
    """Return the layer, its weight divided by its norm from now on."""
    weight = layer.get_parameter("weight")
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight))
    return layer


def refine_norms(net: nn.Module) -> None:
    """Follow the weights after they have moved; call it once per optimizer step."""
    for module in net.modules():
        if isinstance(module, parametrize.ParametrizationList):
            for part in module:
                if isinstance(part, SpectralNorm):
                    part.refine(module.original)
