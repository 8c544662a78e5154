"""The run's folder: found, made, and described."""

import atexit
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .checkpoint import RUNS, Best, load_checkpoint, newest_checkpoint
from .errors import MISMATCH, OUTPUT, fail
from .options import FREE, resolved, to_toml
from .processes import any_process, is_main_process, share, world_size
from .runtime import Precision


@dataclass
class Run:
    folder: Path
    config: dict[str, Any]
    checkpoint: dict[str, Any] | None  # what it continues from
    dry: bool = False

    def announce(self, net: nn.Module, precision: Precision, **sizes: int) -> None:
        """Say what is about to happen."""
        if not is_main_process():
            return
        parameters = sum(p.numel() for p in net.parameters())
        samples = ", ".join(f"{size:,} samples to {name}" for name, size in sizes.items())
        where = f"on {precision.device}; written to {self.folder}/"
        print(f"{parameters:,} parameters, {samples}, {where}")
        if odd := precision.odd_layers(net):
            print(f"slower than need be, as a size is no multiple of 8: {', '.join(odd)}")

    def conclude(self, best: Best) -> None:
        """Say what came out, and where it is."""
        if not is_main_process() or best.score is None:
            return
        path = self.folder / "checkpoints" / "best.pt"
        kept = "a dry run, nothing is kept" if self.dry else f"the model is {path}"
        print(f"best {best.name} {best.score:.4f}; {kept}")


def open_run(args: Namespace, device: torch.device, name: str) -> Run:
    """Continue the run that --resume means, or begin a new one in a folder of its own."""
    config = resolved(args)
    path = share(find_checkpoint(args.resume, args.run_dir))
    checkpoint = load_checkpoint(path) if path else None
    if checkpoint:
        refuse_other_experiment(path, checkpoint["config"], config)
    folder = share(pick_folder(args, name, path))
    any_process(False)  # waits: a process that looks later would find the folder taken
    if is_main_process():
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
            (folder / "environment.json").write_text(json.dumps(environment(device), indent=2))
        except OSError as error:
            fail(OUTPUT, f"--run-dir {folder}: {error.strerror}; name a folder that can be written")
    return Run(folder, config, checkpoint, args.dry_run)


def find_checkpoint(resume: str | None, run_dir: Path | None) -> Path | None:
    """Return the checkpoint to continue from, if there is one."""
    if resume is None:
        return None
    if resume == "auto":
        if run_dir is None:
            return newest_checkpoint("last.pt")
        last = run_dir / "checkpoints" / "last.pt"
        return last if last.exists() else None
    path = Path(resume)
    return path / "checkpoints" / "last.pt" if path.is_dir() else path


def pick_folder(args: Namespace, name: str, checkpoint: Path | None) -> Path:
    if args.dry_run:
        folder = Path(tempfile.mkdtemp(prefix="dry-run-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder
    if args.run_dir is None:
        if checkpoint is not None:
            return checkpoint.parent.parent
        name = time.strftime(f"%Y%m%d-%H%M%S-{name}")
        others = len(list(RUNS.glob(f"{name}*")))  # of the same second
        return RUNS / (f"{name}-{others + 1}" if others else name)
    continues = args.resume == "auto" or (checkpoint and args.run_dir in checkpoint.parents)
    if not continues and (args.run_dir / "config.toml").exists():
        fail(OUTPUT, f"--run-dir {args.run_dir}: holds a run; --resume auto continues it")
    return args.run_dir


def refuse_other_experiment(path: Path | None, before: dict[str, Any], now: dict[str, Any]) -> None:
    """A resumed run must be the run that was stopped; only what is FREE may change."""
    for name in sorted((before.keys() | now.keys()) - FREE):
        if before.get(name) != now.get(name):
            flag = "--" + name.replace("_", "-")
            fail(
                MISMATCH,
                f"{flag} {now.get(name)}: {path} was trained with {before.get(name)}; "
                "keep it, or begin a new run with --init-from",
            )


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a reader of old results asks first: which code, on what."""
    return {
        "command": sys.argv,
        "git_commit": git("rev-parse", "HEAD"),
        "git_changes": git("status", "--porcelain"),
        "python": sys.version,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else str(device),
        "processes": world_size(),
        "packages": {package.name: package.version for package in distributions()},
    }


def git(*arguments: str) -> str | None:
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None  # not installed, or not a repository
    return done.stdout.strip()
