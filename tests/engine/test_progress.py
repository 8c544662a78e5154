import os
import sys
from argparse import Namespace
from collections.abc import Iterator

import pytest
import torch
from project.engine import writer as module
from project.engine.errors import open_output
from project.engine.guard import Guard
from project.engine.launch import StopRequest
from project.engine.loader import Loader, prefetch
from project.engine.optimize import (
    Average,
    clip_gradients,
    decay_groups,
    learning_rate,
    micro_batches,
)
from project.engine.runtime import Precision
from project.engine.writer import PLAIN_LINE_SECONDS, Progress, intervals
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

CPU = torch.device("cpu")
NUMBERS = {"train/loss": 1.5, "train/grad_norm": 0.25}


def schedule() -> LRScheduler:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    return learning_rate(optimizer, "constant", 0.0, 100)


class Clock:
    """Time that passes only when it is told to."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def measure(clock: Clock, loading: float, computing: float, log_every: int = 5) -> list[dict]:
    def load() -> Iterator[int]:
        for number in range(10):
            clock.now += loading
            yield number

    progress = Progress(10, log_every, CPU, 32, "samples")
    found = []
    for step, _ in progress(range(10), load()):
        clock.now += computing
        if progress.logs(step):
            found.append(progress.scalars(step, NUMBERS, schedule()))
    return found


@pytest.mark.parametrize(("loading", "computing"), [(9.0, 1.0), (1.0, 9.0), (0.0, 1.0), (1.0, 1.0)])
def test_compute_efficiency_is_the_share_of_time_not_spent_waiting_for_data(
    clock, loading, computing
):
    expected = computing / (loading + computing)
    for scalars in measure(clock, loading, computing):
        assert scalars["speed/compute_efficiency"] == pytest.approx(expected)
        assert scalars["speed/samples_per_second"] == pytest.approx(32 / (loading + computing))


def test_each_log_is_about_the_time_since_the_one_before(clock):
    progress, rates = Progress(10, 3, CPU, 32, "samples"), {}
    for step, _ in progress(range(10), iter(range(10))):
        clock.now += 2 if step <= 3 else 8
        if progress.logs(step):
            scalars = progress.scalars(step, NUMBERS, schedule())
            rates[step] = scalars["speed/samples_per_second"]
    assert rates == pytest.approx({3: 16, 6: 4, 9: 4, 10: 4})  # the last step is logged, too


def test_time_between_two_stretches_is_nobodys(clock):
    progress = Progress(4, 1, CPU, 32, "samples")
    for steps in (range(2), range(2, 4)):
        clock.now += 1000  # a test pass
        for step, _ in progress(steps, iter(range(2))):
            clock.now += 2
            assert progress.scalars(step, NUMBERS, schedule())["speed/samples_per_second"] == 16


def test_what_is_logged_is_what_was_given(clock):
    scalars = measure(clock, 1.0, 1.0)[0]
    assert scalars.items() >= NUMBERS.items()
    assert scalars["train/learning_rate"] == 1e-3


def test_steps_are_numbered_by_how_many_are_done():
    progress = Progress(7, 3, CPU, 1, "samples")
    steps = [step for step, _ in progress(range(4, 7), "abc")]
    assert steps == [5, 6, 7]
    assert [step for step in range(1, 8) if progress.logs(step)] == [3, 6, 7]


def test_without_a_terminal_there_are_plain_lines_now_and_then(clock, capsys):
    progress = Progress(100, 1, CPU, 32, "samples")
    for step, _ in progress(range(100), iter(range(100))):
        clock.now += PLAIN_LINE_SECONDS / 10
        progress.scalars(step, NUMBERS, schedule())
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert 8 <= len(lines) <= 10 and output.err == ""
    for part in ("step 11/100", "loss 1.5000", "lr 1.0e-03", "11 samples/s", "100% compute"):
        assert part in lines[0]
    assert "\r" not in output.out and "\x1b" not in output.out


def test_on_a_terminal_there_is_a_bar_that_leaves_no_trace(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress(4, 1, CPU, 32, "samples")
    for step, _ in progress(range(4), iter(range(4))):
        progress.scalars(step, NUMBERS, schedule())
        progress.bar.refresh()
    output = capsys.readouterr()
    assert output.out == ""
    assert "step 3/4" in output.err and "loss 1.5000" in output.err and "compute" in output.err


def test_without_a_stderr_there_is_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", open_output(None))
    progress = Progress(4, 1, CPU, 32, "samples")
    assert [step for step, _ in progress(range(4), iter(range(4)))] == [1, 2, 3, 4]
    assert progress.bar.disable


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal, which Windows has not")
def test_a_terminal_that_goes_away_ends_no_run(monkeypatch):
    ours, theirs = os.openpty()
    monkeypatch.setattr(sys, "stderr", os.fdopen(theirs, "w"))
    progress, steps = Progress(8, 1, CPU, 32, "samples"), []
    for step, _ in progress(range(8), iter(range(8))):
        steps.append(step)
        progress.bar.refresh()
        if step == 3:
            assert not progress.bar.disable
            os.close(ours)
    assert steps == list(range(1, 9))


def test_only_the_main_process_speaks(monkeypatch, clock, capsys):
    monkeypatch.setattr(module, "is_main_process", lambda: False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress(4, 1, CPU, 32, "samples")
    for step, _ in progress(range(4), iter(range(4))):
        clock.now += 2 * PLAIN_LINE_SECONDS
        progress.scalars(step, NUMBERS, schedule())
    progress.report(4, {"loss": 1.0})
    output = capsys.readouterr()
    assert output.out == output.err == ""


def test_the_line_of_a_test_pass_names_all_scores(capsys):
    Progress(10, 1, CPU, 1, "samples").report(4, {"loss": 0.5, "accuracy": 0.875})
    assert capsys.readouterr().out == "step 4/10: val loss 0.5000, accuracy 0.8750\n"


@pytest.mark.parametrize(
    ("first", "total", "every", "expected"),
    [
        (0, 10, 5, [range(0, 5), range(5, 10)]),
        (0, 7, 5, [range(0, 5), range(5, 7)]),
        (3, 10, 5, [range(3, 5), range(5, 10)]),
        (5, 10, 5, [range(5, 10)]),
        (10, 10, 5, []),
    ],
)
def test_intervals_end_at_multiples_wherever_they_begin(first, total, every, expected):
    assert list(intervals(first, total, every)) == expected


class HostReads(TorchDispatchMode):
    """Counts how often Python asks a tensor for its value: on a device, it waits for that."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Points(Dataset):
    in_memory = True

    def __len__(self) -> int:
        return 24

    def whole_batch(self, indices: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(indices), 4), indices[:, None].float()


