"""What a critic wants, and what those want who draw for it: five of such pairs.

Each is a mean over images. The critic gives high scores to images that it takes for real.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Vanilla(nn.Module):
    """(B,) scores of real images, (B,) of drawn ones -> scalar: cross entropy, real or drawn.

    The drawing network raises the probability of "real"; lowering that of "drawn" would leave it
    without gradient as long as it draws badly.
    """

    def forward(self, real: Tensor, drawn: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(drawn).mean()

    def of_drawing(self, real: Tensor, drawn: Tensor) -> Tensor:
        return F.softplus(-drawn).mean()


class LeastSquares(nn.Module):
    """(B,) scores of real images, (B,) of drawn ones -> scalar: real is 1, drawn is 0."""

    def forward(self, real: Tensor, drawn: Tensor) -> Tensor:
        return (real - 1).square().mean() + drawn.square().mean()

    def of_drawing(self, real: Tensor, drawn: Tensor) -> Tensor:
        return (drawn - 1).square().mean()


class Hinge(nn.Module):
    """(B,) scores of real images, (B,) of drawn ones -> scalar: above 1 and below -1 is enough."""

    def forward(self, real: Tensor, drawn: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + drawn).mean()

    def of_drawing(self, real: Tensor, drawn: Tensor) -> Tensor:
        return -drawn.mean()


class Wasserstein(nn.Module):
    """(B,) scores of real images, (B,) of drawn ones -> scalar: as far apart as may be.

    How far that is has to be bounded by a gradient penalty, or by spectral norms.
    """

    def forward(self, real: Tensor, drawn: Tensor) -> Tensor:
        return drawn.mean() - real.mean()

    def of_drawing(self, real: Tensor, drawn: Tensor) -> Tensor:
        return -drawn.mean()


class Relativistic(nn.Module):
    """(B,) scores of real images, (B,) of drawn ones -> scalar: which of two is the real one.

    Each drawing is compared with a real image of its own, and only the difference counts.
    """

    def forward(self, real: Tensor, drawn: Tensor) -> Tensor:
        return F.softplus(drawn - real).mean()

    def of_drawing(self, real: Tensor, drawn: Tensor) -> Tensor:
        return F.softplus(real - drawn).mean()


Adversarial = Relativistic | Hinge | Vanilla | LeastSquares | Wasserstein
LOSSES = {
    "relativistic": Relativistic,
    "hinge": Hinge,
    "vanilla": Vanilla,
    "least-squares": LeastSquares,
    "wasserstein": Wasserstein,
}
