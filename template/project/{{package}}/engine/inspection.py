"""A closer look at a network and its run, by flags that cost nothing when they are off."""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.profiler import profile, schedule

from .errors import USAGE, fail
from .loader import Loader
from .processes import is_main_process
from .runtime import move

MEMORY_STEP = 2  # gradients and optimizer state exist by then
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
        self.net, self.optimizer, self.device = net, optimizer, device
        self.folder, self.profiler = folder / "profile", None
        if args.profile and is_main_process():
            steps = schedule(wait=0, warmup=PROFILE_WARMUP, active=args.profile, repeat=1)
            more = {"record_shapes": True, "acc_events": True}
            self.profiler = profile(schedule=steps, on_trace_ready=self.save_profile, **more)
            self.profiler.start()
        self.steps_to_memory = MEMORY_STEP if args.memory and is_main_process() else 0
        torch.autograd.set_detect_anomaly(args.detect_anomaly)

    def step(self) -> None:
        """Look; call it while the gradients are there."""
        if self.profiler is not None:
            self.profiler.step()
        self.steps_to_memory -= 1
        if self.steps_to_memory == 0:
            print(memory_report(self.net, self.optimizer, self.device))

    def close(self) -> None:
        """Finish what a short run left open."""
        if self.profiler is not None:
            self.profiler.stop()

    def save_profile(self, profiler: profile) -> None:
        self.folder.mkdir(exist_ok=True)
        profiler.export_chrome_trace(str(self.folder / "trace.json"))
        order = "self_cpu_time_total" if self.device.type == "cpu" else "self_device_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=30)
        (self.folder / "table.txt").write_text(table, encoding="utf-8")
        print(f"profile: {self.folder}/table.txt; trace.json opens in https://ui.perfetto.dev")


def memory_in_use(device: torch.device) -> dict[str, float]:
    """Return this process's memory on a CUDA device in MiB; asking does not wait for it."""
    if device.type != "cuda":
        return {}
    sizes = {"allocated": torch.cuda.memory_allocated(), "peak": torch.cuda.max_memory_allocated()}
    sizes["reserved"] = torch.cuda.memory_reserved()  # also what the allocator keeps for later
    return {name: size / 2**20 for name, size in sizes.items()}


def mebibytes(tensors: Iterable[Tensor]) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20


def memory_report(net: nn.Module, optimizer: Optimizer, device: torch.device) -> str:
    """Return a table of what the network, its gradients and its optimizer hold."""
    states = [value for state in optimizer.state.values() for value in state.values()]
    sizes = {
        "parameters": mebibytes(net.parameters()),
        "buffers": mebibytes(net.buffers()),
        "gradients": mebibytes(p.grad for p in net.parameters() if p.grad is not None),
        "optimizer": mebibytes(v for v in states if isinstance(v, Tensor) and v.ndim),
    }
    lines = [f"  {name:<11}{size:10.1f}" for name, size in (sizes | memory_in_use(device)).items()]
    return "\n".join([f"memory on {device}, MiB", *lines])


def describe(
    net: nn.Module, loader: Loader, device: torch.device, folder: Path, args: Namespace
) -> None:
    """Print a table of the layers for --summary, draw them into graph.svg for --graph."""
    if not (args.summary or args.graph) or not is_main_process():
        return
    inputs, _ = move(next(iter(loader)), device)
    if args.summary:
        import torchinfo

        shown = {"col_names": ("output_size", "num_params", "trainable"), "depth": 4}
        torchinfo.summary(net, input_data=[inputs], row_settings=("var_names",), **shown)
    if args.graph:
        try:
            from torchview import draw_graph

            graph = draw_graph(net, input_data=[inputs], device=device, expand_nested=True)
            graph.visual_graph.render(outfile=folder / "graph.svg", cleanup=True)
        except (ImportError, RuntimeError) as error:
            needs = "torchview (uv sync --extra graph, or pip install torchview), Graphviz's dot"
            fail(USAGE, f"--graph needs {needs}: {error.__cause__ or error}")
        print(f"graph: {folder}/graph.svg")
