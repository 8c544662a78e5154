"""A critic whose scores rise by 1 for each step of length 1."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class GradientPenalty(nn.Module):
    """Critic, (B, ...) real and drawn images, (B,) shares of the drawn -> scalar, a mean over B.

    The gradient is taken between the two, where the shares say, without autocast.
    """

    def forward(
        self, critic: Callable[[Tensor], Tensor], real: Tensor, drawn: Tensor, shares: Tensor
    ) -> Tensor:
        between = real.lerp(drawn, shares.view(-1, *[1] * (real.ndim - 1))).requires_grad_()
        with torch.autocast(real.device.type, enabled=False):
            scores = critic(between)
            (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
