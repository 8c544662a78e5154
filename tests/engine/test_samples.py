from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from project.engine.samples import Samples, shortened
from torch import Tensor
from torch.utils.data import Dataset


class Noisy(Dataset):
    """Samples with a random transform, of several kinds of numbers."""

    def __init__(self, first: float = 0.0) -> None:
        self.first = first

    def __getitem__(self, index: int) -> dict[str, Tensor | tuple[Tensor, bool]]:
        number = torch.tensor(self.first + index, dtype=torch.bfloat16)
        return {"image": torch.rand(3), "target": (number, index > 2)}


def test_samples_that_were_sent_to_a_process_are_read_the_same():
    samples = Samples(Noisy(), seed=1)
    sent = ForkingPickler.loads(ForkingPickler.dumps(samples))
    assert torch.equal(samples[4, [0, 3]]["image"], sent[4, torch.tensor([0, 3])]["image"])


def test_a_checksum_tells_samples_apart_and_nothing_else():
    checksum = Samples(Noisy(), seed=1).checksum(3)
    torch.manual_seed(5)
    assert Samples(Noisy(), seed=1).checksum(3) == checksum
    assert Samples(Noisy(first=1.0), seed=1).checksum(3) != checksum
    assert Samples(Noisy(), seed=2).checksum(3) != checksum
    assert Samples(Noisy(), seed=1).checksum(4) != checksum


class Column(Dataset):
    """Its batch of one is a view, two numbers wide."""

    def batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        table = torch.arange(8.0).view(4, 2)[indices]
        return table[:, 0], table


def test_a_checksum_takes_a_sample_that_is_a_view():
    samples = Samples(Column(), seed=1)
    assert samples.checksum(1) != samples.checksum(2)


def test_a_checksum_leaves_the_weights_that_are_drawn_next_as_they_are():
    state = torch.get_rng_state()
    Samples(Noisy(), seed=1).checksum(3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("count", "end"), [(1, "samples 0"), (8, "6, 7"), (9, "6, 7, ...")])
def test_long_lists_of_samples_are_shortened(count, end):
    assert shortened(range(count)).endswith(end)
    assert shortened(torch.arange(count)).endswith(end)
