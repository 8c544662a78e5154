"""The run's folder: found or made, locked, and described."""

import atexit
import json
import math
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
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

from .checkpoint import RUNS, newest_run, newest_whole, set_newer_aside
from .errors import MISMATCH, OUTPUT, Ending, Output, fail, warn
from .evaluate import Best
from .launch import read_status, status
from .options import changed, refuse_other_experiment, resolved, to_toml, without_secrets
from .processes import agree, is_main_process, share, world_size
from .runtime import Precision
from .storage import DamagedError, load_checkpoint, read_checkpoint, write_text


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
        where = "nothing is kept" if self.dry else f"written to {from_here(self.folder)}/"
        print(f"{parameters:,} parameters, {samples}, on {precision.device}; {where}")
        if odd := precision.odd_layers(net):
            print(f"slower than need be, as a size is no multiple of 8: {', '.join(odd)}")

    def conclude(self, best: Best) -> None:
        """Say what came out, and where it is."""
        status.fail_if_unsaved()
        if is_main_process() and best.score is not None:
            model = from_here(self.folder / "checkpoints" / "best.pt")
            kept = "a dry run, nothing is kept" if self.dry else f"the model is {model}"
            print(f"best {best.name} {best.score:.4f}; {kept}")


def from_here(path: Path) -> Path:
    """Return the path as it is typed here."""
    try:
        return path.relative_to(Path.cwd())
    except (OSError, ValueError):  # somebody deleted the working directory, or it is another one
        return path


def open_run(args: Namespace, device: torch.device, name: str) -> Run:
    """Continue the run that --resume means, or begin a new one in a folder of its own."""
    if isinstance(sys.stdout, Output):
        sys.stdout.needs_reader = False  # the training goes on although nobody reads
    config = resolved(args)
    agree({"--" + name.replace("_", "-"): value for name, value in config.items()})
    folder, path, held, finished = Path(), None, None, 0
    if is_main_process():
        with writing_to(args.run_dir or RUNS):
            folder, source = find_folder(args, name)
            if source:
                finished = finished_at(folder, source, config, args)
            if not finished and not args.dry_run:
                (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
                held = lock(folder)
                path = find_checkpoint(folder, source, args.resume)
    folder, path, finished = share((folder, path, finished))
    if finished:
        line = f"{folder}: already finished at step {finished}"
        if is_main_process():
            print(f"{line}; a larger --epochs or --max-steps goes on")
        raise Ending(0, line)
    checkpoint = load_checkpoint(path) if path else None
    step = checkpoint["step"] if checkpoint else 0
    if checkpoint:
        refuse_other_experiment(path, checkpoint["config"], config, args.defaults)
    if is_main_process():
        with writing_to(folder):
            set_newer_aside(folder, step if checkpoint else math.inf)
            write_text(folder / "config.toml", to_toml(config))
            surroundings = json.dumps(environment(device), indent=2)
            write_text(folder / "environment.json", surroundings + "\n")
    status.begin(folder, config, step)
    deadline = time.monotonic() + (args.time_limit or math.inf)
    return Run(folder.absolute(), config, checkpoint, deadline, args.dry_run, held)


@contextmanager
def writing_to(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        fail(OUTPUT, f"--run-dir {folder}: {error.strerror}; name a folder that can be written")


def find_folder(args: Namespace, name: str) -> tuple[Path, Path | None]:
    """Return the run's folder, and the run or checkpoint to continue, which may be elsewhere."""
    if args.dry_run:
        folder = Path(tempfile.mkdtemp(prefix="dry-run-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder, None
    if args.resume == "auto":
        source = args.run_dir or newest_run()
        if source is None:
            print(f"--resume auto: no run in {RUNS}/ has a checkpoint; a new one begins")
    else:
        source = Path(args.resume) if args.resume else None
        if source and not source.exists():
            fail(MISMATCH, f"--resume {source}: no such checkpoint or run")
    theirs = source
    if source and source.is_file():
        theirs = source.parent.parent if source.parent.name == "checkpoints" else None
    folder = args.run_dir or theirs
    if folder is None:
        new = RUNS / time.strftime(f"%Y%m%d-%H%M%S-{name}")
        others = len(list(RUNS.glob(f"{new.name}*")))  # of the same second
        return new.with_name(f"{new.name}-{others + 1}") if others else new, source
    # a run that failed before it saved anything begins again
    saved = read_status(folder).get("saved_step") or any((folder / "checkpoints").glob("*.pt*"))
    if folder != theirs and saved:
        fail(OUTPUT, f"--run-dir {folder}: holds a run; --resume auto continues it")
    return folder, source


def finished_at(folder: Path, source: Path, config: dict[str, Any], args: Namespace) -> int:
    """Return the last step of a run that is over, if no more is asked of it now; otherwise 0."""
    status = read_status(folder)
    last = folder / "checkpoints" / f"step-{status.get('saved_step')}.pt"
    if status.get("state") == "finished" and source in (folder, last):
        with suppress(OSError, DamagedError):
            if not changed(read_checkpoint(last)["config"], config, args.defaults):
                return status["saved_step"]
    return 0


def find_checkpoint(folder: Path, source: Path | None, resume: str | None) -> Path | None:
    """Return the newest whole checkpoint of a run, or the one that --resume names."""
    for draft in (folder / "checkpoints").glob("*.tmp"):  # of a process that was killed
        draft.unlink()
    if source is None or source.is_file():
        return source
    path = newest_whole(source)
    if path is None and resume != "auto":
        fail(MISMATCH, f"--resume {source}: no checkpoint in {source / 'checkpoints'}")
    return path


def lock(folder: Path) -> FileLock:
    """Return the folder's lock, which the system drops when this process ends, however it ends."""
    held = FileLock(folder / "run.lock", is_singleton=True, fallback_to_soft=False)
    try:
        held.acquire(blocking=False)
    except Timeout:
        fail(OUTPUT, f"{folder}: another process is at work in it; wait, or choose --run-dir")
    except OSError as error:
        warn(f"{folder}: cannot be locked ({error.strerror}); begin no second run in this folder")
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
    """Return what git says of the project, if it is installed and the project a repository."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    with suppress(OSError, subprocess.CalledProcessError):
        output = subprocess.check_output(command, stderr=subprocess.DEVNULL)  # noqa: S603
        return output.decode(errors="replace").strip()
    return None
