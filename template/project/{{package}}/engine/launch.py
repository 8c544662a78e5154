"""How a script ends: stopped at a step's end if asked to, with a code, and its status written."""

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
from .errors import Ending, Output, warn, without_passwords
from .options import without_secrets
from .processes import any_process, is_main_process, lost, share, world_size
from .storage import write_text

NAME = "run_status.json"
# SIGUSR1 is what Slurm sends before the time is over, if asked to
SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


def launch(main: Callable[[], None]) -> NoReturn:
    """Run `main`; what a user can mend is one line, what is a bug keeps its traceback."""
    code, reason, gone = 0, None, False
    out, err = Output(sys.stdout, needs_reader=True), Output(sys.stderr)
    vars(sys).update(stdout=out, stderr=err)
    try:
        main()
        out.flush()
    except Ending as ending:
        code, reason = ending.number, ending.reason
    except SystemExit as ending:  # argparse's, after --help
        code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
        raise
    except BaseException as error:
        code, reason = explain(error)
        if code == errors.BUG:
            raise
        warn(reason)
        gone = lost(error) is not None
    finally:
        leave_nobody_behind()
        status.end(code, reason)
        out.finish()
        err.finish()
    if gone:  # leaving the group would wait for a GPU that waits for the process that is gone
        os._exit(code)
    raise SystemExit(code)


def explain(error: BaseException) -> tuple[int, str]:
    """Return the code for an error, and a line that says the way out."""
    if isinstance(error, KeyboardInterrupt):
        step = status.fields.get("saved_step")
        return errors.INTERRUPTED, "interrupted" + (f"; saved up to step {step}" if step else "")
    memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    if memory or "can't allocate memory" in str(error):  # of the host, for a tensor
        return errors.MEMORY, f"out of memory{what_needs_less(status.config)}"
    if line := lost(error):
        return errors.DEVICE, line
    return errors.BUG, without_passwords(f"{type(error).__name__}: {error}")


def what_needs_less(config: dict[str, Any]) -> str:
    """Return what needs less memory, beginning with what changes nothing else."""
    if not config:
        return "; try a smaller --batch-size"
    ways = [f"--accumulate {2 * config['accumulate']} is the same training in less"]
    if config.get("gradient_checkpointing") is False:
        ways.append("so is --gradient-checkpointing, slower")
    if config["amp"] == "none":
        ways.append("--amp bf16 takes half for activations")
    return f" with --batch-size {config['batch_size']}: {'; '.join(ways)}"


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
        self.path: Path | None = None  # until the run has a folder, nothing is written
        self.unsaved: str | None = None
        self.fields: dict[str, Any] = {}
        self.config: dict[str, Any] = {}

    def begin(self, folder: Path, config: dict[str, Any], step: int) -> None:
        self.path, self.config, self.unsaved = folder.absolute() / NAME, config, None
        self.fields = {"state": "running", "saved_step": step, "code": None, "reason": None}
        self.fields["resume"] = resume_command(folder)
        if is_main_process():
            if read_status(folder).get("state") == "running":
                print("the last process was killed: by hand, by a scheduler, or for lack of memory")
            self.write()

    def saved(self, step: int) -> None:
        self.fields["saved_step"], self.unsaved = step, None
        self.write()

    def not_saved(self, step: int, reason: str) -> None:
        self.unsaved = f"step {step} is not saved: {reason}; the checkpoints before it are whole"
        warn(self.unsaved)

    def fail_if_unsaved(self) -> None:
        """Call it on all processes where no later step will be saved; they end alike."""
        if unsaved := share(self.unsaved):
            if is_main_process():
                warn(unsaved)
            raise Ending(errors.NOT_WRITTEN, unsaved)

    def end(self, code: int, reason: str | None) -> None:
        """Note how it ended, unless another process failed first, which alone knows why."""
        if self.path is None or (code in (0, errors.STOPPED) and not is_main_process()):
            return
        before = read_status(self.path.parent)
        if before.get("state") == "failed":
            return
        if not is_main_process():  # only that one knows what is saved
            self.fields["saved_step"] = before.get("saved_step", 0)
        state = {0: "finished", errors.STOPPED: "stopped"}.get(code, "failed")
        self.fields |= {"state": state, "code": code, "reason": reason}
        self.write()
        self.path = None

    def write(self) -> None:
        if self.path is not None:
            with suppress(OSError):  # on a full disk; training is worth more than its status
                write_text(self.path, json.dumps(self.fields, indent=2) + "\n")


status = Status()


def read_status(folder: Path) -> dict[str, Any]:
    """Return what run_status.json says; nothing where it is missing or damaged."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def resume_command(folder: Path) -> str:
    """Return the command that was given, as one that continues."""
    start = f"torchrun --standalone --nproc-per-node={world_size()}"
    command = f"{start if world_size() > 1 else 'python'} {shlex.join(without_secrets(sys.argv))}"
    for pair in (["--run-dir", str(folder)], ["--resume", "auto"]):
        text = " " + shlex.join(pair)
        command = command.replace(text, "") + text
    return command


class StopRequest:
    """Remembers a signal, and that --time-limit is over; the run looks at it between two steps."""

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline  # of time.monotonic(), which no change of the clock moves
        self.reason = ""
        for name in SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self.receive)

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
    """Start worker processes within: they ignore the signals that ask this process to stop.

    A signal reaches the whole process group, and the main process alone decides what to do.
    PyTorch's handler for a worker's death goes, because it would raise anywhere, even in a save.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    if multiprocessing.get_start_method() != "fork":
        resource_tracker.ensure_running()  # which unblocks some of them
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    on_death = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGCHLD, on_death)
