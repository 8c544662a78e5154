from typing import NamedTuple

import pytest
import torch
from project.engine.prefetch import move, prefetch
from torch import Tensor

CPU = torch.device("cpu")
META = torch.device("meta")  # a device that every machine has


class Pair(NamedTuple):
    image: Tensor
    name: str


def test_every_tensor_of_a_nested_batch_is_moved():
    batch = {
        "a": [torch.ones(2), (torch.ones(1), {"b": torch.ones(3)})],
        "pair": Pair(torch.ones(4), "x"),
    }
    moved = move(batch, META)
    assert moved["a"][0].device == moved["a"][1][0].device == META
    assert moved["a"][1][1]["b"].shape == (3,) and moved["a"][1][1]["b"].device == META
    assert moved["pair"].image.device == META


def test_what_holds_the_tensors_keeps_its_kind():
    moved = move({"list": [1], "tuple": (2.0, None), "pair": Pair(torch.ones(1), "cat")}, META)
    assert moved["list"] == [1] and moved["tuple"] == (2.0, None)
    assert type(moved["pair"]) is Pair and moved["pair"].name == "cat"


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
