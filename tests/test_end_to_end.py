"""Every task as a user runs it: train, stop, resume, evaluate, predict, export."""

import csv
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import forked
from conftest import KINDS, SAMPLED, Fork
from forked import STRICT, Fault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="runs are forked, as on Linux")

HERE = ("--device", "cpu", "--workers", "0")


class Trained(NamedTuple):
    """A project with a model, which was stopped and resumed on the way."""

    project: forked.Project
    place: Path
    example: dict[str, Any]  # the task's example.toml
    outputs: list[str]  # of the run that was stopped, and of the one that resumed it

    def score(self) -> str:
        return self.outputs[1].split(f"best {self.example['score']} ")[1].split(";")[0]

    def run(self, *command: str, code: int = 0) -> str:
        return run(self.project, self.place, *command, code=code)


def run(project: forked.Project, place: Path, *command: str, code: int = 0, **how: Any) -> str:
    """Run one of the project's scripts as it is; return what it prints."""
    done = project.run(place, *command, **how).wait(300)
    assert (done.code, done.left) == (code, []), f"{command}\n{done.out}\n{done.err}"
    return done.out if code in (0, 75) else done.err


@pytest.fixture(scope="module", params=KINDS)
def project(request: pytest.FixtureRequest, fork: Fork) -> forked.Project:
    return fork(request.param)


@pytest.fixture(scope="module", params=SAMPLED)
def sampled(request: pytest.FixtureRequest, fork: Fork) -> forked.Project:
    return fork(request.param)


