"""Batches by the order, split over processes and micro-batches."""

from collections.abc import Iterable, Iterator
from itertools import tee
from signal import SIG_IGN, SIGINT, signal
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from .errors import DATA, USAGE, BadSampleError, fail
from .order import Order
from .processes import rank, world_size
from .runtime import mix, seed_everything, usable_cores

Key = tuple[int, Any]  # the epoch and the indices: a tensor, or a list on its way to a worker


class Batch(NamedTuple):
    """This process's part of one optimizer step."""

    micro_batches: list[tuple[Any, Any]]
    first: int  # the number of the first of them among those of all processes
    weight: float  # 0 for a stand-in, where a step has fewer samples than there are processes


class Loader:
    """Batches of a data set; what is in one depends on the seed and the step, on nothing else.

    A data set may have a method `batch(indices, seed)` that returns whole batches, which suits data
    in memory; otherwise its samples are collated. Either way a random transform gets its seed from
    (seed, epoch, sample), so it repeats itself in any worker and after any restart.
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
        self.order = Order(length, batch_size, seed, shuffle, drop_last, limit)
        self.accumulate = accumulate
        self.micro_batch_size = batch_size // parts
        self.samples = Samples(dataset, seed)
        self.keys = Keys()
        self.workers = None
        if workers == "auto":
            # four feed most devices
            spare = max(1, min(4, usable_cores() // world_size() - 1))
            workers = 0 if getattr(dataset, "in_memory", False) else spare
        if workers:
            self.workers = DataLoader(
                self.samples,
                batch_size=None,
                sampler=self.keys,
                num_workers=int(workers),
                collate_fn=as_is,
                pin_memory=device is not None and device.type == "cuda",
                persistent_workers=True,
                worker_init_fn=prepare_worker,
                generator=torch.Generator(),  # its own, or it would draw from the global one
            )

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
            self.keys.present = ((epoch, indices.tolist()) for epoch, indices in keys)
            batches = iter(self.workers)
        for batch in batches:
            if isinstance(batch, BadSampleError):
                fail(DATA, str(batch))
            yield batch


class Samples(Dataset):
    """The data set, asked for a batch at a time."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.whole_batch = getattr(dataset, "batch", None)

    def __getitem__(self, index: Key) -> Any:
        epoch, indices = index
        try:
            if self.whole_batch:
                return self.whole_batch(torch.as_tensor(indices), mix(self.seed, epoch))
            samples = []
            for place in map(int, indices):
                seed_everything(mix(self.seed, epoch, place))
                samples.append(self.dataset[place])
            return default_collate(samples)
        except BadSampleError as error:
            return error  # raised here, it would reach the main process as a page of traceback


class Keys:
    """The loader's present keys, in the form that a DataLoader asks for."""

    # knows the keys, not the loader: workers that die in a reference cycle take 5 s for it
    present: Iterable[Key] = ()

    def __iter__(self) -> Iterator[Key]:
        return iter(self.present)


def prepare_worker(worker: int) -> None:
    signal(SIGINT, SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides


def as_is(batch: Any) -> Any:
    return batch
