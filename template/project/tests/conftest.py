import signal
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """At the size of these tests, threads wait for each other more than they compute."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _settings_as_they_were() -> Iterator[None]:
    """Put back what a run sets for its whole process, so that tests do not meet each other's."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
    torch.autograd.set_detect_anomaly(False)
