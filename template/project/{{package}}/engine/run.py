"""The run's folder: found or made, locked, and described."""

import atexit
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout
from torch import nn

from .checkpoint import RUNS, newest_run, newest_whole, set_newer_aside
from .errors import MISMATCH, OUTPUT, Ending, fail, outlive_readers, warn, without_passwords
from .evaluate import Best
from .launch import read_status, status
from .options import changed, refuse_other_experiment, resolved, to_toml, without_secrets
from .processes import agree, is_main_process, share, world_size
from .runtime import Precision
from .storage import DamagedError, load_checkpoint, read_checkpoint, write_text


class Place(NamedTuple):
    folder: Path = Path()
    checkpoint: Path | None = None  # that the run continues from
    finished: int = 0  # the run's last step, if it has nothing left to do


@dataclass
class Run:
    folder: Path  # absolute: the run may change its working directory
    config: dict[str, Any]
    checkpoint: dict[str, Any] | None  # what it continues from
    deadline: float = math.inf  # of --time-limit, by time.monotonic()
    dry: bool = False
    held: FileLock | None = None  # the folder's lock

    def announce(self, net: nn.Module, precision: Precision, **sizes: int) -> None:
        """Say what is about to happen."""
        if not is_main_process():
            return
        parameters = sum(p.numel() for p in net.parameters())
        samples = ", ".join(f"{size:,} samples to {name}" for name, size in sizes.items())
        where = "kept nowhere" if self.dry else f"written to {from_here(self.folder)}/"
        print(f"{parameters:,} parameters, {samples}, on {precision.device}; {where}")
        if odd := precision.odd_layers(net):
            print(f"slower than need be, as a size is no multiple of 8: {', '.join(odd)}")

    def conclude(self, best: Best) -> None:
        """Say what came out, and where it is."""
        status.fail_if_unsaved()
        if not is_main_process():
            return
        if best.score is not None:
            path = from_here(self.folder / "checkpoints" / "best.pt")
            kept = f"the model is {path}" if path.exists() else f"{path} was deleted"
            kept = "a dry run, nothing is kept" if self.dry else kept
            print(f"best {best.name} {best.score:.4f}; {kept}")


def from_here(path: Path) -> Path:
    """Return the path as it is typed here."""
    try:
        return path.relative_to(Path.cwd())
    except (OSError, ValueError):  # somebody deleted the working directory, or it is another one
        return path


def open_run(args: Namespace, device: torch.device, name: str) -> Run:
    """Continue the run that --resume means, or begin a new one in a folder of its own."""
    outlive_readers()
    config = resolved(args)
    agree({"--" + name.replace("_", "-"): value for name, value in config.items()})
    place, held = Place(), None
    if is_main_process():
        with writing_to(args.run_dir or RUNS):
            place, held = find_place(args, config, name)
    folder, path, finished = share(place)
    if finished:
        line = f"{folder}: already finished at step {finished}"
        if is_main_process():
            print(f"{line}; a larger --epochs or --max-steps goes on")
        raise Ending(0, line)
    checkpoint = load_checkpoint(path) if path else None
    if checkpoint:
        refuse_other_experiment(path, checkpoint["config"], config, args.defaults)
    if is_main_process():
        surroundings = json.dumps(environment(device), indent=2) + "\n"
        with writing_to(folder):
            set_newer_aside(folder, checkpoint["step"] if checkpoint else math.inf)
            write_text(folder / "config.toml", to_toml(config))
            write_text(folder / "environment.json", without_passwords(surroundings))
    status.begin(folder, config, checkpoint["step"] if checkpoint else 0)
    deadline = time.monotonic() + (args.time_limit or math.inf)
    return Run(folder.absolute(), config, checkpoint, deadline, args.dry_run, held)


