"""Batches by the order, split over processes and micro-batches."""

from collections.abc import Iterator
from itertools import tee
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from .errors import DATA, USAGE, fail
from .order import Order
from .processes import agree, gradient_sync, rank, sum_over_processes, world_size
from .runtime import mix, seed_noise, usable_cores, widest_float
from .samples import Key, Samples, Unusable
from .workers import Workers, kill


class Batch(NamedTuple):
    """This process's part of one optimizer step."""

    micro_batches: list[tuple[Any, Any]]
    first: int  # the number of the first of them among those of all processes
    weight: float  # 0 for a stand-in, where a step has fewer samples than there are processes


class Loader:
    """Batches of a data set; what is in one depends on the seed and the step, on nothing else.

    A data set may have a method `batch(indices, seed)` that returns whole batches, which suits data
    in memory; otherwise its samples are collated. Either way a random transform gets its seed from
    (seed, epoch, sample), so it repeats itself in any worker and after any restart. Where it has
    `lengths`, one number a sample, shuffled batches hold samples of similar length.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        limit: int = 0,
        accumulate: int = 1,
        workers: int | str = "auto",
        device: torch.device | None = None,
    ) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            kind = type(dataset).__name__
            raise ValueError(f"{kind} cannot be asked for a sample by number: __len__ is needed")
        length = len(dataset)  # type: ignore[arg-type]
        parts = accumulate * world_size()
        if batch_size % parts:
            lower = batch_size // parts * parts
            sizes = f"{lower} or {lower + parts}" if lower else f"{parts}"
            fail(
                USAGE,
                f"--batch-size {batch_size}: is no multiple of --accumulate {accumulate} x "
                f"{world_size()} processes; take {sizes}",
            )
        if length == 0:
            fail(DATA, "the data set is empty")
        if (shuffle or drop_last) and batch_size > length:
            fail(USAGE, f"--batch-size {batch_size}: the training set has {length} samples only")
        lengths = getattr(dataset, "lengths", None)
        if lengths is not None and len(lengths) != length:
            raise ValueError(f"{len(lengths)} lengths for {length} samples")
        self.order = Order(length, batch_size, seed, shuffle, drop_last, limit, lengths)
        self.accumulate = accumulate
        self.micro_batch_size = batch_size // parts
        self.samples = Samples(dataset, seed)
        if world_size() > 1:
            ends = {"first": 0, "last": length - 1}
            found = {f"the {end} sample": self.samples.checksum(i) for end, i in ends.items()}
            agree({"the number of samples": length, **found})
        if workers == "auto":
            # four feed most devices
            spare = max(1, min(4, usable_cores() // world_size() - 1))
            workers = 0 if getattr(dataset, "in_memory", False) else spare
        pin_memory = device is not None and device.type == "cuda"
        self.workers = Workers(self.samples, int(workers), pin_memory) if workers else None

    def __len__(self) -> int:
        """Return the number of optimizer steps in an epoch."""
        return self.order.steps_per_epoch

    def steps(self, steps: range) -> Iterator[Batch]:
        """Yield this process's part of each step."""
        ahead, now = tee(map(self._part, steps))  # workers take keys long before they are due
        fetched = self._fetch(key for keys, _ in ahead for key in keys)
        for keys, weight in now:
            yield Batch([next(fetched) for _ in keys], rank() * self.accumulate, weight)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield this process's share of the data set once, in order."""
        last = min(len(self) * self.order.batch_size, self.order.length)
        mine = torch.arange(rank(), last, world_size())
        parts = mine.split(self.micro_batch_size) if len(mine) else ()
        return self._fetch((0, indices) for indices in parts)

    def sample_ids(self, step: int) -> list[int]:
        """Return the samples of all processes in a step, named as train.py does, from 1 on."""
        return self.order.batch(step - 1)[1].tolist()

    def _part(self, step: int) -> tuple[list[Key], float]:
        epoch, indices = self.order.batch(step)
        parts = self.accumulate * world_size()
        chunks = indices.tensor_split(parts) if parts > 1 else (indices,)
        mine = chunks[rank() * self.accumulate : (rank() + 1) * self.accumulate]
        keys = [(epoch, chunk) for chunk in mine if len(chunk)]
        return (keys, 1.0) if keys else ([(epoch, indices[:1])], 0.0)

    def _fetch(self, keys: Iterator[Key]) -> Iterator[Any]:
        if self.workers is None:
            batches = map(self.samples.__getitem__, keys)
        else:
            batches = self.workers.fetch(keys)
        for batch in batches:
            if isinstance(batch, Unusable):
                if self.workers is not None:
                    kill(self.workers.processes)  # or leaving may take 5 s and more for each
                fail(batch.code, batch.reason)
            yield batch


def micro_batches(
    batch: Batch, net: nn.Module, criterion: Any, noise: tuple[int, int]
) -> Iterator[tuple[Any, Any, Tensor | float]]:
    """Yield inputs, targets and their share of the step.

    A mean of means is wrong when the parts differ in size. So each part's mean loss counts by its
    elements, out of those of the whole step over all processes; DDP divides the sum of gradients by
    the number of processes, and the share undoes that. `noise` is (seed, step): dropout depends on
    it and on the part's place in the step.
    """
    parts = batch.micro_batches
    shares: list[Any] = [1.0]
    if len(parts) > 1 or world_size() > 1:
        counts = torch.stack([criterion.count(targets) * batch.weight for _, targets in parts])
        counts = counts.to(widest_float(counts.device))
        total = sum_over_processes(counts.sum()).clamp(min=1)
        shares = list((counts * world_size() / total).unbind())
    for place, ((inputs, targets), share) in enumerate(zip(parts, shares, strict=True)):
        seed_noise(mix(*noise, batch.first + place))
        with gradient_sync(net, enabled=place == len(parts) - 1):
            yield inputs, targets, share