@pytest.fixture(scope="module")
def trained(project: forked.Project, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run that is long enough to learn something, stopped by Ctrl-C and resumed."""
    place = project.make_data(tmp_path_factory.mktemp(project.task.replace("/", "-")))
    example = forked.example(project.task)
    for name, text in example.get("files", {}).items():
        (place / name).write_text(text, encoding="utf-8")
    command = ("train.py", *example["quick"]["flags"], *HERE)
    stop = [Fault("step", 5, "SIGINT")]
    outputs = [run(project, place, *command, faults=stop, code=75)]
    outputs.append(run(project, place, *command, "--resume", "auto"))
    return Trained(project, place, example, outputs)


def reaches(score: str, limit: float, example: dict[str, Any]) -> bool:
    return float(score) >= limit if example["higher"] else float(score) <= limit


def test_stopped_and_resumed_run_has_learned_what_a_trivial_model_does_not(
    trained: Trained,
) -> None:
    example = trained.example
    assert "--resume auto continues" in trained.outputs[0]
    assert len(list((trained.place / "runs").iterdir())) == 1, "resuming began another run"
    assert reaches(trained.score(), example["quick"]["reached"], example)
    assert not reaches(example["trivial"], example["quick"]["reached"], example)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_default_run_reaches_the_stated_score(fork: Fork, kind: str, tmp_path: Path) -> None:
    command = [sys.executable, *STRICT, str(fork(kind).folder / "train.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    example = forked.example(kind)
    score = done.stdout.split(f"best {example['score']} ")[1].split(";")[0]
    assert reaches(score, example["reached"], example), done.stdout


def test_run_folder_holds_what_the_readme_says(trained: Trained) -> None:
    folder = next((trained.place / "runs").iterdir())
    for name in ("config.toml", "environment.json", "metrics.csv"):
        assert (folder / name).stat().st_size, name
    steps = [int(row["step"]) for row in csv.DictReader((folder / "metrics.csv").open())]
    assert steps == sorted(steps), "the resumed run wrote earlier steps again"
    config = tomllib.loads((folder / "config.toml").read_text())
    assert {"batch-size", "lr", "seed"} <= config.keys()


def test_evaluate_repeats_the_best_score(trained: Trained) -> None:
    printed = trained.run("evaluate.py", "--split", "val", *HERE)
    (score,) = re.findall(rf"^{trained.example['score']} (\S+)$", printed, re.MULTILINE)
    # other batches are added up in another order
    assert float(score) == pytest.approx(float(trained.score()), rel=1e-3, abs=2e-4)


def test_predict_needs_the_checkpoint_alone(trained: Trained, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    shutil.copytree(trained.place, place, ignore=shutil.ignore_patterns("runs"))
    shutil.copy(next(trained.place.glob("runs/*/checkpoints/best.pt")), place / "model.pt")
    made_up = trained.project.made_up
    inputs = trained.example.get("predict", made_up["INPUT"])
    printed = run(trained.project, place, "predict.py", *inputs, "--checkpoint", "model.pt", *HERE)
    assert trained.example.get("printed", made_up["PRINTED"]) in printed


@pytest.mark.parametrize("form", ["pt2", "onnx", "safetensors", "torchscript"])
def test_export_is_checked_before_it_says_done(trained: Trained, form: str) -> None:
    printed = trained.run("export.py", "--output", f"m.{form}")
    assert printed.startswith("done")
    assert (trained.place / f"m.{form}").stat().st_size


def test_inspection_flags_work_together(project: forked.Project, tmp_path: Path) -> None:
    place = project.make_data(tmp_path)
    flags = ("--summary", "--memory", "--check-finite", "--profile", "2")
    size = ("--max-steps", "5", "--batch-size", "8", "--run-dir", "looked_at")
    command = ("train.py", *project.made_up["FLAGS"], *flags, *size, *HERE)
    assert "param" in run(project, place, *command, networks=project.networks).lower()
    assert (place / "looked_at" / "profile" / "table.txt").exists()


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return forked.content(forked.checkpoints(run_folder)[0])["state"]["net"]


def test_run_is_repeated_from_its_saved_configuration(
    sampled: forked.Project, tmp_path: Path
) -> None:
    flags = ("--max-steps", "4", "--lr", "0.003", "--ema", "0.9", "--run-dir", "first")
    place = sampled.make_data(tmp_path)
    assert sampled.train(place, *flags).code == 0
    again = ("train.py", "--config", "first/config.toml", "--run-dir", "second")
    run(sampled, place, *again, networks=sampled.networks)
    first, second = weights(place / "first"), weights(place / "second")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_dry_run_leaves_nothing_behind(sampled: forked.Project, tmp_path: Path) -> None:
    place = sampled.make_data(tmp_path)
    before = {path.name for path in place.iterdir()}
    assert "nothing is kept" in run(sampled, place, "train.py", "--dry-run", *HERE)
    # tokens are data, and may be used again
    assert {path.name for path in place.iterdir()} - {"data"} == before - {"data"}


def test_doctor_finds_this_machine_fit(fork: Fork) -> None:
    folder = fork("image_classification").folder
    command = [sys.executable, *STRICT, "-m", f"{forked.PACKAGE}.doctor", "--device", "cpu"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


BAD = [
    (("train.py", "--device", "tpu"), 2, "--device"),
    (("train.py", "--device", "cpu", "--amp", "fp16"), 2, "--amp fp16"),
    (("train.py", "--lr", "0"), 2, "--lr"),
    (("train.py", "--batch-size", "-8"), 2, "--batch-size"),
    (("train.py", "--epoch", "3"), 2, "--epoch"),
    (("train.py", "--batch-size", "10000000"), 2, "--batch-size 10000000"),
    (("train.py", "--config", "none.toml"), 2, "none.toml"),
    (("train.py", "--resume", "none.pt"), 78, "none.pt"),
    (("train.py", "--resume", "text.md"), 78, "text.md"),
    (("train.py", "--run-dir", "text.md/x"), 73, "text.md/x"),
    (("train.py", "--freeze", "nothing"), 2, "--freeze nothing"),
    (("evaluate.py",), 78, "train first"),
    (("evaluate.py", "text.md"), 78, "text.md"),
    (("export.py", "--output", "model.txt"), 2, "model.txt: must end with .pt2, .onnx"),
    (("export.py", "--format", "onnx", "--output", "m.pt2"), 2, "m.pt2: must end with .onnx"),
]


def assert_one_line(done: forked.Done, code: int, names: str) -> None:
    assert done.code == code, done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert names in done.err


@pytest.mark.parametrize(("command", "code", "names"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_mistake_is_one_line(
    sampled: forked.Project, command: tuple[str, ...], code: int, names: str, tmp_path: Path
) -> None:
    (tmp_path / "text.md").write_text("no checkpoint and no folder")
    assert_one_line(sampled.run(tmp_path, *command).wait(), code, names)


def test_data_that_is_not_there_is_one_line(project: forked.Project, tmp_path: Path) -> None:
    done = project.train(tmp_path, "--data", "missing")
    assert_one_line(done, 65, "missing")


IDLE = {
    "image_classification": (
        *("--dataset shapes --data pictures", "--group-level 1", "--skip-bad-samples"),
    ),
    "semantic_segmentation": ("--skip-bad-samples",),
    "object_detection": ("--skip-bad-samples", "--images pictures"),
    "image_to_image": ("--skip-bad-samples", "--vgg random"),
    "image_generation": ("--skip-bad-samples",),
    "diffusion": ("--skip-bad-samples",),
    "text_classification": (
        *("--skip-bad-samples", "--test-data a.csv", "--text-column a", "--label-column a"),
        *("--val-data a.csv", "--split-column a", "--group-column a"),
    ),
    "text_classification/labels": ("--text-column a", "--label-columns a"),
    "text_classification/number": ("--text-column a", "--target-column a"),
    "tabular": ("--skip-bad-samples", "--test-data a.csv"),
    "time_series": (
        *("--skip-bad-samples", "--id-column a", "--value-column a", "--time-column a"),
        *("--val-from 5", "--test-from 5"),
    ),
    "audio_classification": ("--skip-bad-samples",),
}


def test_a_flag_that_would_have_no_effect_is_refused(
    project: forked.Project, tmp_path: Path
) -> None:
    for line in IDLE.get(project.task, ()):
        done = project.run(tmp_path, "train.py", *line.split(), *HERE).wait()
        assert_one_line(done, 2, line.split()[-2] if " " in line else line)


def test_a_folder_of_images_is_what_is_trained_on(fork: Fork, tmp_path: Path) -> None:
    project = fork("image_classification")
    place = project.make_data(tmp_path)
    flags = ("--data", "images", "--image-size", "16", "--batch-size", "8", "--max-steps", "1")
    output = run(project, place, "train.py", *flags, "--run-dir", "run", *HERE)
    assert "samples: train 63, val 7, test 15" in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_missing_device_is_one_line(sampled: forked.Project, tmp_path: Path) -> None:
    done = sampled.run(tmp_path, "train.py", "--device", "cuda").wait()
    assert_one_line(done, 69, "--device cuda: this PyTorch sees no CUDA device; try --device cpu")


def test_checkpoint_of_another_network_is_named(sampled: forked.Project, tmp_path: Path) -> None:
    place = sampled.make_data(tmp_path)
    flags = ("--max-steps", "1", "--batch-size", "8", "--run-dir", "other", *HERE)
    run(sampled, place, "train.py", *sampled.made_up["FLAGS"], *flags)
    checkpoint = torch.load(forked.checkpoints(place / "other")[0], weights_only=True)
    name = next(iter(checkpoint["state"]["net"]))
    checkpoint["state"]["net"][name] = torch.zeros(3, 3)
    torch.save(checkpoint, place / "other.pt")
    assert name in run(sampled, place, "evaluate.py", "other.pt", *HERE, code=78)
