"""A closer look at a network and its run, by flags that cost nothing when they are off."""

import sys
from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity, profile, schedule

from .errors import USAGE, fail
from .loader import Loader
from .processes import bare, is_main_process
from .runtime import move

MIB = 2**20
MEMORY_STEP = 3  # gradients and optimizer state exist by then
PROFILE_WARMUP = 3  # steps that allocate, compile and tune


class Inspection:
    """--profile, --memory and --detect-anomaly; `step` once per optimizer step."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: Optimizer,
        device: torch.device,
        folder: Path,
        args: Namespace,
    ) -> None:
        self.net, self.optimizer, self.device = bare(net), optimizer, device
        self.profiler = None
        if args.profile and is_main_process():
            self.profiler = start_profiler(args.profile, device, folder / "profile")
        self.steps_to_memory = MEMORY_STEP if args.memory and is_main_process() else 0
        torch.autograd.set_detect_anomaly(args.detect_anomaly)

    def step(self) -> None:
        """Look; call it while the gradients are there."""
        if self.profiler is not None:
            self.profiler.step()
        if self.steps_to_memory:
            self.steps_to_memory -= 1
            if not self.steps_to_memory:
                print(memory_report(self.net, self.optimizer, self.device))

    def close(self) -> None:
        """Finish what a short run left open."""
        if self.profiler is not None:
            self.profiler.stop()
        if self.steps_to_memory:
            print(memory_report(self.net, self.optimizer, self.device))


def start_profiler(steps: int, device: torch.device, folder: Path) -> profile:
    """Record so many optimizer steps into trace.json and table.txt of this folder."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    profiler = profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=PROFILE_WARMUP, active=steps, repeat=1),
        on_trace_ready=partial(save_profile, device, folder),
        record_shapes=True,
        acc_events=True,
    )
    profiler.start()
    return profiler


def save_profile(device: torch.device, folder: Path, profiler: profile) -> None:
    folder.mkdir(exist_ok=True)
    profiler.export_chrome_trace(str(folder / "trace.json"))
    order = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
    table = profiler.key_averages().table(sort_by=order, row_limit=30)
    (folder / "table.txt").write_text(table, encoding="utf-8")
    print(f"profile: {folder}/table.txt; trace.json opens in https://ui.perfetto.dev")


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
    states = [entry for values in optimizer.state.values() for entry in values.items()]
    kept = {name: 0 for name, value in states if isinstance(value, Tensor) and value.ndim > 0}
    for name, value in states:
        if name in kept:
            kept[name] += count_bytes([value])
    trained = count_bytes(p for group in optimizer.param_groups for p in group["params"])
    times = sum(kept.values()) / max(trained, 1)
    keeps = f"{type(optimizer).__name__} keeps {', '.join(kept) or 'nothing'}: {times:.1f} x the"
    lines = [
        ("parameters", count_bytes(parameters), f"{sum(p.numel() for p in parameters):,} numbers"),
        ("buffers", count_bytes(net.buffers()), ""),
        ("gradients", count_bytes(gradients), ""),
        ("optimizer", sum(kept.values()), f"{keeps} trained parameters"),
    ]
    table = [f"memory on {device}, MiB"]
    table += [f"  {name:<11}{size / MIB:10.1f}  {note}".rstrip() for name, size, note in lines]
    table += [f"  {name:<11}{size:10.1f}" for name, size in memory_in_use(device).items()]
    return "\n".join(table)


def describe(
    net: nn.Module, loader: Loader, device: torch.device, folder: Path, args: Namespace
) -> None:
    """Print a table of the layers for --summary, draw them into graph.svg for --graph."""
    if not (args.summary or args.graph):
        return
    inputs, _ = move(next(iter(loader)), device)
    if not is_main_process():
        return
    if args.summary:
        try:
            import torchinfo
        except ImportError:
            fail(USAGE, "--summary needs torchinfo: uv add torchinfo, or pip install torchinfo")
        shown: dict[str, Any] = {"depth": 4, "row_settings": ("var_names",), "verbose": 0}
        shown["col_names"] = ("output_size", "num_params", "trainable")
        print(torchinfo.summary(bare(net), input_data=[inputs], **shown))
    if args.graph:
        draw(bare(net), inputs, device, folder / "graph.svg")


def draw(net: nn.Module, inputs: Any, device: torch.device, path: Path) -> None:
    """Write the layers and what flows between them as a picture."""
    try:
        from graphviz import ExecutableNotFound
        from torchview import draw_graph
    except ImportError:
        fail(USAGE, "--graph needs torchview: uv sync --extra graph, or pip install torchview")
    try:
        graph = draw_graph(net, input_data=[inputs], device=device, expand_nested=True)
        graph.visual_graph.render(outfile=path, cleanup=True)
    except ExecutableNotFound:
        fail(USAGE, "--graph needs Graphviz's dot: apt install graphviz, or brew install graphviz")
    except RuntimeError as error:
        fail(USAGE, f"--graph: torchview cannot follow this network: {error.__cause__ or error}")
    print(f"graph: {path}")
