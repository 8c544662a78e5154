"""What the engine's tests share; `project` is the package of a render, see tests/rendered.py."""

import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from project.engine import runtime
from project.engine.launch import Status, status

from rendered import SEVERAL

SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGCHLD")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What PyTorch is about to drop is an error here, as it is in a project's own tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for kind in ("DeprecationWarning", "FutureWarning"):
                mark = pytest.mark.filterwarnings(f"error::{kind}")
                item.add_marker(mark, append=False)  # a test's own filters come after, and win


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """At the size of these tests, threads wait for each other more than they compute."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _settings_as_they_were() -> Iterator[None]:
    """Put back what a run sets for its whole process, so that tests do not meet each other's."""
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
    torch.autograd.set_detect_anomaly(False)
    vars(status).update(vars(Status()))


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in bf16 also where this CPU has none, and a run would do without it."""
    monkeypatch.setattr(runtime, "has_bf16", lambda device: True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with little data in it."""
    runpy.run_path(str(SEVERAL / "tests" / "small.py"))["make_data"](tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a script in this process: exit code, output, errors."""

    def run(script: str, *flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [script, *flags])
        code = 0
        try:
            runpy.run_path(str(SEVERAL / script), run_name="__main__")
        except SystemExit as error:
            code = int(error.code or 0)
        output = capfd.readouterr()
        return code, output.out, output.err

    return run
