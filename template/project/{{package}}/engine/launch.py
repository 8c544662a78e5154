"""How a script ends: stopped at a step's end if asked to, with a code, and its status written."""

import errno
import json
import math
import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from . import errors
from .errors import Ending, open_output, warn, without_passwords
from .processes import any_process, is_main_process, lost, share, world_size
from .storage import write_text

NAME = "run_status.json"
# SIGUSR1 is what Slurm sends before the time is over, if asked to; Windows has none
SIGNALS = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", signal.SIGTERM)}


def launch(main: Callable[[], None]) -> NoReturn:
    """Run `main`; what a user can mend is one line, what is a bug keeps its traceback."""
    code, reason = 0, None
    sys.stdout, sys.stderr = open_output(sys.stdout), open_output(sys.stderr)
    try:
        main()
        sys.stdout.flush()
    except SystemExit as ending:  # of `fail`, or of argparse after --help
        code, reason = ending.code, getattr(ending, "reason", None)
    except BaseException as error:
        code, reason = explain(error)
        if code == errors.BUG:
            raise
        warn(reason)
    finally:
        leave_nobody_behind()
        status.end(code or 0, reason)
    raise SystemExit(code)


def explain(error: BaseException) -> tuple[int, str]:
    """Return the code for an error, and a line that says the way out."""
    if isinstance(error, KeyboardInterrupt):
        return errors.INTERRUPTED, "interrupted"
    memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    if memory or "can't allocate memory" in str(error):  # of the host, for a tensor
        less = "try a smaller --batch-size"
        if run := status.config:
            pieces = f"--batch-size {run['batch_size']} with --accumulate {2 * run['accumulate']}"
            less = f"{pieces} is the same training in less"
        return errors.MEMORY, f"out of memory; {less}"
    if line := lost(error):
        return errors.DEVICE, line
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return errors.OUTPUT, "the disk is full; make room, or choose another --run-dir"
    return errors.BUG, without_passwords(f"{type(error).__name__}: {error}")


def leave_nobody_behind() -> None:
    """Kill workers that still run: a stuck one would keep this process from ending."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise in this process
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


class Status:
    """run_status.json: what a run is doing or why it ended, which torchrun hides."""

    def __init__(self) -> None:
        self.folder: Path | None = None  # until the run has one, nothing is written
        self.config: dict[str, Any] = {}
        self.unsaved: str | None = None

    def begin(self, folder: Path, config: dict[str, Any], step: int) -> None:
        self.folder, self.config, self.unsaved = folder.absolute(), config, None
        if is_main_process():
            if read_status(folder).get("state") == "running":
                print("the last process was killed: by hand, by a scheduler, or for lack of memory")
            again = resume_command(folder)
            self.write(state="running", saved_step=step, code=None, reason=None, resume=again)

    def saved(self, step: int) -> None:
        self.unsaved = None
        self.write(saved_step=step)

    def not_saved(self, step: int, reason: str) -> None:
        self.unsaved = f"step {step} is not saved: {reason}; the checkpoints before it are whole"
        warn(self.unsaved)

    def fail_if_unsaved(self) -> None:
        """Call it on all processes where no later step will be saved; they end alike."""
        if unsaved := share(self.unsaved):
            raise Ending(errors.NOT_WRITTEN, unsaved)

    def end(self, code: Any, reason: str | None) -> None:
        """Note how it ended, unless another process failed first, which alone knows why."""
        state = {0: "finished", errors.STOPPED: "stopped"}.get(code, "failed")
        if self.folder and (state == "failed" or is_main_process()):
            if read_status(self.folder).get("state") != "failed":
                self.write(state=state, code=code, reason=reason)
            self.folder = None

    def write(self, **changes: Any) -> None:
        if self.folder:
            content = json.dumps(read_status(self.folder) | changes, indent=2)
            with suppress(OSError):  # on a full disk; training is worth more than its status
                write_text(self.folder / NAME, content + "\n")


status = Status()


def read_status(folder: Path) -> dict[str, Any]:
    """Return what run_status.json says; nothing where it is missing or damaged."""
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((folder / NAME).read_text(encoding="utf-8")))
    return {}


def resume_command(folder: Path) -> str:
    """Return the command that was given, as one that continues; the last of two flags counts."""
    several = ["torchrun", "--standalone", f"--nproc-per-node={world_size()}"]
    again = ["--run-dir", str(folder), "--resume", "auto"]
    given = sys.argv[:-4] if sys.argv[-4:] == again else sys.argv
    start = several if world_size() > 1 else ["python"]
    return without_passwords(shlex.join([*start, *given, *again]))


class StopRequest:
    """Remembers a signal, and that --time-limit is over; the run looks at it between two steps."""

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline  # of time.monotonic(), which no change of the clock moves
        self.reason = ""
        for number in SIGNALS:
            signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        # a signal of torchrun or Slurm may come twice
        if not {"TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"} & os.environ.keys():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one ends at once

    def asked(self) -> bool:
        """Return whether it is time to stop, on whichever process: they stop together."""
        if time.monotonic() > self.deadline:
            self.reason = self.reason or "--time-limit"
        return any_process(bool(self.reason))

    def leave_if_asked(self, step: int) -> None:
        """Exit with the code on which a scheduler may run the same command again."""
        if not self.asked():
            return
        status.fail_if_unsaved()
        if is_main_process():
            print(f"stopped and saved after step {step}; --resume auto continues", flush=True)
        raise Ending(errors.STOPPED, self.reason or "another process was asked to stop")


@contextmanager
def signals_blocked() -> Generator[None]:
    """Start worker processes within: they ignore what asks the whole process group to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if multiprocessing.get_start_method() != "fork":
        resource_tracker.ensure_running()  # which unblocks some of them
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    on_death = signal.getsignal(signal.SIGCHLD)  # PyTorch's would raise anywhere, even in a save
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGCHLD, on_death)
