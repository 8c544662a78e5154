"""Batches by the order: split over processes, read by workers, brought to the device."""

import atexit
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import tee
from pickle import PicklingError
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, get_worker_info

from .errors import DATA, MEMORY, USAGE, BadSampleError, fail, warn
from .launch import leave_nobody_behind, signals_blocked
from .order import Order
from .processes import agree_on_data, is_main_process, rank, world_size
from .runtime import mix, move, seed_everything, tensors, usable_cores

Key = tuple[int, Any]  # the epoch and the indices: a tensor, or a list on its way to a worker

LOOK_SECONDS = 10  # between two looks at whether the workers are alive
HANG_SECONDS = 600  # without the batch that is due
FULL = "shared memory (/dev/shm) is full: give it more (docker run --shm-size=8g), or --workers 0"
KILLED = "most often because memory ran out; fewer --workers need less"
DEATHS = {"SIGKILL": (MEMORY, KILLED), "SIGBUS": (MEMORY, FULL)}
BatchNorm = nn.modules.batchnorm._BatchNorm  # of any dimension, synchronised or not


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
            raise ValueError(f"{type(dataset).__name__}: __len__ is needed")
        length = len(dataset)  # type: ignore[arg-type]
        lengths = getattr(dataset, "lengths", None)
        if length == 0:
            fail(DATA, "the data set is empty")
        if (shuffle or drop_last) and batch_size > length:
            fail(USAGE, f"--batch-size {batch_size}: the training set has {length} samples only")
        self.parts = accumulate * world_size()  # of a step
        if shuffle and batch_size % self.parts:
            line = f"--batch-size {batch_size}: is no multiple of --accumulate {accumulate} x"
            more = self.parts - batch_size % self.parts
            fail(USAGE, f"{line} {world_size()} processes; take {batch_size + more}")
        self.order = Order(length, batch_size, seed, shuffle, drop_last, limit, lengths)
        self.accumulate = accumulate
        self.samples = Samples(dataset, seed)
        agree_on_data(length, lambda index: tensors(usable(self.samples[0, [index]])))
        if workers == "auto":
            # four feed most devices
            spare = max(1, min(4, usable_cores() // world_size() - 1))
            workers = 0 if getattr(dataset, "in_memory", False) else spare
        pin_memory = device is not None and device.type == "cuda"
        self.workers = Workers(self.samples, int(workers), pin_memory) if workers else None

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
        batches = self.workers.read(keys) if self.workers else map(self.samples.__getitem__, keys)
        return map(usable, batches)


def usable(batch: Any) -> Any:
    """Return the batch; where one could not be read, end the run."""
    if isinstance(batch, Exception):
        fail(MEMORY if isinstance(batch, MemoryError) else DATA, str(batch))
    return batch


class Samples(Dataset):
    """The data set, asked for a batch at a time; each sample has a seed of its own."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.whole_batch = getattr(dataset, "batch", None)

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
                    seed_everything(mix(self.seed, epoch, number))
                    samples.append(self.dataset[number])
                place = indices
                batch = default_collate(samples)
            if get_worker_info():
                for tensor in tensors(batch):
                    tensor.share_memory_()  # left to PyTorch's sending thread, it may fail unseen
            return batch
        # returned to who asked, as it would be raised there with a page of traceback in it
        except BadSampleError as error:
            return error
        except OSError as error:
            where = error.filename or shortened(place)
            return BadSampleError(f"{where}: {error.strerror or error}")
        except Exception as error:
            if "unable to allocate shared memory" in str(error):
                return MemoryError(FULL)
            error.add_note(f"while reading {shortened(place)} of the data set")
            raise


def shortened(indices: Any) -> str:
    numbers = torch.as_tensor(indices).tolist()
    return f"samples {', '.join(map(str, numbers[:8]))}{', ...' if len(numbers) > 8 else ''}"


class Keys:
    """What the workers are to read next, in the form that a DataLoader asks for."""

    # apart from Workers: a DataLoader in a reference cycle waits 5 s for workers that are dead
    wanted: Iterator[Key] = iter(())

    def __iter__(self) -> Iterator[Key]:
        return ((epoch, indices.tolist()) for epoch, indices in self.wanted)


class Workers:
    """Processes that read batches: they ignore signals; one that dies or hangs ends the run."""

    def __init__(self, samples: Samples, count: int, pin_memory: bool) -> None:
        self.keys = Keys()
        self.processes: set[Any] = set()
        self.loader = DataLoader(
            samples,
            batch_size=None,
            sampler=self.keys,
            num_workers=count,
            pin_memory=pin_memory,
            persistent_workers=True,
            worker_init_fn=prepare_worker,
            timeout=LOOK_SECONDS,
            generator=torch.Generator(),  # its own, or it would draw from the global one
        )

    def read(self, keys: Iterator[Key]) -> Iterator[Any]:
        """Yield a batch for each key, in order."""
        self.keys.wanted, due = tee(keys)  # workers take keys long before they are due
        others = set(multiprocessing.active_children())
        try:
            with signals_blocked():
                batches = self.wait(lambda: iter(self.loader))
        except (AttributeError, TypeError, PicklingError) as error:
            line = f"--workers {self.loader.num_workers}: the data set cannot be sent to a process"
            fail(USAGE, f"{line} ({error}); --workers 0 needs no other process")
        if not self.processes:  # which have just been started
            self.processes = set(multiprocessing.active_children()) - others
            atexit.register(leave_nobody_behind)
        for _, indices in due:
            yield self.wait(batches.__next__, f" while {shortened(indices)} are due")

    def wait(self, answer: Callable[[], Any], while_due: str = "") -> Any:
        """Return PyTorch's answer; end the run if a worker died, or hangs."""
        code = 0
        for _ in range(HANG_SECONDS // LOOK_SECONDS):
            try:
                return answer()
            except (RuntimeError, OSError, EOFError) as error:
                time.sleep(0.5)  # a socket breaks before its process is gone
                code = next((p.exitcode for p in self.processes if p.exitcode), 0)
                if code:
                    break
                if not str(error).startswith("DataLoader timed out"):
                    raise  # the data set's own
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        what = f"died ({how})" if code else f"gave no answer for {HANG_SECONDS} s"
        number, advice = DEATHS.get(how, (DATA, "--workers 0 shows where"))
        leave_nobody_behind()  # those that wait for a dead one would be waited for in turn
        fail(number, f"a worker {what}{while_due}: {advice}")


def prepare_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it cannot be blocked
    for name in {"SIGBUS", "SIGSEGV"} & vars(signal).keys():  # the main process says it
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def prefetch(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Yield the batches on the device.

    Workers read ahead; on CUDA the copy has a stream of its own, so that a batch is read and copied
    while the device still computes the one before.
    """
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


@cache
def copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the device's one stream for copies; the allocator keeps memory apart by stream."""
    return torch.cuda.Stream(device)
