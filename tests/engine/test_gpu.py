"""What a GPU may show, and as much of it on the CPU, so that it stays right where there is none.

Whichever `project` Python finds is tested: tests/gpu.sh runs these with each task's.
"""

import os
import runpy
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import project
import pytest
import torch
from project.engine.errors import DIVERGED, STOPPED
from project.engine.guard import Guard
from project.engine.loader import Batch, Loader, prefetch
from project.engine.optimize import clip_gradients, learning_rate, micro_batches
from project.engine.runtime import Precision
from project.engine.storage import load_checkpoint
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.utils.data import TensorDataset

ROOT = Path(project.__file__).parents[1]
SMALL = runpy.run_path(str(ROOT / "tests" / "small.py"))
NO_GPU = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="this PyTorch sees no CUDA device"
)
GPU = (pytest.mark.gpu, NO_GPU)
BOTH = ["cpu", pytest.param("cuda", marks=GPU)]
SECONDS = 120  # for one call of a script
# of every run: where two differ in it, they differ in the order of their sums
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def call(folder: Path, script: str, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / script), *flags]
    return subprocess.run(
        command, cwd=folder, env=ONE_THREAD, capture_output=True, text=True, timeout=SECONDS
    )


def run(folder: Path, script: str, *flags: str) -> str:
    """Run a script of the project in a folder; return what it prints."""
    done = call(folder, script, *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(folder: Path, device: str, *flags: str) -> dict:
    """Train for four steps; return the last checkpoint."""
    if not any(folder.iterdir()):
        SMALL["make_data"](folder)
    sizes = ("--batch-size", "8", "--max-steps", "4", "--eval-every", "4", "--workers", "0")
    run(folder, "train.py", *SMALL["FLAGS"], "--device", device, *sizes, "--run-dir", "run", *flags)
    return load_checkpoint(folder / "run" / "checkpoints" / "step-4.pt")


@pytest.mark.parametrize(
    ("device", "amp"),
    [("cpu", "none"), *(pytest.param("cuda", amp, marks=GPU) for amp in ("bf16", "fp16", "none"))],
)
def test_every_precision_trains_and_the_scripts_use_it(device, amp, tmp_path):
    flags = ("--amp", amp, "--ema", "0.5", "--accumulate", "2", "--memory")
    flags += ("--profile", "2") if device == "cuda" else ()  # half a minute on a CPU
    state = train(tmp_path, device, *flags, "--workers", "1")["state"]
    assert all(tensor.isfinite().all() for tensor in state["net"].values())
    assert bool(state["scaler"]) == (amp == "fp16")
    assert "loss" in run(tmp_path, "evaluate.py", "run", "--device", device)
    # the newest run, which predict.py looks for, is one in runs/
    (tmp_path / "runs").mkdir()
    (tmp_path / "run").rename(tmp_path / "runs" / "run")
    assert SMALL["PRINTED"] in run(tmp_path, "predict.py", *SMALL["INPUT"], "--device", device)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=GPU)])  # minutes on a CPU
def test_a_compiled_network_trains_and_keeps_its_names(device, tmp_path):
    compiled = train(tmp_path, device, "--compile")
    (tmp_path / "run").rename(tmp_path / "compiled")
    assert train(tmp_path, device)["state"]["net"].keys() == compiled["state"]["net"].keys()


@pytest.mark.parametrize("device", BOTH)
def test_a_stopped_and_resumed_run_ends_with_the_same_bits(device, tmp_path):
    SMALL["make_data"](tmp_path)
    steps = 120 if device == "cuda" else 12  # which are as many as a signal may need to arrive
    flags = (*SMALL["FLAGS"], "--device", device, "--deterministic", "--batch-size", "8")
    flags += ("--max-steps", str(steps), "--save-every", "2", "--workers", "0")
    run(tmp_path, "train.py", *flags, "--run-dir", "whole")
    parts = tmp_path / "parts" / "checkpoints"
    command = [sys.executable, str(ROOT / "train.py"), *flags, "--run-dir", "parts"]
    with subprocess.Popen(command, cwd=tmp_path, env=ONE_THREAD) as process:
        end = time.monotonic() + SECONDS
        while not list(parts.glob("step-*.pt")) and process.poll() is None:
            time.sleep(0.01)
            if time.monotonic() > end:
                process.kill()
        process.terminate()
    assert process.returncode == STOPPED
    run(tmp_path, "train.py", *flags, "--run-dir", "parts", "--resume", "auto")
    whole, resumed = (
        load_checkpoint(folder / f"step-{steps}.pt")["state"]["net"]
        for folder in (tmp_path / "whole" / "checkpoints", parts)
    )
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


