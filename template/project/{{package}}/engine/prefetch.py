"""Batches on their way to the device."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def move(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch, however nested, without waiting for the copy."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(move(value, device) for value in batch)
    return batch


def prefetch(batches: Iterable[T], device: torch.device) -> Iterator[T]:
    """Yield the batches on the device.

    Workers load ahead; on CUDA the copy has a stream of its own, so that a batch is loaded and
    copied while the device still computes the one before.
    """
    if device.type != "cuda":
        for batch in batches:
            yield move(batch, device)
        return
    copies = torch.cuda.Stream()
    for batch in batches:
        with torch.cuda.stream(copies):
            moved = move(batch, device)
        torch.cuda.current_stream().wait_stream(copies)
        keep_for(torch.cuda.current_stream(), moved)
        yield moved


def keep_for(stream: torch.cuda.Stream, batch: Any) -> None:
    """Tell the allocator that this stream still reads the batch, made on another one."""
    if isinstance(batch, Tensor):
        batch.record_stream(stream)
    elif isinstance(batch, dict):
        keep_for(stream, list(batch.values()))
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            keep_for(stream, value)
