import multiprocessing
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from project.engine import loader as module
from project.engine.errors import DATA, USAGE, BadSampleError
from project.engine.loader import Loader
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

# Python warns of a fork where there are threads; PyTorch's workers are made for it
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


class Noisy(Dataset):
    """Samples with a random transform, which knows of no epoch and no seed."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = torch.rand(()), torch.tensor(random.random()), torch.tensor(np.random.rand())
        return torch.stack([value.double() for value in noise]), index


class Whole(Noisy):
    """The same for whole batches."""

    in_memory = True

    def batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(self.length, 3, generator=generator, dtype=torch.float64)
        return noise[indices], indices


class Unequal(Whole):
    """Samples that have a length."""

    def __init__(self, length: int, known: int | None = None) -> None:
        super().__init__(length)
        self.lengths = torch.arange(known or length) * 7 % 10


class Broken(Noisy):
    def __init__(self, length: int, error: Exception) -> None:
        super().__init__(length)
        self.error = error

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 5:
            raise self.error
        return super().__getitem__(index)


class BrokenWhole(Whole):
    def batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        raise KeyError("a bug")


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(10))


def use_processes(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    monkeypatch.setattr(module, "rank", lambda: rank)
    monkeypatch.setattr(module, "world_size", lambda: world_size)
    monkeypatch.setattr(module, "agree", lambda fields: None)


def read(
    dataset: Dataset, steps: range, accumulate: int = 1, workers: int = 0
) -> list[dict[int, list[float]]]:
    """Return each step's samples by index, with what the transform made of them."""
    loader = Loader(dataset, 4, shuffle=True, seed=1, accumulate=accumulate, workers=workers)
    found = []
    for batch in loader.steps(steps):
        samples: dict[int, list[float]] = {}
        for noise, indices in batch.micro_batches if batch.weight else ():
            samples |= dict(zip(indices.tolist(), noise.tolist(), strict=True))
        found.append(samples)
    return found


@pytest.mark.parametrize("kind", [Noisy, Whole])
def test_each_sample_comes_once_an_epoch_remainder_included(kind):
    for first in (0, 3):
        samples = [i for step in read(kind(10), range(first, first + 3)) for i in step]
        assert sorted(samples) == list(range(10))


@pytest.mark.parametrize("kind", [Noisy, Whole, Unequal])
def test_augmentation_is_a_function_of_seed_epoch_and_sample(kind):
    whole = read(kind(10), range(6))
    torch.manual_seed(7)
    assert read(kind(10), range(4, 6)) == whole[4:]
    first, second = whole[0] | whole[1] | whole[2], whole[3] | whole[4] | whole[5]
    assert all(first[index] != second[index] for index in range(10))
    assert len({tuple(values) for values in first.values()}) == 10


@pytest.mark.parametrize("kind", [Noisy, Whole])
def test_workers_change_nothing(kind):
    loaded = read(kind(10), range(6), workers=2)
    assert loaded == read(kind(10), range(6), workers=0)


def test_persistent_workers_take_up_the_epoch_that_is_asked_for():
    loader = Loader(Noisy(10), 4, shuffle=True, seed=1, workers=1)
    for steps in (range(2), range(2, 5), range(4, 6)):
        found = [batch.micro_batches[0][0].tolist() for batch in loader.steps(steps)]
        plain = Loader(Noisy(10), 4, shuffle=True, seed=1, workers=0)
        assert found == [batch.micro_batches[0][0].tolist() for batch in plain.steps(steps)]


@pytest.mark.parametrize(("accumulate", "world_size"), [(2, 1), (4, 1), (1, 2), (2, 2), (1, 4)])
@pytest.mark.parametrize("kind", [Noisy, Whole, Unequal])
def test_micro_batches_and_processes_only_split_a_step(monkeypatch, kind, accumulate, world_size):
    whole = read(kind(10), range(6))  # a step of 2 ends the epoch
    parts: list[dict] = [{} for _ in whole]
    for rank in range(world_size):
        use_processes(monkeypatch, rank, world_size)
        steps = read(kind(10), range(6), accumulate=accumulate)
        for part, samples in zip(parts, steps, strict=True):
            assert not part.keys() & samples.keys()
            part.update(samples)
    assert parts == whole


def test_micro_batches_are_numbered_over_all_processes(monkeypatch):
    numbers = []
    for rank in range(2):
        use_processes(monkeypatch, rank, 2)
        loader = Loader(Whole(8), 8, shuffle=True, accumulate=2)
        numbers += [batch.first for batch in loader.steps(range(1))]
    assert numbers == [0, 2]


def test_a_process_without_a_sample_has_a_stand_in_that_counts_nothing(monkeypatch):
    use_processes(monkeypatch, 3, 4)
    batches = list(Loader(Whole(10), 4, shuffle=True).steps(range(3)))
    assert [batch.weight for batch in batches] == [1.0, 1.0, 0.0]
    assert all(len(batch.micro_batches) == 1 for batch in batches)


