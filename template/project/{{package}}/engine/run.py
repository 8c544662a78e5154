"""The run's folder: found or made, locked, and described."""

import atexit
import csv
import errno
import hashlib
import io
import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.utils.data import ConcatDataset, Subset

from .checkpoint import RUNS, newest_run, newest_whole, set_newer_aside
from .errors import MISMATCH, OUTPUT, Ending, fail, needs_reader, warn, without_passwords
from .evaluate import Best
from .launch import read_status, status
from .options import FREE, RISING, resolved, to_toml
from .processes import agree, is_main_process, share, world_size
from .runtime import Precision
from .storage import load_checkpoint, write_text


@dataclass
class Run:
    folder: Path  # absolute: the run may change its working directory
    shown: Path | None  # the same, as it is typed; none where nothing is kept
    config: dict[str, Any]
    checkpoint: dict[str, Any] | None = None  # what it continues from
    deadline: float = math.inf  # of --time-limit, by time.monotonic()
    held: FileLock | None = None  # the folder's lock
    sets: dict[str, Any] = field(default_factory=dict)  # number and fingerprint of their samples

    def take_data(self, **sets: Any) -> None:
        """Record number and fingerprint of each set's samples; samples.csv says which is where.

        A run that goes on with other data would be another experiment: it is refused.
        """
        self.sets = {name: about_set(dataset) for name, dataset in sets.items()}
        if self.checkpoint and (changed := changes(self.checkpoint, sets)):
            way_out = "bring the data back, or begin a new run with --init-from"
            fail(MISMATCH, f"{self.checkpoint['path']}: {changed}; {way_out}")
        if is_main_process():
            rows = ((name, *one.rsplit(" ", 1)) for name in sets for one in identities(sets[name]))
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows((("set", "sample", "content"), *rows))
            write_text(self.folder / "samples.csv", text.getvalue())

    def announce(self, net: nn.Module, precision: Precision, classes: Sequence = ()) -> None:
        """Say what is about to happen."""
        if not is_main_process():
            return
        size = sum(p.numel() for p in net.parameters())
        sets = ", ".join(f"{name} {about['samples']:,}" for name, about in self.sets.items())
        kept = f"written to {self.shown}/" if self.shown else "nothing is kept"
        print(f"{size:,} parameters on {precision.device}{precision.note}; samples: {sets}; {kept}")
        if classes:
            print(f"{len(classes)} classes: {shorten(', '.join(map(str, classes)), 200)}")
        if odd := precision.odd_layers(net):
            print(f"slower than need be, as a size is no multiple of 8: {', '.join(odd)}")

    def conclude(self, best: Best) -> None:
        """Say what came out, and where it is."""
        status.fail_if_unsaved()
        if is_main_process() and best.score is not None and self.shown:
            model = self.shown / "checkpoints" / "best.pt"
            print(f"best {best.name} {best.score:.4f}; the model is {model}")


def open_run(args: Namespace, device: torch.device, name: str) -> Run:
    """Continue the run that --resume means, or begin a new one in a folder of its own."""
    needs_reader.clear()  # the training goes on although nobody reads what it prints
    config = resolved(args)
    agree({f"--{name.replace('_', '-')}": value for name, value in config.items()})
    folder, path, held, before = Path(), None, None, {}
    if is_main_process():
        folder, source = find_folder(args, name)
        held = lock(folder)
        for draft in (folder / "checkpoints").glob("*.tmp"):  # of a process that was killed
            draft.unlink()
        path = newest_whole(source) if source and source.is_dir() else source
        if source and path is None and args.resume != "auto":
            fail(MISMATCH, f"--resume {source}: no checkpoint in {source / 'checkpoints'}")
        before = read_status(folder)
    folder, path, before = share((folder, path, before))
    checkpoint, step = None, 0
    if path:
        checkpoint = load_checkpoint(path)
        step = checkpoint["step"]
        finished = before.get("state") == "finished" and before.get("saved_step") == step
        if not trains_longer(checkpoint, config, args.defaults) and finished:
            if is_main_process():
                print(f"{folder}: already finished at step {step}; raise --epochs or --max-steps")
            raise Ending(0, "already finished")
    if is_main_process():
        set_newer_aside(folder, step if path else math.inf)
        write_text(folder / "config.toml", to_toml(config))
        write_text(folder / "environment.json", json.dumps(environment(device), indent=2) + "\n")
    status.begin(folder, config, step)
    deadline = time.monotonic() + (args.time_limit or math.inf)
    shown = None if args.dry_run else folder
    return Run(folder.absolute(), shown, config, checkpoint, deadline, held)


