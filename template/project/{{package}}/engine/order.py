"""Which sample when: a pure function of the seed and the step."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .runtime import mix


@lru_cache(maxsize=2)
def shuffled(length: int, seed: int, epoch: int) -> Tensor:
    """Return the order of one epoch; it needs no memory of the epochs before."""
    generator = torch.Generator().manual_seed(mix(seed, epoch))
    return torch.randperm(length, generator=generator)


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

    @property
    def steps_per_epoch(self) -> int:
        full, rest = divmod(self.length, self.batch_size)
        steps = full + (rest > 0 and not self.drop_last)
        return min(self.limit, steps) if self.limit else steps

    def batch(self, step: int) -> tuple[int, Tensor]:
        """Return the epoch of a step, counted from 0, and the indices of its samples."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self.limit:
            epoch = 0
        first = position * self.batch_size
        last = min(first + self.batch_size, self.length)
        if not self.shuffle:
            return epoch, torch.arange(first, last)
        return epoch, shuffled(self.length, self.seed, epoch)[first:last]