@pytest.mark.parametrize(
    ("device", "amp"),
    [("cpu", "bf16"), *(pytest.param("cuda", amp, marks=GPU) for amp in ("bf16", "fp16"))],
)
def test_a_run_that_diverges_says_where(device, amp, tmp_path):
    SMALL["make_data"](tmp_path)
    flags = (*SMALL["FLAGS"], "--device", device, "--amp", amp, "--lr", "1e30", "--max-skips", "3")
    if "--warmup" in run(tmp_path, "train.py", "--help"):  # the GAN has none
        flags += ("--warmup", "0")
    done = call(tmp_path, "train.py", *flags, "--batch-size", "8", "--run-dir", "run")
    assert done.returncode == DIVERGED, done.stderr
    assert "not finite" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("device", BOTH)
def test_prefetched_batches_arrive_whole(device):
    batches = [{"values": torch.full((1 << 16,), float(i)), "i": (i,)} for i in range(20)]
    for batch in batches if device == "cuda" else ():
        batch["values"] = batch["values"].pin_memory()
    for batch in prefetch(batches, torch.device(device)):
        assert batch["values"].device.type == device
        assert (batch["values"] == batch["i"][0]).all()


def make_guard(net: nn.Module, optimizer: Optimizer, scaler: GradScaler, device: str) -> Guard:
    args = Namespace(on_nonfinite="skip", max_skips=20, check_finite=False)
    loader = Loader(TensorDataset(torch.zeros(4, 1)), 2)
    return Guard(net, optimizer, scaler, loader, torch.device(device), args)


@contextmanager
def no_waits(device: str, step: int) -> Generator[None]:
    """Make it an error to wait for the GPU, but in the first step."""
    if device == "cuda" and step:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


class SquaredError(nn.MSELoss):
    def count(self, targets: torch.Tensor) -> torch.Tensor:
        return torch.full((), targets.numel(), device=targets.device)


@pytest.mark.parametrize("amp", ["bf16", "none"])
@pytest.mark.parametrize("device", BOTH)
def test_a_step_that_does_not_log_never_waits_for_the_device(device, amp):
    precision = Precision(torch.device(device), amp)
    net = nn.Linear(8, 4).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    scheduler = learning_rate(optimizer, "cosine", 0.1, 10)
    pairs = [(torch.randn(6, 8, device=device), torch.zeros(6, 4, device=device))]
    criterion = SquaredError()
    guard = make_guard(net, optimizer, precision.scaler(), device)
    for step in range(3):
        with no_waits(device, step):
            total = torch.zeros((), device=device)
            batch = Batch(pairs * 2, 0, 1.0)
            for inputs, targets, share in micro_batches(batch, net, criterion, (1, step)):
                with precision.autocast():
                    loss = criterion(net(inputs), targets) * share
                loss.backward()
                total += loss.detach()
            guard.step(step, total, clip_gradients(net, 1.0, 0.0))
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    assert guard.numbers()["train/skipped_steps"] == 0


@pytest.mark.parametrize("device", BOTH)
def test_a_step_that_is_not_finite_is_left_out_without_a_wait(device):
    net = nn.Linear(8, 4).to(device)
    reference = deepcopy(net)
    ours, theirs = (torch.optim.AdamW(part.parameters(), fused=True) for part in (net, reference))
    guard = make_guard(net, ours, GradScaler(device, enabled=False), device)
    inputs = torch.randn(5, 6, 8, device=device)
    inputs[2, 0, 0] = torch.nan
    for step, batch in enumerate(inputs):
        with no_waits(device, step):
            loss = net(batch).square().mean()
            loss.backward()
            guard.step(step, loss.detach(), clip_gradients(net, 1.0, 0.0))
            ours.step()
            ours.zero_grad()
    for step, batch in enumerate(inputs):
        if step != 2:
            reference(batch).square().mean().backward()
            clip_gradients(reference, 1.0, 0.0)
            theirs.step()
            theirs.zero_grad()
    assert torch.equal(net.weight, reference.weight) and torch.equal(net.bias, reference.bias)
    assert guard.numbers()["train/skipped_steps"] == 1
