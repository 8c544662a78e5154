import json
import subprocess
import sys
from argparse import Namespace
from types import ModuleType

import pytest
import torch
from project.engine.errors import USAGE
from project.engine.inspection import (
    MEMORY_STEP,
    PROFILE_WARMUP,
    Inspection,
    describe,
    mebibytes,
    memory_report,
)
from project.engine.loader import Loader
from torch import nn
from torch.utils.data import TensorDataset

from rendered import SEVERAL

CPU = torch.device("cpu")
OFF = {"profile": 0, "memory": False, "detect_anomaly": False}


@pytest.fixture(autouse=True)
def _anomaly_mode_ends():
    yield
    torch.autograd.set_detect_anomaly(False)


def inspect(folder, **flags):
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    optimizer = torch.optim.AdamW(net.parameters())
    return net, Inspection(net, optimizer, CPU, folder, Namespace(**OFF | flags))


def test_all_off_touches_nothing(tmp_path):
    net, inspection = inspect(tmp_path)
    for _ in range(5):
        inspection.step()
    inspection.close()
    assert not any(module._forward_hooks for module in net.modules())
    assert not list(tmp_path.iterdir())


def test_detect_anomaly_is_pytorchs_own_mode(tmp_path):
    inspect(tmp_path, detect_anomaly=True)
    assert torch.is_anomaly_enabled()


def test_memory_is_reported_once(tmp_path, capsys):
    _, inspection = inspect(tmp_path, memory=True)
    for _ in range(MEMORY_STEP + 2):
        inspection.step()
    inspection.close()
    assert capsys.readouterr().out.count("memory on") == 1


def describe_small(folder, net: nn.Module | None = None, **flags: bool) -> None:
    loader = Loader(TensorDataset(torch.zeros(2, 4), torch.zeros(2)), 2)
    args = Namespace(**{"summary": False, "graph": False} | flags)
    describe(net or nn.Linear(4, 3), loader, CPU, folder, args)


def refused(capsys: pytest.CaptureFixture[str], folder, net: nn.Module | None = None) -> str:
    with pytest.raises(SystemExit) as stopped:
        describe_small(folder, net, graph=True)
    assert stopped.value.code == USAGE
    error = capsys.readouterr().err
    assert error.startswith("--graph") and error.count("\n") == 1
    return error


def test_describe_prints_the_layers(tmp_path, capsys):
    describe_small(tmp_path)
    assert not capsys.readouterr().out
    describe_small(tmp_path, summary=True)
    output = capsys.readouterr().out
    assert "Linear" in output and "[2, 3]" in output
    assert not list(tmp_path.iterdir())


def test_a_graph_without_torchview_is_one_line_with_the_way_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchview", None)
    error = refused(capsys, tmp_path)
    assert "uv sync --extra graph" in error and "pip install torchview" in error


class NoDotError(RuntimeError):
    """What graphviz raises where its program is not installed."""


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A stand-in for torchview, which raises what is in the list."""
    errors: list[BaseException] = []

    class Picture:
        def render(self, outfile, cleanup: bool) -> None:
            if errors:
                raise errors[0]
            outfile.write_text("<svg>")

    def draw_graph(net: nn.Module, input_data: list, device: torch.device, expand_nested: bool):
        assert net(*input_data).shape == (2, 3)
        return Namespace(visual_graph=Picture())

    module = ModuleType("torchview")
    vars(module).update(draw_graph=draw_graph)
    monkeypatch.setitem(sys.modules, "torchview", module)
    return errors


def test_the_graph_is_a_picture_in_the_run_folder(tmp_path, capsys, drawing):
    describe_small(tmp_path, graph=True)
    assert (tmp_path / "graph.svg").read_text() == "<svg>"
    assert str(tmp_path / "graph.svg") in capsys.readouterr().out


def test_a_graph_without_dot_is_one_line_with_the_way_out(tmp_path, capsys, drawing):
    drawing.append(NoDotError("dot"))
    assert "Graphviz's dot" in refused(capsys, tmp_path)


def test_a_network_that_torchview_cannot_follow_is_one_line(tmp_path, capsys, drawing):
    drawing.append(RuntimeError("see\nbelow"))
    assert "see below" in refused(capsys, tmp_path)


def test_torchview_and_graphviz_take_what_they_are_given(tmp_path):
    pytest.importorskip("torchview")
    code = """
import sys, graphviz, torch
from pathlib import Path
from torch import nn
from argparse import Namespace
from project.engine.inspection import describe
graphviz.Digraph.render = lambda graph, outfile, cleanup: Path(outfile).write_text(graph.source)
net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
batches = [(torch.zeros(2, 4), None)]
flags = Namespace(summary=False, graph=True)
describe(net, batches, torch.device("cpu"), Path(sys.argv[1]), flags)
assert net.training and net[1].num_batches_tracked == 0
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=SEVERAL)
    drawn = (tmp_path / "graph.svg").read_text()
    assert "Linear" in drawn and "(2, 3)" in drawn


def trained(optimizer_class, **options):
    net = nn.Sequential(nn.Linear(512, 1024, bias=False), nn.BatchNorm1d(1024))
    optimizer = optimizer_class(net.parameters(), **options)
    net(torch.randn(4, 512)).square().mean().backward()
    optimizer.step()
    return net, optimizer


@pytest.mark.parametrize(
    ("optimizer", "times"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1), 0),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 1),
        (lambda p: torch.optim.RMSprop(p, lr=0.1), 1),
        (lambda p: torch.optim.AdamW(p, lr=0.1), 2),
    ],
)
def test_the_report_counts_the_copies_that_an_optimizer_keeps(optimizer, times):
    net, optimizer = trained(optimizer)
    size = times * mebibytes(net.parameters())
    assert f"optimizer{size:12.1f}" in memory_report(net, optimizer, CPU)


def test_sizes_equal_those_of_the_tensors():
    net, optimizer = trained(torch.optim.AdamW)
    size = sum(p.untyped_storage().nbytes() for p in net.parameters()) / 2**20
    assert mebibytes(net.parameters()) == size
    assert f"parameters{size:11.1f}" in memory_report(net, optimizer, CPU)


def profile_steps(folder, steps: int, run: int) -> None:
    net, inspection = inspect(folder, profile=steps)
    for _ in range(run):
        net(torch.ones(2, 4)).sum().backward()
        inspection.step()
    inspection.close()


def test_as_many_steps_as_asked_are_in_the_trace(tmp_path, capsys):
    profile_steps(tmp_path, 2, run=PROFILE_WARMUP + 4)
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    names = [event.get("name", "") for event in trace["traceEvents"]]
    assert len({name for name in names if name.startswith("ProfilerStep#")}) == 2
    assert "aten::linear" in (tmp_path / "profile" / "table.txt").read_text()
    assert "table.txt" in capsys.readouterr().out


def test_a_run_that_ends_early_keeps_what_there_is(tmp_path):
    profile_steps(tmp_path, 100, run=PROFILE_WARMUP + 1)
    assert (tmp_path / "profile" / "table.txt").exists()


def test_a_run_that_ends_before_the_first_step_leaves_nothing(tmp_path):
    profile_steps(tmp_path, 1, run=1)
    assert not (tmp_path / "profile").exists()
