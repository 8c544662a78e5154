"""What a run measured: a line in the terminal, metrics.csv, and the loggers that were asked for."""

import atexit
import csv
import io
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from threading import RLock
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from .errors import BUG, OUTPUT, fail, warn, without_passwords
from .inspection import memory_in_use
from .processes import is_main_process
from .storage import write_text

T = TypeVar("T")
PLAIN_LINE_SECONDS = 30  # between two lines where there is no terminal for a bar
HEADER = "step,name,value\n"
ROW = re.compile(r"(\d+),.+,(?:nan|-?inf|[-+.e\d]+)\n")


def intervals(first: int, total: int, every: int) -> Iterator[range]:
    """Yield the steps up to each next multiple of `every`: a test pass follows each of them."""
    while first < total:
        last = min(total, (first // every + 1) * every)
        yield range(first, last)
        first = last


def on_terminal() -> bool:
    """Return whether somebody watches stderr, which may be closed."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError, OSError):
        return False


class Progress:
    """Counts steps and times them; the device is waited for on steps that log, and only there."""

    def __init__(
        self, total_steps: int, log_every: int, device: torch.device, per_step: int, unit: str
    ) -> None:
        self.total_steps = total_steps
        self.log_every = log_every
        self.device = device
        self.per_step = per_step  # samples or tokens in one step
        self.unit = unit
        # tqdm's own lock would start a process that a signal to the whole group ends with noise
        tqdm.set_lock(RLock())
        self.bar = tqdm(disable=True)
        self.next_line = time.monotonic() + PLAIN_LINE_SECONDS
        self.restart()

    def restart(self) -> None:
        """Begin a new stretch of time, up to the next log."""
        self.began = time.perf_counter()
        self.waited = 0.0
        self.steps = 0

    def __call__(self, steps: range, batches: Iterable[T]) -> Iterator[tuple[int, T]]:
        """Yield (step, batch), the step being the number of those done once this one is."""
        self.bar = tqdm(
            initial=steps.start,
            total=steps.stop,
            disable=not (is_main_process() and on_terminal()),
            leave=False,
            bar_format="step {n_fmt}/{total_fmt} {bar:6} {remaining}{postfix}",
        )
        self.restart()
        waiting = iter(batches)
        clock = time.perf_counter
        with self.bar:
            for step in steps:
                asked = clock()
                batch = next(waiting)
                self.waited += clock() - asked
                self.steps += 1
                yield step + 1, batch
                self.bar.update()

    def logs(self, step: int) -> bool:
        return step % self.log_every == 0 or step == self.total_steps

    def scalars(
        self, step: int, numbers: dict[str, float], scheduler: LRScheduler
    ) -> dict[str, float]:
        """Return what is worth a log line, once `numbers` have been waited for."""
        learning_rate = float(scheduler.get_last_lr()[0])
        seconds = time.perf_counter() - self.began
        rate = self.per_step * self.steps / seconds
        # on CUDA a lower bound, since the device may be busy while the loader is waited for
        efficiency = 1 - self.waited / seconds
        self.restart()
        text = f"loss {numbers['train/loss']:.4f}, lr {learning_rate:.1e}"
        text += f", {rate:,.0f} {self.unit}/s, {efficiency:.0%} compute"
        self.bar.set_postfix_str(text, refresh=False)
        if self.bar.disable and is_main_process() and time.monotonic() > self.next_line:
            print(f"step {step}/{self.total_steps}: {text}", flush=True)
            self.next_line = time.monotonic() + PLAIN_LINE_SECONDS
        return {
            **numbers,
            "train/learning_rate": learning_rate,
            f"speed/{self.unit}_per_second": rate,
            "speed/compute_efficiency": efficiency,
        } | {f"memory/{name}_mib": size for name, size in memory_in_use(self.device).items()}

    def report(self, step: int, scores: dict[str, float]) -> None:
        """Print the line of a test pass."""
        if is_main_process():
            text = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
            print(f"step {step}/{self.total_steps}: test {text}", flush=True)


class Writer:
    """Writes numbers to metrics.csv, and numbers, images and texts to each logger.

    A logger is a class like those in tensorboard.py, wandb.py and mlflow.py. A new run ends if one
    cannot be opened; one that fails later is named and left out, as a log is not worth a run. Only
    the main process writes.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *loggers: Callable[[Path, dict[str, Any], int], Any],
        resume_step: int = 0,
    ) -> None:
        self._path = folder / "metrics.csv"
        self._rows, self._problem = "", ""  # those not in the file yet, and why they are not
        self._step = resume_step
        self._loggers: dict[str, Any] = {}
        self._left_out: dict[str, int] = {}  # the first step whose values each does not have
        if not is_main_process():
            return
        try:
            keep_rows(self._path, resume_step)
        except OSError as error:
            fail(OUTPUT, f"{self._path}: {explain(error)}; choose another folder with --run-dir")
        for logger in loggers:
            name = logger.__name__
            try:
                self._loggers[name] = logger(folder, config, resume_step)
            except Exception as error:  # each library has its own
                if not resume_step:
                    fail(OUTPUT, f"{name}: {explain(error)}")
                self._leave_out(name, error, resume_step + 1)
        atexit.register(self.close)  # of a run that is stopped, too

    def add_scalars(self, values: dict[str, Any], step: int) -> None:
        """Write numbers, named like "train/loss"."""
        numbers = {name: plain_number(name, value) for name, value in values.items()}
        if is_main_process():
            rows = io.StringIO()
            csv.writer(rows, lineterminator="\n").writerows((step, *row) for row in numbers.items())
            self._rows += rows.getvalue()
            self._write_rows()
        self._tell(step, lambda logger: logger.add_scalars(numbers, step))

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        """Write a (3, H, W) uint8 image."""
        self._tell(step, lambda logger: logger.add_image(name, image, step))

    def add_text(self, name: str, text: str, step: int) -> None:
        """Write a text, shown as it stands."""
        self._tell(step, lambda logger: logger.add_text(name, text, step))

    def close(self) -> None:
        """Close the loggers, and say which values only metrics.csv has."""
        atexit.unregister(self.close)
        self._tell(self._step, lambda logger: logger.close())
        if self._rows:
            self._write_rows()
        if self._rows:
            warn(f"metrics.csv: {self._problem}; {self._rows.count(chr(10)):,} values are missing")
        if parts := [f"{name} from step {step} on" for name, step in self._left_out.items()]:
            warn(f"only metrics.csv has the values that are missing in {', '.join(parts)}")

    def _write_rows(self) -> None:
        try:
            append(self._path, self._rows.encode())
            self._rows = ""
        except OSError as error:
            if not self._problem:
                warn(f"metrics.csv: {explain(error)}; its rows wait in memory")
            self._problem = explain(error)

    def _tell(self, step: int, call: Callable[[Any], None]) -> None:
        self._step = step
        for name, logger in [*self._loggers.items()]:
            try:
                call(logger)
            except Exception as error:  # as above
                self._leave_out(name, error, step)

    def _leave_out(self, name: str, error: Exception, step: int) -> None:
        waiting = getattr(self._loggers.pop(name, None), "waiting", ())
        self._left_out[name] = min([step, *(value.step for value in waiting)])
        warn(f"{name}: {explain(error)}; left out from here on")


def plain_number(name: str, value: Any) -> float:
    """Return a number of any library, such as a 0-dim tensor, as Python's own."""
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several numbers
        pass
    fail(BUG, f"{name} is of type {type(value).__name__}: only a number can be logged under a name")


def keep_rows(path: Path, last_step: int) -> None:
    """Drop the rows after `last_step`, which a resumed run writes again, and damaged ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8", errors="replace") if last_step and path.exists() else ""
    rows = (ROW.fullmatch(row) for row in text.splitlines(keepends=True))
    kept = [row[0] for row in rows if row and int(row[1]) <= last_step]
    write_text(path, HEADER + "".join(kept))


def append(path: Path, rows: bytes) -> None:
    """Add all of the rows or, raising OSError, none; a file that is gone begins with the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        left = rows if size else HEADER.encode() + rows
        try:
            while left:  # a disk that fills up takes a part first
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise


def explain(error: Exception) -> str:
    """Return what went wrong as a part of one line."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    reason = reason or str(error) or type(error).__name__
    return shorten(without_passwords(reason), 200)  # which could not find half an address
