"""One process: what the rest of the engine asks about processes when there is only one."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


def rank() -> int:
    return 0


def world_size() -> int:
    return 1


def is_main_process() -> bool:
    return True


def start(device: torch.device) -> None:
    """Only process: nothing to join."""


def bare(net: nn.Module) -> nn.Module:
    return net


def gradient_sync(net: nn.Module, enabled: bool) -> AbstractContextManager:
    return nullcontext()


def sum_over_processes(tensor: Tensor) -> Tensor:
    return tensor


def any_process(flag: bool) -> bool:
    return flag


def gather(value: T) -> list[T]:
    return [value]


def share(value: T) -> T:
    return value


def agree(fields: dict[str, Any]) -> None:
    """Only process: nothing to compare."""


def agree_on_data(length: int, read: Callable[[int], Iterable[Tensor]]) -> None:
    """Only process: nothing to compare."""


def lost(error: BaseException) -> str | None:
    """Only process: no other can be gone."""
