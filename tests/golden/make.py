"""Write what a release leaves for later ones: a small run of each task, and its checkpoint format.

    python tests/golden/make.py 0.2.0

The release is that of releases.toml, or else the tree as it lies on disk, before it is released.
What is there stays as it is for ever: projects have such checkpoints.
"""

import argparse
import json
import shutil
import sys
import tempfile
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from packaging.version import Version  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.amp import GradScaler  # noqa: E402

from forked import PACKAGE, TASKS, Project  # noqa: E402
from golden import runs  # noqa: E402
from releases import NEXT, RELEASES, clone, copy  # noqa: E402

MODULES = ("checkpoint", "evaluate", "guard", "loader", "optimize")
ABOUT = {"model": {"features": 3}, "data": {"classes": ["a", "b"]}, "config": {"lr": 0.01}}
INPUTS = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


class Run:
    """A run as train.py has it, of a network with 26 weights."""

    def __init__(self, folder: Path, seed: int) -> None:
        part = {name: import_module(f"{PACKAGE}.engine.{name}") for name in MODULES}
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        groups = part["optimize"].decay_groups(self.net, 0.1)
        self.optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
        self.scheduler = part["optimize"].learning_rate(self.optimizer, "cosine", 0.1, 10)
        self.scaler = GradScaler("cpu", growth_interval=2)
        self.average = part["optimize"].Average(self.net, 0.9)
        self.best = part["evaluate"].Best("loss", higher=False, patience=3)
        data = torch.utils.data.TensorDataset(INPUTS, TARGETS)
        args = Namespace(max_skips=20, on_nonfinite="stop", check_finite=False)
        self.guard = part["guard"].Guard(
            self.net,
            self.optimizer,
            self.scaler,
            part["loader"].Loader(data, 2),
            torch.device("cpu"),
            args,
        )
        state = {"net": self.net, "average": self.average, "best": self.best, "guard": self.guard}
        state |= {"optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}
        self.checkpoints = part["checkpoint"].Checkpoints(folder, state, ABOUT, every=1, keep=2)

    def step(self, step: int) -> None:
        loss = nn.functional.mse_loss(self.net(INPUTS), TARGETS)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.guard.step(step, loss.detach(), norm)
        self.guard.numbers()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.scheduler.step()
        self.average.update(step)
        self.best.update({"loss": loss.item()})

    def state(self) -> Any:
        state = {name: part.state_dict() for name, part in self.checkpoints.state.items()}
        return json.loads(json.dumps(state, default=Tensor.tolist))


def make_checkpoint(path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), seed=1)
        for step in (1, 2, 3):
            run.step(step)
        run.checkpoints.save(3, {"loss": 0.5})
        (Path(name) / "checkpoints" / "step-3.pt").rename(path)
    values = {"saved": run.state()}
    run.step(4)
    values["after one step more"] = run.state()
    path.with_name(f"{path.stem}-values.json").write_text(json.dumps(values, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the golden files of a release.")
    parser.add_argument("release", type=Version, help="its version, as 0.2.0")
    release = str(parser.parse_args().release)
    if (HERE / release).exists():
        raise SystemExit(f"{HERE / release}: is there, and stays as it is")
    version = release if release in RELEASES else NEXT
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        template = clone(work / "template")
        for task in TASKS:
            folder = copy(template, work / task, version, task=task, **runs.ANSWERS)
            with Project(folder, task) as project:
                runs.make(work / "runs" / task, project, work / f"{task}-place")
        shutil.copytree(work / "runs", HERE / release)
        sys.path.insert(0, str(work / next(iter(TASKS))))
        path = HERE / f"format-{import_module(f'{PACKAGE}.engine.storage').FORMAT}.pt"
        if not path.exists():
            make_checkpoint(path)


if __name__ == "__main__":
    main()
