import pytest
import torch
from project.engine.prefetch import prefetch

CPU = torch.device("cpu")


def test_the_batches_come_in_order_and_all_of_them():
    batches = [(torch.tensor(i), {"label": torch.tensor(-i)}) for i in range(5)]
    found = [(inputs.item(), targets["label"].item()) for inputs, targets in prefetch(batches, CPU)]
    assert found == [(i, -i) for i in range(5)]


def test_nothing_is_loaded_before_it_is_asked_for():
    asked = []
    batches = prefetch((asked.append(i) or torch.tensor(i) for i in range(5)), CPU)
    assert asked == []
    next(batches)
    assert len(asked) <= 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_batches_on_cuda_are_those_of_the_loader():
    batches = [torch.full((1 << 20,), i).pin_memory() for i in range(8)]
    sums = [batch.double().sum() for batch in prefetch(batches, torch.device("cuda"))]
    assert [total.item() for total in sums] == [i * 2.0**20 for i in range(8)]
