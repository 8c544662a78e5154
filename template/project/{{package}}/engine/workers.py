"""Processes that load batches: deaf to signals, and missed when they die or hang."""

import atexit
import multiprocessing
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pickle import PicklingError
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from .errors import DATA, MEMORY, USAGE, fail
from .samples import FULL, Key, Keys, shortened

HANG_SECONDS = 600  # without the batch that is due
LOOK_SECONDS = 5  # between two looks at whether the workers live
# what reaches the whole process group; the main process alone decides what to do about it
SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")
DEATHS = {
    "SIGKILL": "a worker was killed, most often as memory ran out; fewer --workers need less of it",
    "SIGBUS": f"a worker died of a bus error: {FULL}",
}


class Workers:
    """A DataLoader's processes, kept from one pass to the next."""

    def __init__(self, samples: Dataset, count: int, pin_memory: bool) -> None:
        self.count = count
        self.keys = Keys()
        self.processes: set[Any] = set()
        self.batches: Iterator[Any] = iter(())
        self.loader = DataLoader(
            samples,
            batch_size=None,
            sampler=self.keys,
            num_workers=count,
            collate_fn=as_is,
            pin_memory=pin_memory,
            persistent_workers=True,
            worker_init_fn=prepare_worker,
            timeout=LOOK_SECONDS,
            generator=torch.Generator(),  # its own, or it would draw from the global one
        )

    def fetch(self, keys: Iterator[Key]) -> Iterator[Any]:
        """Yield a batch for each key, in order."""
        self.keys.present = iter(())
        while self.keys.due:  # of a pass that was left early
            self.wait()
        self.keys.present = keys
        self.start()
        while self.keys.due:
            yield self.wait()

    def start(self) -> None:
        """Set the workers to the present keys; the first time, start them."""
        before = set(multiprocessing.active_children())
        try:
            with signals_held():
                self.batches = iter(self.loader)
        except (AttributeError, TypeError, PicklingError) as error:
            line = f"--workers {self.count}: the data set cannot be sent to a process ({error})"
            fail(USAGE, f"{line}; --workers 0 needs no other process")
        except RuntimeError as error:
            self.judge(error, LOOK_SECONDS)
        if not self.processes:
            self.processes = set(multiprocessing.active_children()) - before
            atexit.register(kill, self.processes)

    def wait(self) -> Any:
        """Return the batch that is due first."""
        began = time.monotonic()
        while True:
            try:
                batch = next(self.batches)
            except (RuntimeError, OSError, EOFError) as error:
                waited = time.monotonic() - began
                self.judge(error, waited, patience=HANG_SECONDS)
            else:
                self.keys.due.popleft()
                return batch

    def judge(self, error: Exception, waited: float, patience: float = 0) -> None:
        """End the run if a worker is dead, or silent for too long; raise a data set's own error."""
        if not isinstance(error, RuntimeError):  # a worker's socket broke, so it may be dying
            for process in self.processes:
                process.join(timeout=0.5)
        codes = [process.exitcode for process in self.processes]
        dead = next((code for code in codes if code is not None), 0)
        silent = str(error).startswith("DataLoader timed out")
        if not dead and not silent:
            raise error
        if not dead and waited < patience:
            return
        kill(self.processes)  # those that wait for a dead one would be waited for in turn
        name = signal.Signals(-dead).name if dead < 0 else f"exit code {dead}"
        if name in DEATHS:
            fail(MEMORY, DEATHS[name])
        what = f"a worker died ({name})" if dead else f"no answer from a worker for {waited:.0f} s"
        due = f" while {shortened(self.keys.due[0])} are due" if self.keys.due else ""
        fail(DATA, f"{what}{due}; --workers 0 shows where")


@contextmanager
def signals_held() -> Generator[None]:
    """Let processes that start now never hear of SIGNALS, nor this one of their death.

    PyTorch would raise in the midst of whatever the main process does, a save among others.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    numbers = {getattr(signal, name) for name in SIGNALS}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    if multiprocessing.get_start_method() != "fork":
        resource_tracker.ensure_running()  # it lets some through again, so not among the workers
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    on_death = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, on_death or signal.SIG_DFL)


def kill(processes: set[Any]) -> None:
    """End workers for good; SIGTERM, which Python's own exit sends and waits on, is held back."""
    for process in processes:
        process.kill()


def prepare_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it cannot be held back
    for name in ("SIGBUS", "SIGSEGV"):  # the main process says it
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def as_is(batch: Any) -> Any:
    """Collate nothing: the samples come as batches."""
    return batch
