import sys

import pytest
import torch
from project.engine.memory import count_bytes, memory_in_use, memory_report
from torch import nn

CPU = torch.device("cpu")


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
def test_an_optimizer_keeps_as_many_copies_as_the_report_says(optimizer, times):
    report = memory_report(*trained(optimizer), CPU)
    assert f": {times}.0 x the trained parameters" in report


def test_sizes_equal_those_of_the_tensors():
    net, optimizer = trained(torch.optim.AdamW)
    size = sum(p.untyped_storage().nbytes() for p in net.parameters())
    assert count_bytes(net.parameters()) == size
    assert f"parameters{size / 2**20:11.1f}" in memory_report(net, optimizer, CPU)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
def test_peak_of_the_process_is_in_mebibytes():
    assert 50 < memory_in_use(CPU)["peak"] < 1e6  # PyTorch alone takes 200


def test_a_frozen_network_is_reported():
    net = nn.Linear(4, 4).requires_grad_(False)
    head = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    assert "0.0 x the trained parameters" in memory_report(net, optimizer, CPU)
