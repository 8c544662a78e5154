from xml.etree import ElementTree

import pytest
import torch
from project.engine import graph
from project.engine.errors import USAGE
from project.engine.graph import draw_network
from torch import nn


class Residual(nn.Module):
    """(B, T) -> (B, T)"""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(x + self.relu(self.inner(x)).view(-1, 8))


class Choose(nn.Module):
    """(B, T) -> (B, T)"""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def texts(net: nn.Module, inputs: torch.Tensor) -> list[str]:
    root = ElementTree.fromstring(draw_network(net, inputs))
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_layers_have_name_type_shape_and_weights():
    found = texts(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), torch.zeros(2, 4))
    assert found[0] == "Sequential: 40 parameters"
    assert ["Linear", "B × 8", "0", "40"] == found[2:6]
    assert ["ReLU", "B × 8", "1"] == found[6:9]


def test_a_layer_used_twice_is_drawn_twice_and_a_sum_is_drawn():
    found = texts(nn.Sequential(Residual(), Residual()), torch.zeros(2, 8))
    assert found.count("0.relu") == found.count("1.relu") == 2
    assert found.count("+") == 2
    assert "0: Residual" in found


def test_what_only_passes_values_on_is_not_drawn():
    found = texts(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 2)), torch.zeros(2, 3, 4))
    assert "Linear" in found
    assert not {"Flatten", "Dropout"} & set(found)


def test_a_large_network_is_drawn_by_its_blocks(monkeypatch):
    monkeypatch.setattr(graph, "MOST_BOXES", 6)
    found = texts(nn.Sequential(Residual(), Residual()), torch.zeros(2, 8))
    assert found.count("Residual") == 2
    assert "0.inner" not in found


def test_the_network_keeps_its_mode_and_its_numbers():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()).train()
    net[1].eval()
    draw_network(net, torch.ones(2, 4))
    assert [net.training, net[0].training, net[1].training] == [True, True, False]
    assert net[0].num_batches_tracked == 0


def test_a_network_that_cannot_be_followed_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        draw_network(Choose(), torch.ones(2, 4))
    assert stopped.value.code == USAGE
    assert capsys.readouterr().err.count("\n") == 1
