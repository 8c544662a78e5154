import atexit
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torchmetrics
from project.engine import processes
from project.engine.checkpoint import Checkpoints
from project.engine.errors import DEVICE, MISMATCH, NOT_WRITTEN, USAGE, Ending
from project.engine.evaluate import evaluate, rehearse
from project.engine.launch import launch, status
from project.engine.loader import Loader
from project.engine.optimize import Average, clip_gradients, decay_groups, micro_batches
from project.engine.run import open_run
from project.engine.runtime import Precision, open_device
from project.engine.storage import load_checkpoint
from torch import Tensor, distributed, nn

from engine.padded import Criterion, Texts

TRAININGS = [(1, 0.0), (2, 0.0), (1, 0.5), (2, 0.5)]  # micro-batches on each process, dropout
SIZES = [1, 7, 12]  # of test sets


class Seen:
    """Counts samples, and keeps the highest output of each."""

    def reset(self) -> None:
        self.counters = torch.zeros(1, dtype=torch.int64)
        self.records: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.counters += len(targets)
        self.records.append(outputs.amax(dim=(1, 2)))

    def compute(self) -> dict[str, float]:
        return {"seen": self.counters.item(), "median": torch.cat(self.records).median().item()}


def train(accumulate: int, dropout: float) -> dict:
    """Return what two epochs leave; each ends with a step of one sample only."""
    torch.manual_seed(processes.rank())  # the main process's weights count
    net = nn.Sequential(nn.Linear(5, 8), nn.Dropout(dropout), nn.Tanh(), nn.Linear(8, 3)).double()
    if processes.is_main_process():
        torch.manual_seed(0)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.5)
    optimizer = torch.optim.AdamW(decay_groups(net, 0.1), lr=0.05)
    criterion, average = Criterion(), Average(net, 0.0)
    wrapped = processes.wrap(net)
    loader = Loader(Texts(9), 4, shuffle=True, seed=1, accumulate=accumulate)
    losses, norms, syncs = [], [], []
    for step, batch in enumerate(loader.steps(range(6)), 1):
        step_loss = torch.zeros((), dtype=torch.float64)
        for inputs, targets, share in micro_batches(batch, wrapped, criterion, (1, step)):
            syncs.append(getattr(wrapped, "require_backward_grad_sync", True))
            loss = criterion(wrapped(inputs), targets) * share
            loss.backward()
            step_loss += loss.detach()
        norms.append(clip_gradients(wrapped, 1.0, 0.0))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(processes.sum_over_processes(step_loss) / processes.world_size())
    return {
        "weights": {name: tensor.clone() for name, tensor in average.net.state_dict().items()},
        "losses": torch.stack(losses),
        "norms": torch.stack(norms),
        "syncs": syncs,
    }


def score(size: int) -> dict[str, float]:
    torch.manual_seed(0)
    net = processes.wrap(nn.Linear(5, 3).double())
    loader = Loader(Texts(size), 4)
    return evaluate(net, loader, Criterion(), Seen(), Precision(torch.device("cpu"), "none"))


def score_by_theirs(size: int) -> dict[str, float]:
    """Score with metrics of torchmetrics: one that counts and, for all, one that keeps samples."""
    torch.manual_seed(0)
    pairs = [(torch.randn(5), number % 3) for number in range(size)]
    net, kinds = processes.wrap(nn.Linear(5, 3)), {"num_classes": 3}
    found: dict[str, Any] = {"accuracy": torchmetrics.Accuracy("multiclass", **kinds)}
    if size > 2:
        found["auroc"] = torchmetrics.AUROC("multiclass", **kinds)
    metrics, loss = torchmetrics.MetricCollection(found), nn.CrossEntropyLoss()
    precision = Precision(torch.device("cpu"), "none")
    loader = Loader(pairs, 2)
    rehearse(net, loader, loss, metrics, precision)
    return evaluate(net, loader, loss, metrics, precision)


def too_few() -> str:
    """Say why a metric that keeps samples cannot score fewer batches than processes."""
    net, metric = nn.Linear(5, 3), torchmetrics.AUROC("multiclass", num_classes=3)
    loader = Loader([(torch.zeros(5), 0)], 2)
    try:
        rehearse(net, loader, nn.CrossEntropyLoss(), metric, Precision(torch.device("cpu"), "none"))
    except Ending as ending:
        return ending.reason
    return ""


def everything() -> dict:
    return {
        "trainings": {how: train(*how) for how in TRAININGS},
        "scores": {size: score(size) for size in SIZES},
        "scores by theirs": {size: score_by_theirs(size) for size in SIZES},
        "too few": too_few(),
    }


