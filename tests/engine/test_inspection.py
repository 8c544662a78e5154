from argparse import Namespace

import pytest
import torch
from project.engine.inspection import MEMORY_STEP, Inspection, describe
from project.engine.loader import Loader
from torch import nn
from torch.utils.data import TensorDataset

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


@pytest.mark.parametrize("steps", [1, MEMORY_STEP + 2])
def test_memory_is_reported_once_however_short_the_run(tmp_path, capsys, steps):
    _, inspection = inspect(tmp_path, memory=True)
    for _ in range(steps):
        inspection.step()
    inspection.close()
    assert capsys.readouterr().out.count("memory on") == 1


def test_profile_is_written_into_the_run_folder(tmp_path):
    _, inspection = inspect(tmp_path, profile=1)
    for _ in range(8):
        inspection.step()
    inspection.close()
    assert (tmp_path / "profile" / "trace.json").exists()


def test_describe_prints_the_layers_and_draws_them(tmp_path, capsys):
    net, _ = inspect(tmp_path)
    loader = Loader(TensorDataset(torch.zeros(2, 4), torch.zeros(2)), 2)
    describe(net, loader, CPU, tmp_path, Namespace(summary=False, graph=False))
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().out
    describe(net, loader, CPU, tmp_path, Namespace(summary=True, graph=True))
    output = capsys.readouterr().out
    assert "Linear" in output and "[2, 4]" in output
    assert (tmp_path / "graph.svg").read_text().startswith("<svg")
