"""Where the memory goes."""

import sys
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

MIB = 2**20


def memory_in_use(device: torch.device) -> dict[str, float]:
    """Return this process's memory on the device in MiB; asking does not wait for it."""
    if device.type == "cuda":
        values = {
            "allocated": torch.cuda.memory_allocated(device),
            "reserved": torch.cuda.memory_reserved(device),
            "peak": torch.cuda.max_memory_allocated(device),
        }
    elif device.type == "mps":
        values = {
            "allocated": torch.mps.current_allocated_memory(),
            "reserved": torch.mps.driver_allocated_memory(),
        }
    else:
        values = {"peak": peak_resident_bytes()}
    return {name: value / MIB for name, value in values.items() if value}


def peak_resident_bytes() -> int:
    """Return the most memory that this process ever held, or 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def memory_report(net: nn.Module, optimizer: Optimizer, device: torch.device) -> str:
    """Return a table of what the network, its gradients and its optimizer hold."""
    parameters = list(net.parameters())
    gradients = [p.grad for p in parameters if p.grad is not None]
    state = [
        (name, value)
        for values in optimizer.state.values()
        for name, value in values.items()
        if isinstance(value, Tensor) and value.ndim > 0
    ]
    trained = count_bytes(p for group in optimizer.param_groups for p in group["params"])
    state_bytes = count_bytes(value for _, value in state)
    kept = ", ".join(dict.fromkeys(name for name, _ in state)) or "nothing"
    lines = [
        ("parameters", count_bytes(parameters), f"{sum(p.numel() for p in parameters):,} numbers"),
        ("buffers", count_bytes(net.buffers()), ""),
        ("gradients", count_bytes(gradients), ""),
        (
            "optimizer",
            state_bytes,
            f"{type(optimizer).__name__} keeps {kept}: {state_bytes / max(trained, 1):.1f} x the "
            "trained parameters (SGD 0 x, with momentum 1 x, RMSprop 1 x, Adam 2 x)",
        ),
    ]
    table = [f"memory on {device}, MiB"]
    table += [f"  {name:<11}{size / MIB:10.1f}  {note}".rstrip() for name, size, note in lines]
    table += [f"  {name:<11}{size:10.1f}" for name, size in memory_in_use(device).items()]
    return "\n".join(table)