def ending(function: Callable[[Any], object], argument: Any) -> tuple[object, str, str]:
    """Return how a call ends the run: the code, the reason, what is printed."""
    with redirect_stderr(StringIO()) as printed, pytest.raises(Ending) as ended:
        function(argument)
    return ended.value.code, ended.value.reason, printed.getvalue()


def surroundings(rank: int, port: int) -> dict[str, str]:
    """Return what torchrun sets for one of two processes."""
    return {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }


def work(rank: int, port: int, folder: Path) -> None:
    """Do everything as one of two processes, in the surroundings that torchrun makes."""
    os.environ |= surroundings(rank, port)
    torch.set_num_threads(1)
    os.chdir(folder)
    with patch.object(processes, "agree") as agree:
        open_device("cpu")
    found = everything()
    found["compared at the start"] = list(agree.call_args.args[0])
    found["any"] = [processes.any_process(flag) for flag in (False, rank == 1, rank == 0)]
    found["shared"] = processes.share(f"of process {rank}")
    found["gathered"] = processes.gather(f"of process {rank}")
    processes.agree({"--data": Path("a"), "--lr": float("nan")})
    found["flags"] = ending(processes.agree, {"--seed": 1, "--lr": 0.5 - 0.3 * rank})
    found["code"] = ending(processes.agree, {"train.py": "old"} if rank else {})
    found["net"] = ending(processes.wrap, nn.Sequential(nn.Linear(2, 1 + rank)))
    flags = {"config": None, "run_dir": None, "resume": None, "dry_run": False}
    flags |= {"time_limit": None}
    found["folder"] = str(open_run(Namespace(**flags), torch.device("cpu"), "net").folder)
    own = folder / f"written-by-{rank}"
    if rank == 0:
        (own / "checkpoints").mkdir(parents=True)
    net = nn.Linear(2, 1)
    about: dict[str, Any] = {"model": {}, "data": {}, "config": {}}
    checkpoints = Checkpoints(own, {"net": net, "average": net}, about, every=1, keep=2)
    processes.wrap(net)(torch.ones(1, 2))
    checkpoints.save(1)
    if rank == 0:
        status.not_saved(2, "no space")
    found["unsaved"] = ending(lambda _: status.fail_if_unsaved(), None)
    atexit.unregister(processes.leave)
    processes.leave()
    found["threads"] = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    torch.save(found, folder / f"{rank}.pt")


def work_beside_a_gpu(rank: int, port: int, folder: Path) -> None:
    """Join as one of two processes with a CUDA device, which PyTorch believes is there."""
    os.environ |= surroundings(rank, port)
    torch.set_num_threads(1)
    gpu = torch.device("cuda")
    with (
        patch.object(torch.accelerator, "current_accelerator", lambda **_: gpu),
        patch.object(torch.accelerator, "device_count", lambda: 2),
        patch.object(torch.accelerator, "set_device_index") as chosen,
        # instead of nccl, which needs one
        patch.object(distributed, "get_default_backend_for_device", lambda _: "gloo"),
    ):
        processes.start(gpu)
    found = {
        "device": chosen.call_args.args[0],
        "backends": distributed.get_backend_config(),
        "any": processes.any_process(rank == 1),
        "gathered": processes.gather(rank),
        "sum": processes.sum_over_processes(torch.ones(2)).tolist(),
    }
    atexit.unregister(processes.leave)
    processes.leave()
    torch.save(found, folder / f"{rank}.pt")


def work_until_killed(rank: int, port: int, folder: Path) -> None:
    """Be killed, or find that the other process was, which leaves the GPU waiting for ever."""
    os.environ |= surroundings(rank, port)

    def main() -> None:
        status.begin(folder, {}, 0)
        with patch.object(processes, "leave", partial(time.sleep, 600)):
            open_device("cpu")
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        score(7)

    launch(main)


def exit_codes(work: Callable[[int, int, Path], None], folder: Path) -> list[int | None]:
    """Let two processes work, and return how they end."""
    if sys.platform == "win32":
        pytest.skip("PyTorch's processes on Windows find each other in another way")
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=work, args=(rank, store.port, folder)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=120)
        process.kill()
    return [process.exitcode for process in started]


def two_processes(work: Callable[[int, int, Path], None], folder: Path) -> list[dict]:
    """Return what two processes have found, each in a file of its own."""
    assert exit_codes(work, folder) == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict]:
    """What two processes that did everything in the folder have found."""
    return two_processes(work, folder)


