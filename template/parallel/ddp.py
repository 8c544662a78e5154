"""Several processes, one training: torchrun starts them, this file connects them."""

import atexit
import gc
import os
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import DEVICE, fail

T = TypeVar("T")


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    return rank() == 0


def start(device: torch.device) -> None:
    """Join the other processes that torchrun started, each with a device of its own."""
    if device.type != "cpu":
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        devices = torch.accelerator.device_count()
        if local_rank >= devices:
            fail(DEVICE, f"--nproc-per-node: this machine has {devices} {device.type} devices")
        torch.accelerator.set_device_index(local_rank)
    if world_size() > 1 and not distributed.is_initialized():
        # no backend named: gloo for CPU tensors, nccl for CUDA tensors
        distributed.init_process_group()
        atexit.register(leave)


def leave() -> None:
    """Leave the other processes; a network that is still wrapped would abort this one."""
    gc.collect()
    distributed.destroy_process_group()


def wrap(net: nn.Module) -> nn.Module:
    """Return the network with gradients averaged over the processes."""
    if world_size() == 1:
        return net
    if next(net.parameters()).is_cuda:
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    return DistributedDataParallel(net, gradient_as_bucket_view=True)


def bare(net: nn.Module) -> nn.Module:
    """Return the network without what `wrap` put around it."""
    return net.module if isinstance(net, DistributedDataParallel) else net


def gradient_sync(net: nn.Module, enabled: bool) -> AbstractContextManager:
    """Average the gradients in this backward pass, or only add them up on each process."""
    if enabled or not isinstance(net, DistributedDataParallel):
        return nullcontext()
    return net.no_sync()


def sum_over_processes(tensor: Tensor) -> Tensor:
    if world_size() > 1:
        distributed.all_reduce(tensor)
    return tensor


def any_process(flag: bool) -> bool:
    """Return whether the flag is set on any process; all of them must ask."""
    return flag if world_size() == 1 else bool(sum_over_processes(torch.tensor(int(flag))))


def share(value: T) -> T:
    """Return the main process's value on every process."""
    if world_size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]
