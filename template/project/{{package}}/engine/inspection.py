"""A closer look at a run, by flags that cost nothing when they are off."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from .debug import FiniteCheck, stop_if_not_finite
from .errors import USAGE, fail
from .graph import draw_network
from .memory import memory_report
from .processes import bare, is_main_process
from .profile import StepProfiler

MEMORY_STEP = 3  # gradients and optimizer state exist by then


class Inspection:
    """--profile, --memory, --check-finite and --detect-anomaly; `step` once per optimizer step."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: Optimizer,
        scaler: GradScaler,
        device: torch.device,
        folder: Path,
        args: Namespace,
    ) -> None:
        self._net, self._optimizer = bare(net), optimizer
        self._device, self._folder = device, folder
        self._check = self._profiler = None
        if args.check_finite:
            # a scaler meets infinite gradients as a matter of course, and skips their steps
            self._check = FiniteCheck(self._net, gradients=not scaler.is_enabled())
        if args.profile and is_main_process():
            self._profiler = StepProfiler(args.profile, device, folder)
        self._steps_to_memory = MEMORY_STEP if args.memory and is_main_process() else 0
        self._off = not (self._check or self._profiler or self._steps_to_memory)
        torch.autograd.set_detect_anomaly(args.detect_anomaly)

    def step(self, step: int, loss: Tensor) -> None:
        """Look; call it after backward and before the gradients are unscaled or clipped."""
        if self._off:
            return
        if self._check is not None:
            stop_if_not_finite(self._check, step, loss, self._folder)
        if self._profiler is not None:
            self._profiler.step()
        if self._steps_to_memory:
            self._steps_to_memory -= 1
            if not self._steps_to_memory:
                print(memory_report(self._net, self._optimizer, self._device))

    def close(self) -> None:
        """Finish what a short run left open."""
        if self._check is not None:
            self._check.close()
        if self._profiler is not None:
            self._profiler.close()
        if self._steps_to_memory:
            print(memory_report(self._net, self._optimizer, self._device))


def describe(
    net: nn.Module, inputs: Any, folder: Path, *, summary: bool = False, graph: bool = False
) -> None:
    """Print a table of the layers, draw them into graph.svg; `inputs` is any small batch."""
    if not is_main_process():
        return
    if summary:
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
    if graph:
        path = folder / "graph.svg"
        path.write_text(draw_network(bare(net), inputs), encoding="utf-8")
        print(f"graph: {path}")