@pytest.mark.parametrize(("accumulate", "dropout"), TRAININGS)
def test_two_processes_train_as_one(both, accumulate, dropout):
    # one process numbers the same parts from 0 up, so dropout is the same too
    expected = train(2 * accumulate, dropout)
    for found in both:
        ours = found["trainings"][accumulate, dropout]
        for name, tensor in expected["weights"].items():
            torch.testing.assert_close(ours["weights"][name], tensor, rtol=0, atol=1e-12)
        for name in ("losses", "norms"):
            torch.testing.assert_close(ours[name], expected[name], rtol=0, atol=1e-12)


def test_without_dropout_the_number_of_parts_changes_nothing(both):
    expected = train(1, 0.0)
    for name, tensor in expected["weights"].items():
        for ours in (both[0]["trainings"][how] for how in TRAININGS[:2]):
            torch.testing.assert_close(ours["weights"][name], tensor, rtol=0, atol=1e-12)


def test_both_processes_have_the_same_weights_bit_for_bit(both):
    for how in TRAININGS:
        first, second = (found["trainings"][how]["weights"] for found in both)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_gradients_are_exchanged_once_a_step(both):
    for found in both:
        # the last step of an epoch has one sample: the other process computes a stand-in
        assert found["trainings"][2, 0.0]["syncs"] == 2 * [False, True, False, True, True]
        assert found["trainings"][1, 0.0]["syncs"] == 6 * [True]


@pytest.mark.parametrize("size", SIZES)
def test_the_test_pass_is_exact_on_any_number_of_samples(both, size):
    expected = score(size)
    for found in both:
        assert found["scores"][size] == pytest.approx(expected, rel=1e-13)
        assert found["scores"][size]["seen"] == size


@pytest.mark.filterwarnings("ignore:.*(No positive|No negative|before the ``update``)")
@pytest.mark.parametrize("size", SIZES)
def test_metrics_of_torchmetrics_are_those_of_one_process(both, size):
    expected = score_by_theirs(size)
    for found in both:
        assert found["scores by theirs"][size] == pytest.approx(expected, rel=1e-6)


def test_a_metric_that_keeps_samples_needs_a_batch_in_each_process(both):
    for found in both:
        assert "AUROC: needs a batch in each process" in found["too few"]


def test_a_flag_of_one_process_is_known_to_both(both):
    assert [found["any"] for found in both] == 2 * [[False, True, True]]


def test_both_processes_use_the_main_ones_values(both):
    assert [found["shared"] for found in both] == 2 * ["of process 0"]
    assert [found["gathered"] for found in both] == 2 * [["of process 0", "of process 1"]]
    assert both[0]["folder"] == both[1]["folder"]


def test_processes_that_disagree_end_with_one_line_that_says_about_what(both):
    way_out = "; start them from the same folder, with the same command"
    lines = {
        "flags": f"the processes disagree about --lr: 0.5 on 0, 0.2 on 1{way_out}",
        "code": f"the processes disagree about train.py: nothing on 0, old on 1{way_out}",
        "net": "the processes disagree about the shape of 0.weight: "
        f"[1, 2] on 0, [2, 2] on 1{way_out}",
    }
    for what, line in lines.items():
        found = [process[what] for process in both]
        assert found == [(MISMATCH, line, f"{line}\n"), (MISMATCH, line, "")], what


def test_all_processes_end_alike_when_the_main_one_could_not_save(both):
    line = "step 2 is not saved: no space; the checkpoints before it are whole"
    found = [process["unsaved"] for process in both]
    assert found == 2 * [(NOT_WRITTEN, line, "")]  # it was said when it failed


def test_processes_compare_pytorch_the_package_and_the_scripts_when_they_join(both):
    for found in both:
        names = set(found["compared at the start"])
        assert {"the version of PyTorch", "train.py"} <= names
        assert "project/engine/processes.py" in names
        assert not any(name.startswith("tests/") for name in names)


def test_one_process_writes(folder, both):
    assert len(list((folder / "runs").iterdir())) == 1
    assert [path.name for path in folder.glob("written-by-*")] == ["written-by-0"]


def test_the_names_of_weights_are_bare(folder, both):
    checkpoint = load_checkpoint(folder / "written-by-0" / "checkpoints" / "step-1.pt")
    assert set(checkpoint["state"]["net"]) == {"weight", "bias"}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no threads to list")
def test_a_process_that_left_has_no_thread_of_the_group(both):
    # such a thread aborts its process when it meets the end of Python, after all work was done
    assert [name for found in both for name in found["threads"] if "gloo" in name] == []


