import math

import pytest
import torch
from alone.engine.noise import normal

SHAPE = (3, 8, 8)


def test_a_row_depends_on_seed_and_index_alone():
    whole = normal(torch.arange(10), SHAPE, seed=1)
    for indices in ([3], [7, 3, 0], [9, 9]):
        assert torch.equal(normal(torch.tensor(indices), SHAPE, seed=1), whole[indices])
    assert normal(torch.arange(0), SHAPE, seed=1).shape == (0, *SHAPE)


def test_global_generators_are_neither_used_nor_moved():
    torch.manual_seed(1)
    first = normal(torch.arange(2), SHAPE, seed=1)
    expected = torch.Generator().manual_seed(1)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=expected))
    assert torch.equal(normal(torch.arange(2), SHAPE, seed=1), first)


@pytest.mark.parametrize(("a", "b"), [((1, 2), (2, 1)), ((0, 0), (0, 1)), ((5, 0), (6, 0))])
def test_other_seeds_and_indices_give_other_noise(a, b):
    ours, theirs = (normal(torch.tensor([index]), (4096,), seed)[0] for seed, index in (a, b))
    correlation = torch.corrcoef(torch.stack((ours, theirs)))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(4096)


def test_the_numbers_are_normal():
    noise = normal(torch.arange(200), (500,), seed=3).double().flatten()
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert noise.pow(power).mean().item() == pytest.approx(moment, abs=0.06)
    assert normal(torch.arange(500), (1,), seed=3).std().item() == pytest.approx(1, abs=0.1)
