import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from project.engine import loader as module
from project.engine.errors import DATA, MEMORY, BadSampleError
from project.engine.evaluate import evaluate
from project.engine.loader import Loader, Samples, copy_stream, prefetch, shortened
from project.engine.runtime import Precision
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from rendered import SEVERAL

# Python warns of a fork where there are threads; PyTorch's workers are made for it
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
CPU = torch.device("cpu")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")


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

    def whole_batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
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
    def whole_batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        raise KeyError("a bug")


def use_processes(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    monkeypatch.setattr(module, "rank", lambda: rank)
    monkeypatch.setattr(module, "world_size", lambda: world_size)
    monkeypatch.setattr(module, "agree_on_data", lambda length, read: None)


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


@pytest.mark.parametrize(
    ("accumulate", "world_size"), [(2, 1), (3, 1), (4, 1), (7, 1), (1, 2), (2, 2), (1, 3), (1, 4)]
)
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


def test_an_empty_data_set_is_refused():
    with pytest.raises(SystemExit) as stopped:
        Loader(Whole(0), 4)
    assert stopped.value.code == DATA


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


class Contrastive(nn.Module):
    """A loss of pairs within a batch, which depends on who else is in it."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)))

    def count(self, targets: Tensor) -> Tensor:
        return torch.tensor(len(targets))


class Nothing:
    def reset(self) -> None:
        self.counters = torch.zeros(1)

    def update(self, outputs: Tensor, targets: Tensor) -> None: ...

    def compute(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_test_score_does_not_depend_on_accumulate(accumulate):
    scores = []
    for parts in (1, accumulate):
        loader = Loader(Whole(11), 8, accumulate=parts)
        precision = Precision(CPU, "none")
        scores.append(evaluate(nn.Identity(), loader, Contrastive(), Nothing(), precision))
    assert scores[0] == scores[1]


@pytest.mark.parametrize("world_size", [2, 3, 12])
def test_processes_share_out_test_batches_that_stay_as_they_are(monkeypatch, world_size):
    whole = {tuple(indices.tolist()) for _, indices in Loader(Whole(11), 3)}
    found = []
    for rank in range(world_size):
        use_processes(monkeypatch, rank, world_size)
        found += [tuple(indices.tolist()) for _, indices in Loader(Whole(11), 3)]
    assert sorted(found) == sorted(whole) and len(whole) == 4


def norm() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_a_last_batch_of_one_is_left_out_where_batch_norm_trains(capsys):
    net, loader = norm().double(), Loader(Whole(9), 4, shuffle=True)
    loader.avoid_single_samples(net)
    assert len(loader) == 2
    for batch in loader.steps(range(4)):
        net(batch.micro_batches[0][0])
    assert capsys.readouterr().err.count("BatchNorm") == 1


@pytest.mark.parametrize(("accumulate", "world_size"), [(4, 1), (2, 2), (1, 4)])
def test_batch_norm_never_gets_a_single_sample(monkeypatch, accumulate, world_size):
    parts: list[list[int]] = [[] for _ in range(6)]
    for rank in range(world_size):
        use_processes(monkeypatch, rank, world_size)
        loader = Loader(Whole(11), 4, shuffle=True, accumulate=accumulate)
        loader.avoid_single_samples(norm())
        for part, batch in zip(parts, loader.steps(range(6)), strict=True):
            sizes = [len(indices) for _, indices in batch.micro_batches]
            assert min(sizes) > 1
            part += sizes if batch.weight else []
    assert [sum(part) for part in parts] == [4, 4, 3, 4, 4, 3]


def test_the_number_of_steps_does_not_depend_on_how_they_are_split(monkeypatch):
    for length in range(8, 17):
        steps = set()
        for accumulate, world_size in [(1, 1), (4, 1), (1, 4), (2, 2), (8, 1)]:
            use_processes(monkeypatch, 0, world_size)
            loader = Loader(Whole(length), 8, shuffle=True, accumulate=accumulate)
            loader.avoid_single_samples(norm())
            steps.add(len(loader))
        assert len(steps) == 1


@pytest.mark.parametrize("net", [nn.Linear(3, 4), norm().eval()])
def test_a_network_without_batch_norm_that_trains_gets_every_sample(capsys, net):
    loader = Loader(Whole(9), 4, shuffle=True)
    loader.avoid_single_samples(net)
    assert len(loader) == 3 and capsys.readouterr().err == ""


class Several(Dataset):
    """Samples with a random transform, of several kinds of numbers."""

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], tuple[Tensor, bool]]:
        return {"image": torch.rand(3)}, (torch.tensor(index, dtype=torch.bfloat16), index > 2)


def test_samples_that_were_sent_to_a_process_are_read_the_same():
    samples = Samples(Several(), 1, default_collate)
    sent = ForkingPickler.loads(ForkingPickler.dumps(samples))
    assert torch.equal(samples[4, [0, 3]][0]["image"], sent[4, torch.tensor([0, 3])][0]["image"])


@pytest.mark.parametrize(("count", "end"), [(1, "samples 0"), (8, "6, 7"), (9, "6, 7, ...")])
def test_long_lists_of_samples_are_shortened(count, end):
    assert shortened(range(count)).endswith(end)
    assert shortened(torch.arange(count)).endswith(end)


class Failing(Dataset):
    """Does something else than to return sample 5."""

    def __init__(self, what: str | int, seconds: float = 60.0) -> None:
        self.what = what
        self.seconds = seconds

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 5 and isinstance(self.what, int):
            os.kill(os.getpid(), self.what)
        elif index == 5 and self.what == "exits":
            os._exit(3)
        elif index == 5 and self.what == "sleeps":
            time.sleep(self.seconds)
        return torch.tensor(index), index


def ended(capfd: pytest.CaptureFixture[str], dataset: Dataset, code: int) -> str:
    """Return the line with which reading the data set ends."""
    try:
        list(Loader(dataset, 4, workers=2))
    except SystemExit as error:
        assert error.code == code
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def read_indices(loader: Loader, steps: range) -> list[list[int]]:
    return [batch.micro_batches[0][1].tolist() for batch in loader.steps(steps)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 1)
    monkeypatch.setattr(module, "HANG_SECONDS", 3)


@POSIX
@pytest.mark.parametrize("how", [signal.SIGKILL, "exits"])
def test_a_worker_that_dies_is_one_line_with_the_samples_that_are_due(capfd, impatient, how):
    line = ended(capfd, Failing(how), MEMORY)
    assert "exited unexpectedly" in line and "samples 4, 5, 6, 7 are due" in line
    assert "memory" in line and "--workers" in line


@POSIX
@pytest.mark.parametrize("how", [signal.SIGBUS, signal.SIGSEGV])
def test_a_worker_that_crashes_says_how_itself(capfd, impatient, how):
    with pytest.raises(SystemExit):
        list(Loader(Failing(how), 4, workers=2))
    said, line = capfd.readouterr().err.splitlines()
    assert {signal.SIGBUS: "shared memory", signal.SIGSEGV: "segmentation"}[how] in said
    assert "exited unexpectedly" in line and "samples 4, 5, 6, 7 are due" in line


@POSIX
def test_a_worker_that_hangs_is_one_line_with_the_samples_and_gone(capfd, impatient):
    began = time.monotonic()
    line = ended(capfd, Failing("sleeps"), DATA)
    assert "for 3 s" in line and "samples 4, 5, 6, 7 are due" in line
    assert time.monotonic() - began < 20
    assert not multiprocessing.active_children()


def test_a_slow_worker_is_waited_for(impatient):
    loader = Loader(Failing("sleeps", seconds=1.5), 4, workers=2)
    assert read_indices(loader, range(3)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@POSIX
def test_the_death_of_a_worker_interrupts_nothing_but_waiting_for_it(capfd, impatient):
    loader = Loader(Failing("nothing"), 1, workers=1)
    steps = loader.steps(range(12))
    next(steps)
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    assert capfd.readouterr().err == ""
    with pytest.raises(SystemExit) as stopped:
        list(steps)
    assert stopped.value.code == MEMORY
    assert "exited unexpectedly" in capfd.readouterr().err


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), EOFError()])
def test_a_worker_that_dies_in_handing_over_is_one_line(capfd, error):
    def answer() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        module.wait(answer, "samples 4, 5")
    line = capfd.readouterr().err
    assert stop.value.code == MEMORY and line.count("\n") == 1
    assert type(error).__name__ in line and "samples 4, 5 are due" in line


@POSIX
def test_a_worker_that_died_between_two_passes_is_named_in_the_second(capfd, impatient):
    loader = Loader(Failing("nothing"), 4, workers=1)
    read_indices(loader, range(3))
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    with pytest.raises(SystemExit) as stopped:
        read_indices(loader, range(3))
    assert stopped.value.code == MEMORY


def test_a_pass_left_early_does_not_spoil_the_next():
    loader = Loader(Failing("nothing"), 1, workers=2)
    for _ in range(3):
        assert next(loader.steps(range(12))).micro_batches[0][1].tolist() == [0]
    assert read_indices(loader, range(6, 12)) == [[6], [7], [8], [9], [10], [11]]


def test_a_batch_larger_than_shared_memory_is_one_line(capfd, monkeypatch):
    def full(self: Tensor) -> Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: full (28)")

    monkeypatch.setattr(Tensor, "share_memory_", full)
    assert "/dev/shm" in ended(capfd, Failing("nothing"), MEMORY)


SIGNALLED = """
import multiprocessing, os, signal, sys, torch
from torch.utils.data import Dataset
from project.engine.loader import Loader

class Numbers(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.tensor(index), index

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    asked = []
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        signal.signal(getattr(signal, name), lambda number, frame: asked.append(number))
    loader = Loader(Numbers(), 4, workers=2)
    found = []
    for step, batch in enumerate(loader.steps(range(10))):
        found += batch.micro_batches[0][1].tolist()
        if step < 3:
            os.killpg(0, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)[step])
    assert found == list(range(40)) and len(asked) == 3, (found, asked)
"""


@POSIX
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_signal_to_the_whole_group_leaves_the_workers_alive(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(SIGNALLED)
    done = subprocess.run(
        [sys.executable, str(script), method],
        cwd=SEVERAL,
        env=os.environ | {"PYTHONPATH": str(SEVERAL)},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stderr == ""


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


def test_one_stream_a_device_copies_all_batches(monkeypatch):
    # the allocator keeps free memory apart by stream, so each new one would take more of it
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    made = {copy_stream(torch.device("cuda", index)) for index in (0, 1, 0, 1)}
    assert len(made) == 2
