"""Every task as a user runs it: train, stop, resume, evaluate, predict, export."""

import csv
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image

import forked
from conftest import ROOT, Render
from extensions.features import TASKS

STRICT = ("-W", "error::DeprecationWarning", "-W", "error::FutureWarning")


class Project(NamedTuple):
    """A project with a model that its default run trained."""

    folder: Path
    example: dict[str, Any]  # the task's example.toml
    outputs: list[str]  # of the run that was stopped, and of the one that resumed it

    def score(self) -> str:
        return self.outputs[1].split(f"best {self.example['score']} ")[1].split(";")[0]


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run one of the project's scripts; return what it prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module", params=list(TASKS))
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fresh(task: str, render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the task in which nothing has run."""
    folder = tmp_path_factory.mktemp(task) / "project"
    shutil.copytree(render(task=task, package="trained", parallel="ddp"), folder)
    for colour in ("red", "green", "blue"):
        (folder / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(folder / "pictures" / f"{colour}.png")
    return folder


@pytest.fixture(scope="module")
def trained(task: str, fresh: Path) -> Iterator[Project]:
    """The default run, stopped by Ctrl-C on the way and resumed."""
    folder = fresh.with_name("trained")
    shutil.copytree(fresh, folder)
    log = folder / "first.txt"
    command = [sys.executable, "-u", *STRICT, "train.py", "--save-every", "20"]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
    try:
        while not list(folder.glob("runs/*/checkpoints/step-*.json")) and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 75, log.read_text()
    finally:
        process.kill()
    second = run(folder, *STRICT, "train.py", "--save-every", "20", "--resume", "auto")
    example = tomllib.loads((ROOT / "template/tasks" / task / "example.toml").read_text())
    yield Project(folder, example, [log.read_text(), second])


@pytest.mark.slow
def test_stopped_and_resumed_run_reaches_the_stated_score(trained: Project) -> None:
    assert "--resume auto continues" in trained.outputs[0]
    assert len(list((trained.folder / "runs").iterdir())) == 1, "resuming began another run"
    print(trained.example["score"], trained.score())
    score, reached = float(trained.score()), trained.example["reached"]
    assert score >= reached if trained.example["higher"] else score <= reached


@pytest.mark.slow
def test_run_folder_holds_what_the_readme_says(trained: Project) -> None:
    folder = next((trained.folder / "runs").iterdir())
    for name in ("config.toml", "environment.json", "metrics.csv"):
        assert (folder / name).stat().st_size, name
    steps = [int(row["step"]) for row in csv.DictReader((folder / "metrics.csv").open())]
    assert steps == sorted(steps), "the resumed run wrote earlier steps again"
    config = tomllib.loads((folder / "config.toml").read_text())
    assert {"batch-size", "lr", "seed"} <= config.keys()


@pytest.mark.slow
def test_evaluate_repeats_the_best_score(trained: Project) -> None:
    line = f"{trained.example['score']} {trained.score()}"
    assert line in run(trained.folder, *STRICT, "evaluate.py")


@pytest.mark.slow
def test_predict_needs_the_checkpoint_alone(trained: Project, tmp_path: Path) -> None:
    best = next(trained.folder.glob("runs/*/checkpoints/best.pt"))
    shutil.copy(best, tmp_path / "model.pt")
    shutil.copytree(trained.folder / "pictures", tmp_path / "pictures")
    script = str(trained.folder / "predict.py")
    flags = ("--checkpoint", "model.pt")
    printed = run(tmp_path, *STRICT, script, *trained.example["predict"], *flags)
    assert trained.example["printed"] in printed


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pt2", "onnx", "safetensors", "torchscript"])
def test_export_is_checked_before_it_says_done(trained: Project, form: str) -> None:
    strict = () if form == "torchscript" else STRICT  # what PyTorch has deprecated warns
    printed = run(trained.folder, *strict, "export.py", "--format", form, "--output", f"m.{form}")
    assert printed.startswith("done")
    assert (trained.folder / f"m.{form}").stat().st_size


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    steps = (run_folder / "checkpoints").glob("step-*.pt")
    newest = max(steps, key=lambda path: int(path.stem.removeprefix("step-")))
    return torch.load(newest, weights_only=True)["state"]["net"]


def test_run_is_repeated_from_its_saved_configuration(fresh: Path) -> None:
    flags = ("--max-steps", "4", "--batch-size", "64", "--lr", "0.003", "--ema", "0.9")
    run(fresh, *STRICT, "train.py", *flags, "--run-dir", "first")
    run(fresh, *STRICT, "train.py", "--config", "first/config.toml", "--run-dir", "second")
    first, second = weights(fresh / "first"), weights(fresh / "second")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_two_processes_train_like_one(fresh: Path) -> None:
    flags = ("--max-steps", "3", "--batch-size", "64", "--amp", "none")
    run(fresh, "train.py", *flags, "--run-dir", "one")
    launch = ("-m", "torch.distributed.run", "--nproc-per-node=2")
    run(fresh, *launch, "train.py", *flags, "--run-dir", "two")
    one, two = weights(fresh / "one"), weights(fresh / "two")
    # Adam turns rounding in a near-zero gradient into a whole step, so the norm is compared
    apart = sum((one[name] - two[name]).pow(2).sum() for name in one) ** 0.5
    size = sum(one[name].pow(2).sum() for name in one) ** 0.5
    assert apart < 1e-3 * size


def test_dry_run_leaves_nothing_behind(fresh: Path) -> None:
    before = sorted(path.name for path in fresh.iterdir())
    assert "best" in run(fresh, *STRICT, "train.py", "--dry-run")
    after = sorted(path.name for path in fresh.iterdir() if path.name not in ("data",))
    assert after == [name for name in before if name != "data"]


def test_inspection_flags_work_together(fresh: Path) -> None:
    flags = ("--summary", "--graph", "--memory", "--check-finite", "--profile", "2")
    size = ("--max-steps", "5", "--batch-size", "64", "--run-dir", "looked_at")
    printed = run(fresh, *STRICT, "train.py", *flags, *size)
    assert "param" in printed.lower()
    assert (fresh / "looked_at" / "graph.svg").read_text().startswith("<svg")


def test_doctor_finds_this_machine_fit(fresh: Path) -> None:
    run(fresh, *STRICT, "-m", "trained.doctor", "--device", "cpu")


BAD = [
    (("train.py", "--device", "tpu"), 2, "--device"),
    (("train.py", "--device", "cpu", "--amp", "fp16"), 2, "--amp fp16"),
    (("train.py", "--lr", "0"), 2, "--lr"),
    (("train.py", "--batch-size", "-8"), 2, "--batch-size"),
    (("train.py", "--epoch", "3"), 2, "--epoch"),
    (("train.py", "--batch-size", "10", "--accumulate", "4"), 2, "8 or 12"),
    (("train.py", "--batch-size", "10000000"), 2, "--batch-size 10000000"),
    (("train.py", "--config", "none.toml"), 2, "none.toml"),
    (("train.py", "--resume", "none.pt"), 78, "none.pt"),
    (("train.py", "--resume", "train.py"), 78, "train.py"),
    (("train.py", "--run-dir", "train.py/x"), 73, "train.py/x"),
    (("train.py", "--freeze", "nothing"), 2, "--freeze nothing"),
    (("train.py", "--data", "missing"), 65, "missing"),
    (("evaluate.py",), 78, "train first"),
    (("evaluate.py", "README.md"), 78, "README.md"),
    (("export.py", "--output", "model.txt"), 2, "model.txt"),
]


@pytest.fixture(scope="module")
def forks(task: str, fresh: Path) -> Iterator[forked.Project]:
    """The project with PyTorch imported: a mistake then costs half a second rather than four."""
    with forked.Project(fresh, task) as project:
        yield project


@pytest.mark.skipif(sys.platform != "linux", reason="runs are forked, as on Linux")
@pytest.mark.parametrize(("command", "code", "names"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_mistake_is_one_line(
    forks: forked.Project, task: str, command: tuple[str, ...], code: int, names: str
) -> None:
    if task == "image_classification" and "--data" in command:
        command = (*command, "--dataset", "folder")
    shutil.rmtree(forks.folder / "runs", ignore_errors=True)
    done = forks.run(forks.folder, *command).wait()
    assert done.code == code, done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert names in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_missing_device_is_one_line(fresh: Path) -> None:
    printed = run(fresh, "train.py", "--device", "cuda", code=69)
    assert printed.splitlines() == [
        "--device cuda: this PyTorch sees no CUDA device; try --device cpu"
    ]


def test_checkpoint_of_another_network_is_named(fresh: Path) -> None:
    run(fresh, "train.py", "--max-steps", "1", "--batch-size", "64", "--run-dir", "other")
    path = fresh / "other" / "checkpoints" / "step-1.pt"
    checkpoint = torch.load(path, weights_only=True)
    name = next(iter(checkpoint["state"]["net"]))
    checkpoint["state"]["net"][name] = torch.zeros(3, 3)
    torch.save(checkpoint, fresh / "other.pt")
    assert name in run(fresh, "evaluate.py", "other.pt", code=78)