def identities(dataset: Any) -> list[str]:
    """Return a line for each sample that a data set can tell from others: name, space, content."""
    if isinstance(dataset, Subset):
        names = identities(dataset.dataset)
        each = len(names) > max(dataset.indices, default=0)  # not one for several samples
        return [names[index] for index in dataset.indices] if each else names
    if isinstance(dataset, ConcatDataset):
        return [name for part in dataset.datasets for name in identities(part)]
    return [*getattr(dataset, "identities", ())]


def about_set(dataset: Any) -> dict[str, Any]:
    names = "\n".join(identities(dataset)).encode(errors="surrogateescape")
    fingerprint = hashlib.blake2b(names, digest_size=8).hexdigest() if names else ""
    return {"samples": len(dataset), "fingerprint": fingerprint}


def changes(checkpoint: dict[str, Any], sets: dict[str, Any]) -> str:
    """Return how these sets differ from those that a checkpoint was trained with."""
    for name, dataset in sets.items():
        then, now = checkpoint.get("sets", {}).get(name), about_set(dataset)
        if then in (None, now):
            continue
        after, before = dict(one.rsplit(" ", 1) for one in identities(dataset)), {}
        path = Path(checkpoint["path"]).parent.parent / "samples.csv"
        with suppress(OSError), path.open(encoding="utf-8", newline="") as file:
            before = {row[1]: row[2] for row in csv.reader(file) if row[0] == name}
        kinds = {
            "added": [one for one in after if one not in before],
            "removed": [one for one in before if one not in after],
            "edited": [one for one in after if before.get(one, after[one]) != after[one]],
        }
        told = (f"{len(n)} {kind}: {shorten(', '.join(n), 80)}" for kind, n in kinds.items() if n)
        how = "; ".join(told) if before and after else ""
        numbers = f"{then['samples']:,} samples then, {now['samples']:,} now"
        return f"the {name} set has changed ({numbers}{how and '; '}{how})"
    return ""


def find_folder(args: Namespace, name: str) -> tuple[Path, Path | None]:
    """Return the run's folder, and the run or checkpoint to continue, which may be elsewhere."""
    if args.dry_run:
        folder = Path(tempfile.mkdtemp(prefix="dry-run-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder, None
    source = Path(args.resume) if args.resume else None
    if args.resume == "auto":
        source = args.run_dir or newest_run()
    elif source and not source.exists():
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


def lock(folder: Path) -> FileLock:
    """Make the folder and lock it; the system drops the lock with this process, however it ends."""
    held = FileLock(folder / "run.lock", is_singleton=True, fallback_to_soft=False)
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        held.acquire(blocking=False)
    except Timeout:
        fail(OUTPUT, f"{folder}: another process is at work in it; wait, or choose --run-dir")
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            fail(OUTPUT, f"--run-dir {folder}: {error.strerror}; name one that can be written")
        warn(f"{folder}: cannot be locked ({error.strerror}); begin no second run in this folder")
    return held


def trains_longer(saved: dict[str, Any], now: dict[str, Any], defaults: dict[str, Any]) -> bool:
    """Return whether a resumed run has more to do than it had; refuse another experiment."""
    path, before, longer = saved["path"], saved["config"], False
    for name in sorted({*before, *now} - FREE):
        # a flag that the project did not have then may have its default
        then, value = before.get(name, defaults.get(name)), now.get(name)
        if then != value:
            longer = name in RISING and None not in (then, value) and value > then
            if not longer:
                line = f"--{name.replace('_', '-')} {value}: {path} was trained with {then}"
                fail(MISMATCH, f"{line}; keep it, or begin a new run with --init-from {path}")
    return longer


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a reader of old results asks first: which code, on what."""
    tracked = git("ls-files", "--error-unmatch", __file__) is not None
    return {
        "command": [without_passwords(word) for word in sys.argv],
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
