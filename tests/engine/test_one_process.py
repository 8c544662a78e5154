import torch
from alone.engine import processes
from torch import nn


def test_the_one_process_is_the_main_one():
    processes.start(torch.device("cpu"))
    assert (processes.rank(), processes.world_size()) == (0, 1)
    assert processes.is_main_process()


def test_one_process_has_all_there_is():
    tensor = torch.arange(3)
    assert torch.equal(processes.sum_over_processes(tensor), torch.arange(3))
    assert processes.any_process(True) and not processes.any_process(False)
    assert processes.share("value") == "value" and processes.gather("value") == ["value"]
    processes.agree({"--lr": 0.1})


def test_no_error_means_that_another_process_is_gone():
    assert processes.lost(RuntimeError("gloo: connection closed by peer")) is None


def test_nothing_is_around_the_network():
    net = nn.Linear(2, 1)
    assert processes.bare(net) is net
    with processes.gradient_sync(net, enabled=False):
        net(torch.ones(1, 2)).sum().backward()
    assert net.weight.grad is not None
