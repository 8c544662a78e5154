import json

import torch
from project.engine.profile import WARMUP, StepProfiler
from torch import nn


def profile_steps(folder, steps: int, run: int) -> None:
    net = nn.Linear(8, 8)
    profiler = StepProfiler(steps, torch.device("cpu"), folder)
    for _ in range(run):
        net(torch.ones(2, 8)).sum().backward()
        profiler.step()
    profiler.close()


def test_as_many_steps_as_asked_are_in_the_trace(tmp_path, capsys):
    profile_steps(tmp_path, 2, run=WARMUP + 4)
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    names = [event.get("name", "") for event in trace["traceEvents"]]
    assert len({name for name in names if name.startswith("ProfilerStep#")}) == 2
    assert "aten::linear" in (tmp_path / "profile" / "table.txt").read_text()
    assert "table.txt" in capsys.readouterr().out


def test_a_run_that_ends_early_keeps_what_there_is(tmp_path):
    profile_steps(tmp_path, 100, run=WARMUP + 1)
    assert (tmp_path / "profile" / "table.txt").exists()


def test_a_run_that_ends_before_the_first_step_leaves_nothing(tmp_path):
    profile_steps(tmp_path, 1, run=1)
    assert not (tmp_path / "profile").exists()
