"""Several processes, one training: torchrun starts them, this file connects them."""

import atexit
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import torch
import torch.distributed.nn  # before the group, which its functions would else keep: see `leave`
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import DEVICE, MISMATCH, USAGE, Ending, fail

T = TypeVar("T")

PATIENCE = timedelta(minutes=15)  # with a silent process; longer than a loader has with a worker


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    return rank() == 0


def start(device: torch.device) -> None:
    """Join the other processes that torchrun started, each with a device of its own."""
    check_surroundings()
    if device.type != "cpu":
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        devices = torch.accelerator.device_count()
        if local_rank >= devices:
            fail(DEVICE, f"--nproc-per-node: this machine has {devices} {device.type} devices")
        torch.accelerator.set_device_index(local_rank)
    if world_size() > 1 and not distributed.is_initialized():
        end_with_launcher()
        join(device.type)
        atexit.register(leave)
        agree({"the version of PyTorch": torch.__version__, **code()})


def check_surroundings() -> None:
    """Refuse variables of which some are missing or wrong, as when they were set by hand."""
    way_out = "torchrun --standalone --nproc-per-node=2 sets all that several processes need"
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        if not os.environ.get(name, "0").isdecimal():
            fail(USAGE, f"{name}={os.environ[name]}: not a whole number; {way_out}")
    if rank() >= world_size():
        fail(USAGE, f"RANK={rank()}: WORLD_SIZE={world_size()} has no such rank; {way_out}")
    if world_size() > 1 or ("RANK" in os.environ and "WORLD_SIZE" not in os.environ):
        if missing := {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - os.environ.keys():
            fail(USAGE, f"several processes without {', '.join(sorted(missing))}: {way_out}")


def end_with_launcher() -> None:
    """Let Linux send SIGTERM when torchrun is gone, however it ended."""
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        launcher = os.getppid()
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != launcher:  # gone before the line above
            os.kill(os.getpid(), signal.SIGTERM)


def join(device_type: str) -> None:
    try:
        store, number, size = next(distributed.rendezvous("env://", timeout=PATIENCE))
    except distributed.DistNetworkError as error:
        if "EADDRINUSE" not in str(error):
            raise
        port = os.environ["MASTER_PORT"]
        fail(DEVICE, f"MASTER_PORT={port}: in use; torchrun --standalone finds one that is not")
    if os.environ.get("GROUP_WORLD_SIZE") == "1":  # machine; several may count differently
        # processes that torchrun started again would else find the addresses of those that died
        store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    backend = "gloo"
    if device_type != "cpu":  # named, as by default there would be none for CPU tensors
        backend = (
            f"cpu:gloo,{device_type}:{distributed.get_default_backend_for_device(device_type)}"
        )
    group = {"store": store, "rank": number, "world_size": size, "timeout": PATIENCE}
    distributed.init_process_group(backend, **group)


def code() -> dict[str, str]:
    """Return a checksum of each file of the package, and of each script beside it."""
    root = Path(__file__).parents[2]
    files = [*Path(__file__).parents[1].rglob("*.py"), *root.glob("*.py")]
    return {f.relative_to(root).as_posix(): sha256(f.read_bytes()).hexdigest()[:12] for f in files}


def leave() -> None:
    """Leave the group, and let nothing keep it: its threads would abort a process that ends."""
    gc.collect()  # networks that were wrapped
    distributed.destroy_process_group()


def wrap(net: nn.Module) -> nn.Module:
    """Return the network with gradients averaged over the processes."""
    if world_size() == 1:
        return net
    agree({f"the shape of {name}": list(p.shape) for name, p in net.named_parameters()})
    if next(net.parameters()).device.type != "cpu":
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


def gather(value: T) -> list[T]:
    """Return the values of all processes, on every process."""
    values = [value] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(values, value)
    return values


def share(value: T) -> T:
    """Return the main process's value on every process."""
    return gather(value)[0]


def agree(fields: dict[str, Any]) -> None:
    """End the run on all processes if a field's value, as text, is not the same on each."""
    texts = gather({name: str(value) for name, value in fields.items()})
    for name in {name: None for fields in texts for name in fields}:
        values = [fields.get(name, "nothing") for fields in texts]
        if len({*values}) > 1:
            on = {value: [str(n) for n, v in enumerate(values) if v == value] for value in values}
            shown = ", ".join(f"{value[:40]} on {' '.join(ranks)}" for value, ranks in on.items())
            line = f"the processes disagree about {name}: {shown}"
            line += "; start them from the same folder, with the same command"
            if is_main_process():
                fail(MISMATCH, line)
            raise Ending(MISMATCH, line)


def agree_on_data(length: int, read: Callable[[int], Iterable[Tensor]]) -> None:
    """Compare the number of samples, and the first and the last of them."""
    if world_size() > 1:
        with torch.random.fork_rng(devices=[]):  # the first weights may be yet to come
            ends = {"the first sample": read(0), "the last sample": read(length - 1)}
            agree({"the number of samples": length, **{k: checksum(v) for k, v in ends.items()}})


def checksum(tensors: Iterable[Tensor]) -> str:
    crc = 0
    for tensor in tensors:
        dense = tensor.cpu().clone(memory_format=torch.contiguous_format)
        crc = crc32(dense.flatten().view(torch.uint8).numpy().tobytes(), crc)
    return f"{crc:08x}"


def lost(error: BaseException) -> str | None:
    """Return what to say if this error means that another process is gone or hangs."""
    text, line = str(error).lower(), None
    if isinstance(error, distributed.DistError) or "gloo" in text:
        if "timeout" in text or "timed out" in text:
            seconds = f"{PATIENCE.total_seconds():g} s"
            line = f"no answer from another process for {seconds}; --resume auto continues"
        elif "connection" in text or "broken pipe" in text or "remote process" in text:
            line = "another process is gone, and says why if it could; --resume auto continues"
    if line and distributed.is_initialized():
        # before `leave`, which would wait for a GPU that waits for the process that is gone
        atexit.register(os._exit, DEVICE)
    return line
