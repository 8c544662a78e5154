"""What a run measured: a line in the terminal, metrics.csv, and the loggers that were asked for."""

import atexit
import csv
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from threading import RLock
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from .errors import OUTPUT, fail, warn, without_passwords
from .inspection import memory_in_use
from .processes import is_main_process
from .storage import write_text

T = TypeVar("T")
Logger = Callable[[Path, dict[str, Any], int], Any]  # a class such as those of tensorboard.py
BAR = "step {n_fmt}/{total_fmt} {bar:6} {remaining}{postfix}"
PLAIN_LINE_SECONDS = 30  # between two lines where there is no terminal for a bar
HEADER = "step,name,value\n"
ROW = re.compile(r"(\d+),.+,(?:nan|-?inf|[-+.e\d]+)\n")


def intervals(first: int, total: int, every: int) -> Iterator[range]:
    """Yield the steps up to each next multiple of `every`: a validation follows each of them."""
    while first < total:
        last = min(total, (first // every + 1) * every)
        yield range(first, last)
        first = last


class Progress:
    """Counts steps and times them; the device is waited for on steps that log, and only there."""

    def __init__(
        self, total_steps: int, log_every: int, device: torch.device, per_step: int, unit: str
    ) -> None:
        self.total_steps, self.log_every, self.device = total_steps, log_every, device
        self.per_step, self.unit = per_step, unit  # how many samples or tokens a step has
        # tqdm's own lock starts a process, which prints a traceback when Ctrl-C reaches it, too
        tqdm.set_lock(RLock())
        self.bar = tqdm(disable=True)
        self.next_line = time.monotonic() + PLAIN_LINE_SECONDS
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begin a new stretch of time, up to the next log."""
        self.began, self.waited, self.step = time.perf_counter(), 0.0, step

    def __call__(self, steps: range, batches: Iterable[T]) -> Iterator[tuple[int, T]]:
        """Yield (step, batch), the step being the number of those done once this one is."""
        off = None if is_main_process() else True  # None: where stderr is no terminal
        first, total = steps.start, steps.stop
        self.bar = tqdm(initial=first, total=total, disable=off, leave=False, bar_format=BAR)
        self.restart(first)
        waiting = iter(batches)
        with self.bar:
            for step in steps:
                asked = time.perf_counter()
                batch = next(waiting)
                self.waited += time.perf_counter() - asked
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
        rate = self.per_step * (step - self.step) / seconds
        # on CUDA a lower bound, since the device may be busy while the loader is waited for
        efficiency = 1 - self.waited / seconds
        self.restart(step)
        text = f"loss {numbers['train/loss']:.4f}, lr {learning_rate:.1e}"
        text += f", {rate:,.0f} {self.unit}/s, {efficiency:.0%} compute"
        self.bar.set_postfix_str(text, refresh=False)
        if self.bar.disable and is_main_process() and time.monotonic() > self.next_line:
            print(f"step {step}/{self.total_steps}: {text}", flush=True)
            self.next_line = time.monotonic() + PLAIN_LINE_SECONDS
        numbers = {**numbers, "train/learning_rate": learning_rate}
        numbers |= {f"speed/{self.unit}_per_second": rate, "speed/compute_efficiency": efficiency}
        return numbers | {f"memory/{k}_mib": size for k, size in memory_in_use(self.device).items()}

    def report(self, step: int, scores: dict[str, Any]) -> None:
        """Print the line of a validation pass."""
        if is_main_process():
            text = ", ".join(f"{k} {v:.4f}" for k, v in scores.items() if isinstance(v, float))
            print(f"step {step}/{self.total_steps}: val {text}", flush=True)


class Writer:
    """Writes numbers to metrics.csv, and numbers, images and texts to each logger.

    A new run ends if a logger cannot be opened; one that fails later is named and left out, because
    a log is not worth a run. Only the main process writes.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], *loggers: Logger, resume_step: int = 0
    ) -> None:
        self._path = folder / "metrics.csv"
        self._rows = b""  # what is not in the file yet
        self._step = resume_step
        self._loggers: dict[str, Any] = {}
        self._left_out: dict[str, int] = {}  # the first step whose values each does not have
        if not is_main_process():
            return
        text = ""
        if self._path.exists():
            text = self._path.read_text(encoding="utf-8", errors="replace")
        # without damaged rows, and those after this step: they are written again
        rows = (ROW.fullmatch(row) for row in text.splitlines(keepends=True))
        kept = [row[0] for row in rows if row and int(row[1]) <= resume_step]
        write_text(self._path, HEADER + "".join(kept))
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
        """Write numbers, of any library, named like "train/loss"."""
        numbers = {name: float(value) for name, value in values.items()}
        if not is_main_process():
            return
        waited, rows = self._rows, io.StringIO()
        csv.writer(rows, lineterminator="\n").writerows((step, *row) for row in numbers.items())
        self._rows += rows.getvalue().encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                self._rows = self._rows if file.tell() else HEADER.encode() + self._rows
                while self._rows:  # a disk that fills up takes a part, and the rest when it can
                    self._rows = self._rows[file.write(self._rows) :]
        except OSError as error:
            if not waited:
                warn(f"metrics.csv: {explain(error)}; its rows wait in memory")
        self._tell(step, lambda logger: logger.add_scalars(numbers, step))

    def add_scores(
        self, split: str, scores: dict[str, Any], step: int, classes: Sequence[str] = ()
    ) -> None:
        """Write the scores of a pass; of classes as a table, a matrix as a picture, too."""
        named = {f"{split}/{name}": score for name, score in scores.items()}
        self.add_scalars({k: score for k, score in named.items() if isinstance(score, float)}, step)
        for name, values in named.items():
            if isinstance(values, Tensor):
                self.add_text(name, as_table(values, classes), step)
            if isinstance(values, Tensor) and values.ndim == 2:
                self.add_image(name, as_picture(values), step)

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        """Write a (3, H, W) uint8 image."""
        self._tell(step, lambda logger: logger.add_image(name, image, step))

    def add_text(self, name: str, text: str, step: int) -> None:
        self._tell(step, lambda logger: logger.add_text(name, text, step))

    def close(self) -> None:
        """Close the loggers, and say which values only metrics.csv has."""
        atexit.unregister(self.close)
        self._tell(self._step, lambda logger: logger.close())
        if missing := self._rows.count(b"\n"):
            warn(f"metrics.csv: {missing:,} values are missing")
        for name, step in self._left_out.items():
            warn(f"only metrics.csv has the values that are missing in {name} from step {step} on")

    def _tell(self, step: int, call: Callable[[Any], None]) -> None:
        self._step = step
        for name, logger in [*self._loggers.items()]:
            try:
                call(logger)
            except Exception as error:  # as above
                self._leave_out(name, error, step)

    def _leave_out(self, name: str, error: Exception, step: int) -> None:
        unsent = getattr(self._loggers.pop(name, None), "waiting", ())
        self._left_out[name] = min([step, *(value.step for value in unsent)])
        warn(f"{name}: {explain(error)}; left out from here on")


def as_table(values: Tensor, classes: Sequence[str]) -> str:
    """Return a line for each class: its name, or its number, and what was computed for it."""
    names = [*map(str, classes if len(classes) == len(values) else range(len(values)))]
    width, form = max(map(len, names)), "10.4g" if (values % 1).any() else "10.0f"
    cells = (" ".join(f"{v:{form}}" for v in row) for row in values[:, None].flatten(1).tolist())
    return "\n".join(f"{name:{width}} {row}" for name, row in zip(names, cells, strict=True))


def as_picture(matrix: Tensor) -> Tensor:
    """(N, M) numbers -> (3, H, W) bytes, squares whose brightness is their share of the row."""
    shares = matrix.double() / matrix.double().sum(dim=1, keepdim=True).clamp(min=1e-12)
    side = max(1, 320 // max(matrix.shape))
    grey = (255 * shares.clamp(0, 1)).to(torch.uint8)
    return grey.repeat_interleave(side, 0).repeat_interleave(side, 1).expand(3, -1, -1)


def explain(error: Exception) -> str:
    """Return what went wrong as a part of one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shorten(without_passwords(reason), 200)  # in this order: half a password is not found
