import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from project.engine import workers as module
from project.engine.errors import DATA, MEMORY, USAGE
from project.engine.loader import Loader
from torch import Tensor
from torch.utils.data import Dataset

from rendered import SEVERAL

pytestmark = [
    # Python warns of a fork where there are threads; PyTorch's workers are made for it
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send"),
]
ROOT = SEVERAL


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


def workers_of(loader: Loader) -> module.Workers:
    assert loader.workers is not None
    return loader.workers


def read(loader: Loader, steps: range) -> list[list[int]]:
    return [batch.micro_batches[0][1].tolist() for batch in loader.steps(steps)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(module, "HANG_SECONDS", 2)


def test_a_killed_worker_is_one_line_that_speaks_of_memory(capfd, impatient):
    line = ended(capfd, Failing(signal.SIGKILL), MEMORY)
    assert "killed" in line and "memory" in line and "--workers" in line


def test_a_bus_error_is_one_line_that_speaks_of_shared_memory(capfd, impatient):
    assert "/dev/shm" in ended(capfd, Failing(signal.SIGBUS), MEMORY)


@pytest.mark.parametrize(("how", "name"), [(signal.SIGSEGV, "SIGSEGV"), ("exits", "exit code 3")])
def test_a_crashed_worker_is_one_line_with_the_samples_that_are_due(capfd, impatient, how, name):
    line = ended(capfd, Failing(how), DATA)
    assert name in line and "samples 4, 5, 6, 7 are due" in line and "--workers 0" in line


def test_a_worker_that_hangs_is_one_line_with_the_samples_and_gone(capfd, impatient):
    began = time.monotonic()
    line = ended(capfd, Failing("sleeps"), DATA)
    assert "for 2 s" in line and "samples 4, 5, 6, 7 are due" in line
    assert time.monotonic() - began < 10
    assert not multiprocessing.active_children()


def test_a_slow_worker_is_waited_for(impatient):
    loader = Loader(Failing("sleeps", seconds=0.7), 4, workers=2)
    assert read(loader, range(3)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_the_death_of_a_worker_interrupts_nothing_but_waiting_for_it(capfd, impatient):
    loader = Loader(Failing("nothing"), 1, workers=1)
    steps = loader.steps(range(12))
    next(steps)
    for process in workers_of(loader).processes:
        process.kill()
        process.join()
    assert capfd.readouterr().err == ""
    with pytest.raises(SystemExit) as stopped:
        list(steps)
    assert stopped.value.code == MEMORY
    assert "killed" in capfd.readouterr().err


def test_a_worker_that_died_between_two_passes_is_named_in_the_second(capfd, impatient):
    loader = Loader(Failing("nothing"), 4, workers=1)
    read(loader, range(3))
    for process in workers_of(loader).processes:
        process.kill()
        process.join()
    with pytest.raises(SystemExit) as stopped:
        read(loader, range(3))
    assert stopped.value.code == MEMORY


def test_a_pass_left_early_does_not_spoil_the_next():
    loader = Loader(Failing("nothing"), 1, workers=2)
    for _ in range(3):
        assert next(loader.steps(range(12))).micro_batches[0][1].tolist() == [0]
    assert read(loader, range(6, 12)) == [[6], [7], [8], [9], [10], [11]]


def test_a_batch_larger_than_shared_memory_is_one_line(capfd, monkeypatch):
    def full(self: Tensor) -> Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: full (28)")

    monkeypatch.setattr(Tensor, "share_memory_", full)
    assert "/dev/shm" in ended(capfd, Failing("nothing"), MEMORY)


def test_a_data_set_that_cannot_be_sent_to_a_process_is_one_line(capfd, monkeypatch):
    monkeypatch.setattr(module.multiprocessing, "get_start_method", lambda: "spawn")
    dataset = Failing("nothing")
    dataset.transform = lambda image: image  # type: ignore[attr-defined]
    loader = Loader(dataset, 4, workers=1)
    workers_of(loader).loader.multiprocessing_context = "spawn"
    with pytest.warns(UserWarning, match="pickle"), pytest.raises(SystemExit) as stopped:
        read(loader, range(3))
    assert stopped.value.code == USAGE
    assert "--workers 0" in capfd.readouterr().err


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


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_signal_to_the_whole_group_leaves_the_workers_alive(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(SIGNALLED)
    done = subprocess.run(
        [sys.executable, str(script), method],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stderr == ""
