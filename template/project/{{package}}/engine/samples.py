"""What is asked of a data set, and what comes back: whole batches, seeded by position."""

import zlib
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset, default_collate, get_worker_info

from .errors import DATA, MEMORY, BadSampleError, fail
from .runtime import mix, seed_everything, tensors

Key = tuple[int, Any]  # the epoch and the indices: a tensor, or a list on its way to a worker

FULL = "shared memory (/dev/shm) is full: give it more (docker run --shm-size=8g), or --workers 0"


class Keys:
    """What the workers are to load next, in the form that a DataLoader asks for."""

    # knows the keys, not the loader: workers that die in a reference cycle take 5 s for it
    def __init__(self) -> None:
        self.present: Iterator[Key] = iter(())
        self.due: deque[list[int]] = deque()  # samples that are asked for and not there yet

    def __iter__(self) -> Iterator[Key]:
        return self

    def __next__(self) -> Key:
        epoch, indices = next(self.present)
        self.due.append(indices.tolist())
        return epoch, self.due[-1]


class Unusable(NamedTuple):
    """Comes in place of a batch; an exception would come as a page of traceback."""

    code: int
    reason: str


class Samples(Dataset):
    """The data set, asked for a batch at a time."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.whole_batch = getattr(dataset, "batch", None)

    def __getitem__(self, index: Key) -> Any:
        epoch, wanted = index
        place = wanted
        try:
            if self.whole_batch:
                batch = self.whole_batch(torch.as_tensor(wanted), mix(self.seed, epoch))
            else:
                samples = []
                for number in map(int, wanted):
                    place = [number]
                    seed_everything(mix(self.seed, epoch, number))
                    samples.append(self.dataset[number])
                place = wanted
                batch = default_collate(samples)
            if get_worker_info():
                for tensor in tensors(batch):
                    tensor.share_memory_()  # left to PyTorch's sending thread, it may fail unseen
            return batch
        except BadSampleError as error:
            return Unusable(DATA, str(error))
        except OSError as error:
            where = error.filename or shortened(place)
            return Unusable(DATA, f"{where}: {error.strerror or error}")
        except Exception as error:
            if "unable to allocate shared memory" in str(error):
                return Unusable(MEMORY, FULL)
            error.add_note(f"while reading {shortened(place)} of the data set")
            raise

    def checksum(self, index: int) -> str:
        """Return what two processes with the same data agree on."""
        with torch.random.fork_rng(devices=[]):  # the first weights may be yet to come
            batch = self[0, [index]]
        if isinstance(batch, Unusable):
            fail(batch.code, batch.reason)
        crc = 0
        for tensor in tensors(batch):
            dense = tensor.cpu().clone(memory_format=torch.contiguous_format)
            crc = zlib.crc32(dense.flatten().view(torch.uint8).numpy().tobytes(), crc)
        return f"{crc:08x}"


def shortened(samples: Any) -> str:
    """Return the first of the indices, to print."""
    indices = torch.as_tensor(samples).tolist()
    first = ", ".join(map(str, indices[:8]))
    return f"samples {first}, ..." if len(indices) > 8 else f"samples {first}"