@contextmanager
def writing_to(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        fail(OUTPUT, f"--run-dir {folder}: {error.strerror}; name a folder that can be written")


def find_place(args: Namespace, config: dict[str, Any], name: str) -> tuple[Place, FileLock | None]:
    """Return the run's folder with the checkpoint to continue from, and the folder's lock."""
    if args.dry_run:
        folder = Path(tempfile.mkdtemp(prefix="dry-run-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Place(folder), None
    source = find_source(args)
    inside = source and source.is_file() and source.parent.name == "checkpoints"
    theirs = source.parent.parent if source and inside else source
    folder = args.run_dir or (theirs if theirs and theirs.is_dir() else new_folder(name))
    if folder != theirs and holds_run(folder):
        fail(OUTPUT, f"--run-dir {folder}: holds a run; --resume auto continues it")
    if source and folder == theirs and (step := finished_at(folder, source, config, args.defaults)):
        return Place(folder, finished=step), None
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    held = lock(folder)
    for draft in (folder / "checkpoints").glob("*.tmp"):  # of a process that was killed
        draft.unlink()
    if source is None or source.is_file():
        return Place(folder, source), held
    path = newest_whole(source, mend=source == folder)
    if path is None and args.resume != "auto":
        fail(MISMATCH, f"--resume {source}: no checkpoint in {source / 'checkpoints'}")
    return Place(folder, path), held


def holds_run(folder: Path) -> bool:
    """Return whether a run has saved anything here; one that failed before that begins again."""
    saved = read_status(folder).get("saved_step")
    return bool(saved) or any((folder / "checkpoints").glob("*.pt*"))


def finished_at(
    folder: Path, source: Path, config: dict[str, Any], defaults: dict[str, Any]
) -> int:
    """Return the last step of a run that is over, if no more is asked of it now; otherwise 0."""
    status = read_status(folder)
    path = folder / "checkpoints" / f"step-{status.get('saved_step')}.pt"
    if status.get("state") != "finished" or source not in (folder, path):
        return 0
    try:
        before = read_checkpoint(path)["config"]
    except (OSError, DamagedError):
        return 0
    return 0 if changed(before, config, defaults) else status["saved_step"]


def find_source(args: Namespace) -> Path | None:
    """Return the run folder or the checkpoint that --resume means."""
    if args.resume is None:
        return None
    if args.resume == "auto":
        source = args.run_dir or newest_run()
        if source is None:
            print(f"--resume auto: no run in {RUNS}/ has a checkpoint; a new one begins")
        return source
    source = Path(args.resume)
    if not source.exists():
        fail(MISMATCH, f"--resume {source}: no such checkpoint or run")
    return source


def new_folder(name: str) -> Path:
    name = time.strftime(f"%Y%m%d-%H%M%S-{name}")
    others = len(list(RUNS.glob(f"{name}*")))  # of the same second
    return RUNS / (f"{name}-{others + 1}" if others else name)


def lock(folder: Path) -> FileLock:
    """Return the folder's lock, which the system drops when this process ends, however it ends."""
    path = folder / "run.lock"
    held = FileLock(path, is_singleton=True, fallback_to_soft=False)
    try:
        held.acquire(blocking=False)
        path.write_text(f"process {os.getpid()}\n", encoding="utf-8")
    except Timeout:
        holder = "another process"
        with suppress(OSError):  # Windows lets nobody read what is locked
            holder = path.read_text(encoding="utf-8").strip() or holder
        fail(OUTPUT, f"{folder}: {holder} is at work in it; wait for it, or choose --run-dir")
    except OSError as error:
        if not held.is_locked:
            warn(f"{path}: cannot be locked ({error.strerror}); begin no second run in this folder")
    return held


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a reader of old results asks first: which code, on what."""
    tracked = git("ls-files", "--error-unmatch", __file__) is not None
    return {
        "command": without_secrets(sys.argv),
        "git_commit": git("rev-parse", "HEAD") if tracked else None,
        "git_changes": git("status", "--porcelain") if tracked else None,
        "python": sys.version,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else str(device),
        "processes": world_size(),
        "packages": {package.name: package.version for package in distributions()},
    }


def git(*arguments: str) -> str | None:
    """Return what git says of the project, not of the folder that the run was started in."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    how = {"capture_output": True, "check": True, "encoding": "utf-8", "errors": "replace"}
    try:
        return subprocess.run(command, **how).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None  # not installed, or not a repository
