"""How a script ends: stopped at a step's end if asked to, with a code, and its status written."""

import json
import math
import multiprocessing
import os
import re
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

from .errors import (
    BUG,
    DEVICE,
    INTERRUPTED,
    MEMORY,
    NOT_WRITTEN,
    STOPPED,
    Ending,
    Output,
    warn,
    without_passwords,
)
from .options import without_secrets
from .processes import any_process, is_main_process, lost, share, world_size
from .runtime import started_by_hand
from .storage import write_text

NAME = "run_status.json"
# SIGUSR1 is what Slurm sends before the time is over, if asked to
SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


def launch(main: Callable[[], None]) -> NoReturn:
    """Run `main`; what a user can mend is one line, what is a bug keeps its traceback."""
    code, reason, gone = 0, None, False
    for name in ("stdout", "stderr"):
        setattr(sys, name, Output(getattr(sys, name), needs_reader=name == "stdout"))
    try:
        main()
        sys.stdout.flush()
    except Ending as ending:
        code, reason = ending.number, ending.reason
    except SystemExit as ending:  # argparse's, after --help
        code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
        raise
    except BaseException as error:
        code, reason = explain(error)
        if code == BUG:
            raise
        warn(reason)
        gone = lost(error) is not None
    finally:
        leave_nobody_behind()
        status.end(code, reason)
        for output in (sys.stdout, sys.stderr):
            if isinstance(output, Output):  # which a library may have replaced
                output.finish()
    if gone:  # leaving the group would wait for a GPU that waits for the process that is gone
        os._exit(code)
    raise SystemExit(code)


def explain(error: BaseException) -> tuple[int, str]:
    """Return the code for an error, and a line that says the way out."""
    if isinstance(error, KeyboardInterrupt):
        step = status.fields.get("saved_step")
        return INTERRUPTED, f"interrupted; saved up to step {step}" if step else "interrupted"
    if out_of_memory(error):
        asked = re.search(r"ried to allocate ([\d.]+ \w+)", str(error))
        more = f" ({asked[1]} more)" if asked else ""
        return MEMORY, f"out of memory{more}{what_needs_less(status.config)}"
    if line := lost(error):
        return DEVICE, line
    return BUG, f"{type(error).__name__}: {error}"


def out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # of the host, for a tensor
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def what_needs_less(config: dict[str, Any]) -> str:
    """Return what helps, first what changes nothing else."""
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
    """run_status.json: what a run is doing or why it ended, which torchrun hides.

    Silent until the run has a folder.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.unsaved: str | None = None
        self.fields: dict[str, Any] = {}
        self.config: dict[str, Any] = {}

    def begin(self, folder: Path, config: dict[str, Any], step: int) -> None:
        self.path, self.config, self.unsaved = folder.absolute() / NAME, config, None
        if is_main_process() and read_status(folder).get("state") == "running":
            print("the process before was killed: by hand, by a scheduler, or for lack of memory")
        self.fields = {"state": "running", "saved_step": step, "code": None, "reason": None}
        self.fields["resume"] = resume_command(folder)
        if is_main_process():
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
            raise Ending(NOT_WRITTEN, unsaved)

    def end(self, code: int, reason: str | None) -> None:
        """Note how it ended; the process that failed first knows why, the others only that."""
        if self.path is None or (code in (0, STOPPED) and not is_main_process()):
            return
        before = read_status(self.path.parent)
        if before.get("state") == "failed":
            return
        if not is_main_process():  # which alone knows
            self.fields["saved_step"] = before.get("saved_step", 0)
        state = {0: "finished", STOPPED: "stopped"}.get(code, "failed")
        self.fields |= {"state": state, "code": code, "reason": reason}
        self.write()
        self.path = None

    def write(self) -> None:
        if self.path is not None:
            with suppress(OSError):  # on a full disk; training is worth more than its status
                text = json.dumps(self.fields, indent=2) + "\n"
                write_text(self.path, without_passwords(text))


status = Status()


def read_status(folder: Path) -> dict[str, Any]:
    """Return what run_status.json says; nothing where it is missing or damaged."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def resume_command(folder: Path) -> str:
    """Return the command that was given, as one that continues."""
    start = ["python"]
    if world_size() > 1:
        start = ["torchrun", "--standalone", f"--nproc-per-node={world_size()}"]
    command = shlex.join([*start, *without_secrets(sys.argv)])
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
        if started_by_hand():  # a scheduler's or torchrun's may come twice
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
        raise Ending(STOPPED, self.reason or "another process was asked to stop")


@contextmanager
def signals_blocked() -> Generator[None]:
    """Let workers that start now never hear of a stop, nor this process of their death.

    A stop reaches the whole process group; the main process alone decides what to do about it. Of a
    dead worker, PyTorch would raise in the midst of whatever runs, a save among others.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    if multiprocessing.get_start_method() != "fork":
        resource_tracker.ensure_running()  # which lets some of them through again
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    on_death = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if signal.getsignal(signal.SIGCHLD) is not on_death:
            signal.signal(signal.SIGCHLD, on_death)