@pytest.mark.parametrize(
    ("device", "backend"),
    [("cpu", "gloo"), ("cuda", "cpu:gloo,cuda:nccl"), ("xpu", "cpu:gloo,xpu:xccl")],
)
def test_gloo_is_named_beside_what_the_device_needs(monkeypatch, device, backend):
    asked: list[tuple] = []
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(None, 0, 2)]))
    monkeypatch.setattr(distributed, "init_process_group", lambda *given, **_: asked.append(given))
    processes.join(device)
    assert asked == [(backend,)]


def test_tensors_on_the_cpu_are_exchanged_beside_a_gpu(tmp_path):
    # without a name for it, PyTorch makes a backend for the GPU only
    for rank, found in enumerate(two_processes(work_beside_a_gpu, tmp_path)):
        assert found == {
            "device": rank,
            "backends": "cpu:gloo,cuda:gloo",
            "any": True,
            "gathered": [0, 1],
            "sum": [2.0, 2.0],
        }


def test_killed_process_ends_the_other_for_good(tmp_path):
    assert exit_codes(work_until_killed, tmp_path) == [DEVICE, -signal.SIGKILL]
    told = json.loads((tmp_path / "run_status.json").read_text())
    assert (told["state"], told["code"]) == ("failed", DEVICE)
    assert told["reason"].startswith("another process is gone")


def test_a_checksum_tells_samples_apart_and_nothing_else():
    images = torch.arange(12.0).view(2, 6), torch.arange(12.0).view(2, 6).bfloat16()
    found = {processes.checksum([image[0]]) for image in images}
    found |= {processes.checksum([image[1]]) for image in images}
    assert len(found) == 4
    view = images[0].T  # not contiguous
    assert processes.checksum([view[0]]) == processes.checksum([view[0].clone()])
    assert processes.checksum([]) == processes.checksum([torch.zeros(0)])


def test_processes_agree_on_the_data_and_see_where_it_differs(monkeypatch):
    asked: list[dict] = []
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(processes, "agree", asked.append)
    state = torch.get_rng_state()
    for length, first in ((10, 0), (10, 0), (10, 1), (9, 0)):
        processes.agree_on_data(length, lambda index, by=first: [torch.rand(1) * 0 + index + by])
    same, again, other, shorter = asked
    assert same == again
    assert [name for name in same if same[name] != other[name]] == [
        "the first sample",
        "the last sample",
    ]
    assert [name for name in same if same[name] != shorter[name]] == [
        "the number of samples",
        "the last sample",
    ]
    assert torch.equal(torch.get_rng_state(), state)  # the weights that are drawn next


def test_one_process_alone_has_nothing_around_its_network():
    net = nn.Linear(2, 1)
    assert processes.wrap(net) is processes.bare(net) is net
    assert processes.is_main_process() and processes.world_size() == 1
    assert processes.any_process(True) and not processes.any_process(False)
    assert processes.share("value") == "value" and processes.gather("value") == ["value"]
    processes.agree({"--lr": 0.1})
    assert not distributed.is_initialized()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"RANK": "0"}, "without MASTER_ADDR, MASTER_PORT, WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "without RANK"),
        ({"RANK": "1", "WORLD_SIZE": "two"}, "WORLD_SIZE=two: not a whole number"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK=-1: not a whole number"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2: WORLD_SIZE=2 has no such rank"),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": ""}, "LOCAL_RANK=: not a whole number"),
    ],
)
def test_surroundings_that_torchrun_would_not_make_are_one_line(monkeypatch, given, named):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code, reason, printed = ending(processes.start, torch.device("cpu"))
    assert (code, printed) == (USAGE, f"{reason}\n")
    assert named in reason and "torchrun --standalone" in reason


def test_one_process_may_be_told_that_it_is_the_only_one(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    processes.start(torch.device("cpu"))
    assert not distributed.is_initialized()


def test_port_that_is_in_use_is_one_line(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        given = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        code, reason, _ = ending(processes.start, torch.device("cpu"))
    assert code == DEVICE and reason.startswith(f"MASTER_PORT={port}: in use")


def test_silence_of_another_process_is_told_from_a_bug():
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=0.1))
    with pytest.raises(distributed.DistStoreError) as silence:
        store.get("what nobody sets")
    assert "no answer from another process" in (processes.lost(silence.value) or "")
    for bug in (ValueError("timeout"), RuntimeError("gloo: sizes differ"), KeyError("connection")):
        assert processes.lost(bug) is None
