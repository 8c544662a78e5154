"""Batches on their way to the device."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from .runtime import move

T = TypeVar("T")


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
