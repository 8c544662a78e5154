"""How far, how fast, and how much of the time went into computing."""

import sys
import time
from collections.abc import Iterable, Iterator
from threading import RLock
from typing import TypeVar

import torch
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from .memory import memory_in_use
from .processes import is_main_process

T = TypeVar("T")
PLAIN_LINE_SECONDS = 30  # between two lines where there is no terminal for a bar


def intervals(first: int, total: int, every: int) -> Iterator[range]:
    """Yield the steps up to each next multiple of `every`: a test pass follows each of them."""
    while first < total:
        last = min(total, (first // every + 1) * every)
        yield range(first, last)
        first = last


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
        terminal = sys.stderr.isatty() and is_main_process()
        self.bar = tqdm(
            initial=steps.start,
            total=steps.stop,
            disable=not terminal,
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