@pytest.mark.parametrize("world_size", [1, 2, 3, 12])
@pytest.mark.parametrize("kind", [Noisy, Whole])
def test_a_pass_over_the_set_meets_each_sample_once(monkeypatch, kind, world_size):
    seen = []
    for rank in range(world_size):
        use_processes(monkeypatch, rank, world_size)
        for _, indices in Loader(kind(11), 12, workers=0):
            seen += indices.tolist()
    assert sorted(seen) == list(range(11))


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "world_size", "sizes"),
    [(10, 4, 1, "8 or 12"), (9, 1, 2, "8 or 10"), (20, 3, 2, "18 or 24"), (3, 4, 1, "take 4")],
)
def test_a_batch_that_does_not_divide_is_refused_with_sizes_that_do(
    monkeypatch, capsys, batch_size, accumulate, world_size, sizes
):
    use_processes(monkeypatch, 0, world_size)
    with pytest.raises(SystemExit) as stopped:
        Loader(Whole(100), batch_size, accumulate=accumulate)
    assert stopped.value.code == USAGE
    error = capsys.readouterr().err
    assert f"--batch-size {batch_size}" in error and sizes in error and error.count("\n") == 1


@pytest.mark.parametrize("how", [{"shuffle": True}, {"drop_last": True}])
def test_a_batch_larger_than_the_set_is_refused(capsys, how):
    with pytest.raises(SystemExit) as stopped:
        Loader(Whole(7), 8, **how)
    assert stopped.value.code == USAGE
    assert "7 samples" in capsys.readouterr().err


def test_an_empty_data_set_is_refused():
    with pytest.raises(SystemExit) as stopped:
        Loader(Whole(0), 4)
    assert stopped.value.code == DATA


@pytest.mark.parametrize("dataset", [Stream(), range(10).__iter__()])
def test_a_data_set_whose_samples_have_no_numbers_is_refused(dataset):
    with pytest.raises(ValueError, match="__len__ is needed"):
        Loader(dataset, 4)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BadSampleError("5.png: does not decode"), "5.png: does not decode"),
        (FileNotFoundError(2, "No such file", "5.png"), "5.png: No such file"),
        (OSError("cannot identify image"), "samples 5: cannot identify image"),
    ],
)
def test_a_bad_sample_is_one_line_whoever_meets_it(capfd, workers, error, line):
    with pytest.raises(SystemExit) as stopped:
        list(Loader(Broken(8, error), 4, workers=workers))
    assert stopped.value.code == DATA
    assert capfd.readouterr().err == line + "\n"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_data_set_keeps_its_traceback_and_names_the_sample(workers):
    with pytest.raises(ZeroDivisionError) as error:
        list(Loader(Broken(8, ZeroDivisionError("a bug")), 4, workers=workers))
    for process in multiprocessing.active_children():
        process.kill()  # which the traceback would let live for long
    text = str(error.value) + "".join(getattr(error.value, "__notes__", ()))
    assert "a bug" in text and "while reading samples 5 of the data set" in text


def test_a_bug_in_a_batch_names_its_samples():
    with pytest.raises(KeyError) as error:
        list(Loader(BrokenWhole(20), 10))
    assert "samples 0, 1, 2, 3, 4, 5, 6, 7, ... of" in error.value.__notes__[0]


def test_the_samples_of_a_step_are_those_of_all_processes(monkeypatch):
    whole = read(Noisy(10), range(6))
    use_processes(monkeypatch, 1, 2)
    loader = Loader(Noisy(10), 4, shuffle=True, seed=1, workers=0)
    for step in range(1, 7):
        assert sorted(loader.sample_ids(step)) == sorted(whole[step - 1])


def test_processes_agree_on_the_data_and_see_where_it_differs(monkeypatch):
    asked: list[dict] = []
    use_processes(monkeypatch, 0, 2)
    monkeypatch.setattr(module, "agree", asked.append)
    for dataset in (Noisy(10), Noisy(10), Whole(10), Noisy(9)):
        Loader(dataset, 2, seed=3)
    first, again, other, shorter = asked
    assert first == again != other
    assert [name for name in first if first[name] != shorter[name]] == [
        "the number of samples",
        "the last sample",
    ]


def test_samples_of_similar_length_share_a_batch():
    dataset = Unequal(400)
    for batch in Loader(dataset, 4, shuffle=True, seed=1).steps(range(100)):
        lengths = dataset.lengths[batch.micro_batches[0][1]]
        assert lengths.max() - lengths.min() <= 1


def test_a_length_too_few_is_refused():
    with pytest.raises(ValueError, match="39 lengths for 40 samples"):
        Loader(Unequal(40, known=39), 4, shuffle=True)


def test_data_in_memory_gets_no_workers_and_other_data_does():
    assert Loader(Whole(8), 4).workers is None
    assert Loader(Noisy(8), 4).workers is not None


def test_reading_leaves_the_next_epochs_as_they_are():
    loader = Loader(Noisy(8), 4, shuffle=True, seed=1, workers=0)
    before = [batch.micro_batches[0][1].tolist() for batch in loader.steps(range(4))]
    list(Loader(Noisy(8), 4, workers=0))
    assert [batch.micro_batches[0][1].tolist() for batch in loader.steps(range(4))] == before
