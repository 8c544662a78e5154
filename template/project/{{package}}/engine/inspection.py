"""A closer look at a run, by flags that cost nothing when they are off."""

from argparse import Namespace
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from .errors import USAGE, fail
from .graph import draw_network
from .loader import Loader
from .memory import memory_report
from .prefetch import move
from .processes import bare, is_main_process
from .profile import StepProfiler

MEMORY_STEP = 3  # gradients and optimizer state exist by then


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
        self._net, self._optimizer = bare(net), optimizer
        self._device = device
        self._profiler = None
        if args.profile and is_main_process():
            self._profiler = StepProfiler(args.profile, device, folder)
        self._steps_to_memory = MEMORY_STEP if args.memory and is_main_process() else 0
        torch.autograd.set_detect_anomaly(args.detect_anomaly)

    def step(self) -> None:
        """Look; call it while the gradients are there."""
        if self._profiler is not None:
            self._profiler.step()
        if self._steps_to_memory:
            self._steps_to_memory -= 1
            if not self._steps_to_memory:
                print(memory_report(self._net, self._optimizer, self._device))

    def close(self) -> None:
        """Finish what a short run left open."""
        if self._profiler is not None:
            self._profiler.close()
        if self._steps_to_memory:
            print(memory_report(self._net, self._optimizer, self._device))


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
        table = torchinfo.summary(
            bare(net),
            input_data=[inputs],
            depth=4,
            col_names=("output_size", "num_params", "trainable"),
            row_settings=("var_names",),
            verbose=0,
        )
        print(table)
    if args.graph:
        path = folder / "graph.svg"
        path.write_text(draw_network(bare(net), inputs), encoding="utf-8")
        print(f"graph: {path}")