class Criterion(nn.MSELoss):
    def count(self, targets: torch.Tensor) -> torch.Tensor:
        return targets.new_tensor(targets.numel())


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("bad", ["stop", "skip"])
def test_only_steps_that_log_wait_for_the_device(accumulate, bad):
    net, criterion, precision = nn.Linear(4, 1), Criterion(), Precision(CPU, "bf16")
    optimizer = torch.optim.AdamW(decay_groups(net, 0.1), lr=0.1, fused=True)
    scheduler = learning_rate(optimizer, "cosine", 0.1, 12)
    scaler, average, stop = precision.scaler(), Average(net, 0.9), StopRequest()
    loader = Loader(Points(), 4, shuffle=True, accumulate=accumulate)
    flags = {"on_nonfinite": bad, "max_skips": 2, "check_finite": False}
    guard = Guard(net, optimizer, scaler, loader, CPU, Namespace(**flags))
    guard.device = torch.device("meta")  # on the CPU it looks at once
    progress = Progress(12, 4, CPU, 4, "samples")
    reads = {}
    with HostReads() as host:
        batches = prefetch(loader.steps(range(12)), CPU)
        for step, batch in progress(range(12), batches):
            before = host.count
            step_loss = torch.zeros(())
            for inputs, targets, share in micro_batches(batch, net, criterion, (1, step)):
                with precision.autocast():
                    loss = criterion(net(inputs), targets) * share
                scaler.scale(loss).backward()
                step_loss += loss.detach()
            scaler.unscale_(optimizer)
            guard.step(step, step_loss, clip_gradients(net, 1.0, 0.0))
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            scheduler.step()
            average.update(step)
            if progress.logs(step):
                progress.scalars(step, guard.numbers(), scheduler)
            assert not stop.asked()
            reads[step] = host.count - before
    assert {step for step, count in reads.items() if count} == {1, 4, 8, 12}  # the first step, too
    assert host.count == sum(reads.values())  # and between the steps there is none
