"""Batches by the order: split over processes, read by workers, brought to the device."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import tee
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, get_worker_info

from .errors import DATA, MEMORY, BadSampleError, fail, warn
from .launch import leave_nobody_behind, signals_blocked
from .order import Order
from .processes import agree_on_data, is_main_process, rank, world_size
from .runtime import looks, mix, move, seed_everything, tensors

Key = tuple[int, Any]  # the epoch and the indices: a tensor, or a list on its way to a worker

LOOK_SECONDS = 10  # between two looks at whether the workers are alive
HANG_SECONDS = 600  # without the batch that is due
STREAM = "is a stream, where no run can resume; of tar files use the template's block tar_shards"
FULL = "shared memory (/dev/shm) is full: give it more (docker run --shm-size=8g), or --workers 0"
BatchNorm = nn.modules.batchnorm._BatchNorm  # of any dimension, synchronised or not


class Batch(NamedTuple):
    """This process's part of one optimizer step."""

    micro_batches: list[tuple[Any, Any]]
    first: int  # the number of the first of them among those of all processes
    weight: float  # 0 for a stand-in, where a step has fewer samples than there are processes


class Loader:
    """Batches of a data set; what is in one depends on the seed and the step, on nothing else.

    The data set is anything with a length whose samples are (inputs, targets), such as PyTorch's
    own, a subset of one, or a list. Each sample is read with a seed of its own. These it may have:
    `whole_batch(indices, seed)`, which reads many samples at once; `in_memory`, which says that
    no worker is worth its start; `lengths`, a number for each sample: shuffled batches hold samples
    of similar length. `weights` draw samples with replacement, in proportion to them.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        limit: int = 0,
        accumulate: int = 1,
        workers: int | str = "auto",
        device: torch.device | None = None,
        weights: Tensor | None = None,
        collate_fn: Callable[[list[Any]], Any] = default_collate,
    ) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            fail(DATA, f"{type(dataset).__name__} {STREAM}")
        if not (length := len(dataset)):
            fail(DATA, "the data set is empty")
        lengths = getattr(dataset, "lengths", None)
        self.order = Order(length, batch_size, seed, shuffle, drop_last, limit, lengths, weights)
        self.accumulate = accumulate
        self.parts = accumulate * world_size()  # of a step
        self.samples = Samples(dataset, seed, collate_fn)
        agree_on_data(length, lambda index: tensors(usable(self.samples[0, [index]])))
        if workers == "auto":  # of the cores that this process may use; four feed most devices
            allowed = getattr(os, "sched_getaffinity", None)
            cores = len(allowed(0)) if allowed else os.cpu_count() or 1
            spare = max(1, min(4, cores // world_size() - 1))
            workers = 0 if getattr(dataset, "in_memory", False) else spare
        self.keys, self.workers = Keys(), None
        if workers:
            self.workers = DataLoader(
                self.samples,
                batch_size=None,
                sampler=self.keys,
                num_workers=int(workers),
                pin_memory=device is not None and device.type == "cuda",
                persistent_workers=True,
                timeout=LOOK_SECONDS,
                generator=torch.Generator(),  # its own, or it would draw from the global one
            )
            atexit.register(leave_nobody_behind)  # Python would wait for them: they ignore SIGTERM

    def avoid_single_samples(self, net: nn.Module) -> None:
        """Let no micro-batch be a single sample, which a BatchNorm that trains cannot take."""
        if any(isinstance(part, BatchNorm) and part.training for part in net.modules()):
            self.order = replace(self.order, fewest=2)
            if self.order.length % self.order.batch_size == 1 and is_main_process():
                warn("an epoch leaves out its last sample, which BatchNorm cannot take alone")

    def __len__(self) -> int:
        """Return the number of optimizer steps in an epoch."""
        return self.order.steps_per_epoch

    def steps(self, steps: range) -> Iterator[Batch]:
        """Yield this process's part of each step."""
        ahead, now = tee(map(self._part, steps))
        batches = self._read(key for keys, _ in ahead for key in keys)
        for keys, weight in now:
            yield Batch([next(batches) for _ in keys], rank() * self.accumulate, weight)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield the data set once; processes share out its batches, which stay as they are."""
        mine = range(rank(), len(self), world_size())
        return self._read((0, self.order.batch(step)[1]) for step in mine)

    def examples(self, count: int) -> tuple[Any, Any]:
        """Return samples from all over the set as one batch, to look at; always the same ones."""
        count = min(count, self.order.length)
        return usable(self.samples[0, torch.arange(count) * self.order.length // count])

    def sample_ids(self, step: int) -> list[int]:
        """Return the samples of all processes in a step, named as train.py does, from 1 on."""
        return self.order.batch(step - 1)[1].tolist()

    def _part(self, step: int) -> tuple[list[Key], float]:
        epoch, indices = self.order.batch(step)
        parts = indices.tensor_split(min(self.parts, max(1, len(indices) // self.order.fewest)))
        first = rank() * self.accumulate
        keys = [(epoch, part) for part in parts[first : first + self.accumulate]]
        return (keys, 1.0) if keys else ([(epoch, indices[: self.order.fewest])], 0.0)

    def _read(self, keys: Iterator[Key]) -> Iterator[Any]:
        if self.workers is None:
            yield from map(usable, map(self.samples.__getitem__, keys))
            return
        ahead, due = tee(keys)  # workers take keys long before they are due
        self.keys.wanted = ((epoch, indices.tolist()) for epoch, indices in ahead)
        with signals_blocked():
            batches = wait(lambda: iter(self.workers), "the first samples")
        for _, indices in due:
            yield usable(wait(batches.__next__, shortened(indices)))


def wait(answer: Callable[[], Any], due: str) -> Any:
    """Return the workers' answer; end the run if one of them died or hangs."""
    for _ in range(HANG_SECONDS // LOOK_SECONDS):
        try:
            return answer()
        except (RuntimeError, OSError, EOFError) as error:  # the last two: it dies handing over
            if not isinstance(error, RuntimeError) or "exited unexpectedly" in str(error):
                advice = "if memory ran out, try fewer --workers"
                fail(MEMORY, f"a worker is gone, {due} are due; {advice} ({error!r})")
            if not str(error).startswith("DataLoader timed out"):
                raise  # the data set's own
    leave_nobody_behind()  # PyTorch would wait for one that hangs
    fail(DATA, f"no worker answers for {HANG_SECONDS} s; {due} are due; --workers 0 shows where")


def usable(batch: Any) -> Any:
    """Return the batch; where one could not be read, end the run."""
    if isinstance(batch, Exception):
        fail(MEMORY if isinstance(batch, MemoryError) else DATA, str(batch))
    return batch


class Samples(Dataset):
    """The data set, asked for a batch at a time; each sample has a seed of its own."""

    def __init__(self, dataset: Any, seed: int, collate_fn: Callable[[list[Any]], Any]) -> None:
        self.dataset, self.seed, self.collate_fn = dataset, seed, collate_fn
        self.whole_batch, self.generators = whole_batch(dataset), generators(dataset)

    def __getitem__(self, index: Key) -> Any:
        epoch, indices = index
        place = indices
        try:
            if self.whole_batch:
                batch = self.whole_batch(torch.as_tensor(indices), mix(self.seed, epoch))
            else:
                samples = []
                for number in map(int, indices):
                    place = [number]
                    samples.append(self.read(epoch, number))
                place = indices
                batch = self.collate(samples, place)
            if get_worker_info():
                for tensor in tensors(batch):
                    tensor.share_memory_()  # left to PyTorch's sending thread, it may fail unseen
            return batch
        except BadSampleError as error:
            return error  # not raised, because a worker would add a page of traceback
        except Exception as error:
            name = shortened(place)
            if isinstance(error, OSError):
                return BadSampleError(f"{error.filename or name}: {error.strerror or error}")
            if "unable to allocate shared memory" in str(error):
                return MemoryError(FULL)
            error.add_note(f"while reading {name} of the data set")
            raise

    def read(self, epoch: int, number: int) -> Any:
        seed = mix(self.seed, epoch, number)
        seed_everything(seed)
        for generator in self.generators:
            generator.set_random_seed(seed % 2**32)
        sample = self.dataset[number]
        if not (isinstance(sample, (tuple, list)) and len(sample) == 2):
            reason = "is no pair (inputs, targets); write a Dataset around it that returns one"
            raise BadSampleError(f"{shortened([number])} of the data set: {looks(sample)} {reason}")
        return sample

    def collate(self, samples: list[Any], indices: Any) -> Any:
        """Put samples into a batch; where they do not fit together, say which and why."""
        try:
            return self.collate_fn(samples)
        except (TypeError, RuntimeError) as error:
            if self.collate_fn is not default_collate:
                raise
            kinds = {looks(sample): index for index, sample in zip(indices, samples, strict=True)}
            reason = f"{shortened([*kinds.values()])} make no batch: {' and '.join(kinds)}"
            raise BadSampleError(f"{reason}; transforms make tensors of one shape") from error


def whole_batch(dataset: Any) -> Callable[[Tensor, int], Any] | None:
    """Return the method that reads many samples at once, unless a subclass reads its own way."""
    ways = {"whole_batch", "__getitem__"}
    first = next((kind for kind in type(dataset).__mro__ if ways & vars(kind).keys()), object)
    return dataset.whole_batch if "whole_batch" in vars(first) else None


def generators(dataset: Any) -> list[Any]:
    """Return what draws from generators of its own, as albumentations does."""
    held = [*getattr(dataset, "__dict__", {}).values()]
    held += [part for parts in held if isinstance(parts, list) for part in parts]
    found = [part for part in held if hasattr(part, "set_random_seed")]
    return found + [one for part in held if isinstance(part, Dataset) for one in generators(part)]


def shortened(indices: Any) -> str:
    numbers = torch.as_tensor(indices).tolist()
    return f"samples {', '.join(map(str, numbers[:8]))}{', ...' if len(numbers) > 8 else ''}"


class Keys:
    """What the workers read next; were Loader the sampler, the cycle would delay their end."""

    wanted: Iterator[Key] = iter(())

    def __iter__(self) -> Iterator[Key]:
        return self.wanted


# one a device, because the allocator keeps free memory apart by stream
copy_stream = cache(lambda device: torch.cuda.Stream(device))


def prefetch(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Yield the batches on the device; CUDA copies one while it computes with the one before."""
    if device.type != "cuda":
        yield from (move(batch, device) for batch in batches)
        return
    copies = copy_stream(device)
    for batch in batches:
        with torch.cuda.stream(copies):
            moved = move(batch, device)
        torch.cuda.current_stream().wait_stream(copies)
        for tensor in tensors(moved):  # or its memory is free while that stream still reads it
            tensor.record_stream(torch.cuda.current_stream())
        yield moved
