"""What the rendered loop costs over a bare one: python benchmarks/loop.py [--repeats 5]

Renders both tasks, and trains each of three workloads twice: with the project's own train.py, and
with the bare loop below, which has no bar, no timers, no log and no checkpoint. Each run is a fresh
process; the two take turns. Both train the same network on the same batches, and the weights at the
end must be equal, or the comparison would mean nothing.

The cost of a step is the difference between a long and a short run, divided by the difference in
steps; what is left of the short run is start-up.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]

# a user's own model file, the size of a first exercise: there the loop itself weighs most
MLP = """
from torch import nn

from .losses.cross_entropy import CrossEntropy
from .ops.accuracy import Accuracy
from .ops.class_weights import class_weights, sample_weights

__all__ = ["Accuracy", "CrossEntropy", "ResNet", "class_weights", "sample_weights"]


class ResNet(nn.Module):
    def __init__(self, num_classes, channels=3):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3072, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
            nn.Linear(128, num_classes),
        )

    def forward(self, images):
        return self.layers(images.float() / 128 - 1)
"""

BARE = """
import sys

import torch
from torch.utils.data import default_collate

from bench.data import *
from bench.engine.loader import Samples
from bench.engine.optimize import decay_groups, learning_rate
from bench.engine.order import shuffled
from bench.engine.runtime import mix, open_device, seed_everything
from bench.{model} import *

steps, weights = int(sys.argv[1]), sys.argv[2]
open_device("cpu")  # which keeps freed memory
seed_everything(1)
{data}
samples = Samples(train_set, 1, default_collate)
batch_size, per_epoch = {batch_size}, -(-len(train_set) // {batch_size})
criterion = CrossEntropy()
optimizer = torch.optim.AdamW(decay_groups(net, {decay}), lr={lr}, betas=(0.9, 0.95), fused=True)
scheduler = learning_rate(optimizer, "cosine", 0.05, steps)
net.train()
for step in range(steps):
    epoch, place = divmod(step, per_epoch)
    indices = shuffled(len(train_set), 1, epoch)[place * batch_size : (place + 1) * batch_size]
    inputs, targets = samples[epoch, indices]
    loss = criterion(net(inputs), targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    scheduler.step()
torch.save(net.state_dict(), weights)
"""

IMAGES = """
change = v2.Compose([fit(32), *augment("light", 32, flip=False)])
train_set = Images(*draw_images(DRAWN["train"], 32, mix(0, 0)), change)
net = ResNet(len(SHAPES))
"""
TEXT = """
train_set, _ = open_text([], open_tokenizer("bytes"), 128)
net = GPT(vocabulary=256, context=128)
"""


class Workload(NamedTuple):
    task: str
    model_file: str | None
    short: int
    long: int
    bare: dict[str, str]


WORKLOADS = {
    "mlp": Workload(
        "image_classification", MLP, 100, 3100,
        {"model": "resnet", "data": IMAGES, "batch_size": "64", "decay": "0.05", "lr": "4e-3"},
    ),
    "convolutions": Workload(
        "image_classification", None, 20, 220,
        {"model": "resnet", "data": IMAGES + "net = net.to(memory_format=torch.channels_last)\n",
         "batch_size": "64", "decay": "0.05", "lr": "4e-3"},
    ),
    "transformer": Workload(
        "language_modeling", None, 10, 70,
        {"model": "gpt", "data": TEXT, "batch_size": "32", "decay": "0.1", "lr": "2e-3"},
    ),
}  # fmt: skip


class Cost(NamedTuple):
    wall: float
    cpu: float
    memory: float  # MiB


def render(workload: Workload, project: Path) -> None:
    snapshot = project.parent / "template"
    if not snapshot.exists():
        ignore = shutil.ignore_patterns(".git", ".venv", "__pycache__")
        shutil.copytree(REPOSITORY, snapshot, ignore=ignore)
    data = [f"--data={pair}" for pair in (f"task={workload.task}", "package=bench")]
    subprocess.run(
        ["copier", "copy", "--quiet", "--trust", "--defaults", *data, snapshot, project],
        check=True,
        env=os.environ | {"COPIER_PYTORCH_WITHOUT_GIT": "1"},
    )
    model = workload.bare["model"]
    if workload.model_file:
        (project / "bench" / f"{model}.py").write_text(workload.model_file)
    (project / "bare.py").write_text(BARE.format(**workload.bare))


def run(command: list[str], folder: Path, threads: int) -> Cost:
    """Run to the end; return what the kernel says it took."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def ours(steps: int, folder: Path) -> list[str]:
    shutil.rmtree(folder / "run", ignore_errors=True)
    never, often = "1000000", "1000"
    flags = ["--amp", "none", "--device", "cpu", "--eval-every", never, "--save-every", often]
    return ["train.py", "--max-steps", str(steps), "--run-dir", "run", *flags]


def bare(steps: int, folder: Path) -> list[str]:
    return ["bare.py", str(steps), "bare.pt"]


def largest_difference(folder: Path) -> float:
    import torch

    steps = (folder / "run" / "checkpoints").glob("step-*.pt")
    last = max(steps, key=lambda path: int(path.stem.removeprefix("step-")))
    rendered = torch.load(last, weights_only=True)
    mine, other = rendered["state"]["net"], torch.load(folder / "bare.pt", weights_only=True)
    return max((mine[name] - other[name]).abs().max().item() for name in mine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs of each workload")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--threads", type=int, default=1, help="more are noisier on a busy machine")
    args = parser.parse_args()
    print("rendered, bare; ratios are medians over the pairs")
    for name in args.workloads:
        workload = WORKLOADS[name]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "project"
            render(workload, folder)
            for command in (ours, bare):  # compiles the .pyc files, fills the disk cache
                run(command(workload.short, folder), folder, args.threads)
            rows = {ours: [], bare: []}
            for _ in range(args.repeats):
                for command in (ours, bare):
                    short = run(command(workload.short, folder), folder, args.threads)
                    long = run(command(workload.long, folder), folder, args.threads)
                    rows[command].append((short, long))
            report(name, workload, rows[ours], rows[bare], largest_difference(folder))


def report(name: str, workload: Workload, ours: list, bare: list, difference: float) -> None:
    steps = workload.long - workload.short

    def per_step(pair: tuple[Cost, Cost], what: str) -> float:
        return 1000 * (getattr(pair[1], what) - getattr(pair[0], what)) / steps

    print(f"\n{name}: {steps} steps; largest difference between the weights {difference:g}")
    for what, unit in (("cpu", "ms CPU per step"), ("wall", "ms wall per step")):
        mine, other = ([per_step(p, what) for p in side] for side in (ours, bare))
        line(unit, mine, other)
    starts = [
        [pair[0].cpu - workload.short * per_step(pair, "cpu") / 1000 for pair in side]
        for side in (ours, bare)
    ]
    line("s CPU to start and end", *starts)
    line("MiB at most", *([pair[1].memory for pair in side] for side in (ours, bare)))


def line(unit: str, mine: list[float], other: list[float]) -> None:
    ratios = [a / b for a, b in zip(mine, other, strict=True)]
    values = f"{statistics.median(mine):10.3f} {statistics.median(other):10.3f}"
    spread = f"({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"  {values}  {unit:22} ratio {statistics.median(ratios):.3f} {spread}", flush=True)


if __name__ == "__main__":
    main()
