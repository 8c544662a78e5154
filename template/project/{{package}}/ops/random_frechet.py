"""How far the drawn images are from the real ones, as a crowd."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .totals import totals

CHANNELS = (3, 8, 8, 8)
PARTS = 2  # rows and columns of parts of the image, each with features of its own


class RandomFrechet:
    """The Fréchet distance between drawn and real images, by features that nobody has trained.

    Three convolutions with fixed random weights make 96 features of an image; the distance is that
    of the normal distributions with the features' means and covariances, times 1,000. It is not the
    FID, whose features have seen photographs: this one sees colours, edges and where they are, but
    no objects, and compares only with itself, at the same image size and number of images. Of few
    images (below some hundreds) the covariance is uncertain, and equal crowds are further than 0.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weights = [
            torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            for before, after in zip(CHANNELS, CHANNELS[1:], strict=False)
        ]
        self.reset()

    def reset(self) -> None:
        self.weights = [weight.to(torch.get_default_device()) for weight in self.weights]
        size = PARTS**2 * sum(CHANNELS[1:])
        # sums over the drawn and the real images, which the engine adds up over all processes: of
        # the outer products of (1, features), which hold the number, the sum and the products
        self.counters = totals(2, 1 + size, 1 + size)

    @torch.no_grad()
    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, 3, H, W) drawn and (B', 3, H, W) real images in 0..255."""
        for counter, images in zip(self.counters, (outputs, targets), strict=True):
            features = F.pad(self.features(images), (1, 0), value=1.0).to(counter.dtype)
            counter += features.mT @ features

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        x = images.float() / 127.5 - 1
        found = []
        for weight in self.weights:
            x = F.conv2d(x, weight, stride=2, padding=1).relu()
            found.append(F.adaptive_avg_pool2d(x, PARTS).flatten(1))
        return torch.cat(found, dim=1)

    def compute(self) -> dict[str, float]:
        drawn, real = self.counters.cpu().double()
        (mean, covariance), (real_mean, real_covariance) = moments(drawn), moments(real)
        root = square_root(covariance)
        # tr((AB)^(1/2)) = tr((A^(1/2) B A^(1/2))^(1/2)), whose argument is symmetric
        overlap = square_root(root @ real_covariance @ root).trace()
        spread = covariance.trace() + real_covariance.trace() - 2 * overlap
        return {"random_frechet": 1000 * ((mean - real_mean).square().sum() + spread).item()}


def moments(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance."""
    mean = sums[0, 1:] / sums[0, 0]
    return mean, sums[1:, 1:] / sums[0, 0] - mean.outer(mean)


def square_root(matrix: Tensor) -> Tensor:
    """Return the root of a symmetric matrix without negative eigenvalues, but for rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT
