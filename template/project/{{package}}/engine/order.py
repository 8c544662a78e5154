"""Which sample when: a pure function of the seed and the step."""

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from .runtime import mix

POOL = 50  # batches at most whose samples are sorted together: fewer pad more, more mix less


@lru_cache(maxsize=2)
def shuffled(length: int, seed: int, epoch: int) -> Tensor:
    """Return the order of one epoch; it needs no memory of the epochs before."""
    return torch.randperm(length, generator=torch.Generator().manual_seed(mix(seed, epoch)))


@lru_cache(maxsize=2)
def bucketed(lengths: Tensor, batch_size: int, seed: int, epoch: int) -> Tensor:
    """Return an order of one epoch whose batches hold samples of similar length.

    Shuffled samples are sorted pool by pool, and the batches shuffled; what fills none comes last.
    """
    count = len(lengths) // batch_size
    whole, rest = shuffled(len(lengths), seed, epoch).tensor_split([count * batch_size])
    size = batch_size * max(1, min(POOL, count // 4))  # of all samples, each epoch's were alike
    pools = torch.cat([pool[lengths[pool].argsort(stable=True)] for pool in whole.split(size)])
    places = torch.randperm(count, generator=torch.Generator().manual_seed(mix(seed, epoch, 1)))
    return torch.cat((pools.view(count, batch_size)[places].flatten(), rest))


@lru_cache(maxsize=2)
def drawn(weights: Tensor, seed: int, epoch: int) -> Tensor:
    """Return the samples of one epoch, drawn with replacement in proportion to their weights."""
    generator = torch.Generator().manual_seed(mix(seed, epoch))
    places = torch.rand(len(weights), generator=generator, dtype=torch.float64)
    bounds = weights.double().cumsum(dim=0)
    return torch.searchsorted(bounds, places * bounds[-1], right=True).clamp(max=len(weights) - 1)


@lru_cache(maxsize=2)
def uniform(length: int, columns: int, seed: int) -> Tensor:
    """(length, columns) numbers in [0, 1); row i is the augmentation of sample i in an epoch."""
    return torch.rand(length, columns, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Order:
    """The samples of every optimizer step, whoever computes them."""

    length: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    drop_last: bool = False
    limit: int = 0  # use the first `limit` batches, over and over
    lengths: Tensor | None = field(default=None, compare=False)  # of samples; shuffled by them
    weights: Tensor | None = field(default=None, compare=False)  # of samples; drawn by them
    fewest: int = 1  # samples of a batch; what is less is left out

    def __post_init__(self) -> None:
        for name in ("lengths", "weights"):
            numbers = getattr(self, name)
            if numbers is not None and len(numbers) != self.length:
                raise ValueError(f"{len(numbers)} {name} for {self.length} samples")

    @property
    def steps_per_epoch(self) -> int:
        full, rest = divmod(self.length, self.batch_size)
        steps = full + (rest >= self.fewest and not self.drop_last)
        return min(self.limit, steps) if self.limit else steps

    def batch(self, step: int) -> tuple[int, Tensor]:
        """Return the epoch of a step, counted from 0, and the indices of its samples."""
        epoch, position = divmod(step, self.steps_per_epoch)
        epoch = 0 if self.limit else epoch
        first = position * self.batch_size
        last = min(first + self.batch_size, self.length)
        if not self.shuffle:
            return epoch, torch.arange(first, last)
        if self.weights is not None:
            return epoch, drawn(self.weights, self.seed, epoch)[first:last]
        if self.lengths is None:
            return epoch, shuffled(self.length, self.seed, epoch)[first:last]
        return epoch, bucketed(self.lengths, self.batch_size, self.seed, epoch)[first:last]
