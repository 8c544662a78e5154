"""Data of every bad kind, through train.py as a user runs it: one line, with what can be named."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

import forked
from conftest import Fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="runs are forked, as on Linux")

IMAGES, TEXT = "image_classification", "language_modeling"


class Bad(NamedTuple):
    """What is done to good data, what is asked for, and how train.py ends."""

    name: str
    task: str
    spoil: Callable[[Path], object]
    code: int
    says: str
    flags: tuple[str, ...] = ()


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], object]:
    return lambda place: shutil.rmtree(place / name)


def link(name: str, target: str) -> Callable[[Path], object]:
    return lambda place: (place / name).symlink_to(target)


def no_class_folder(place: Path) -> None:
    shutil.copy(place / "images/cat/5.png", place / "images/5.png")


def empty(place: Path) -> None:
    shutil.rmtree(place / "images")
    (place / "images").mkdir()


def torn(place: Path) -> None:
    path = place / "images/cat/5.png"
    path.write_bytes(path.read_bytes()[:-60])


def no_test_images(place: Path) -> None:
    shutil.copytree(place / "images", place / "train")
    (place / "train").rename(place / "images/train")
    (place / "images/test").mkdir()


def unknown_class(place: Path) -> None:
    no_test_images(place)
    shutil.copytree(place / "images/train/cat", place / "images/test/eel")


def bomb(place: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(place / "images/cat/bomb.png")


def misnamed(place: Path) -> None:
    os.rename(place / "images/cat", os.fsencode(place) + b"/images/c\xe4t")


BAD = [
    Bad("no image", IMAGES, write("images/cat/d.jpg", b"text"), 65, "cat/d.jpg: does not decode"),
    Bad("no bytes", IMAGES, write("images/cat/d.jpg", b""), 65, "cat/d.jpg: does not decode"),
    Bad("torn", IMAGES, torn, 65, "cat/5.png: does not decode"),
    Bad("bomb", IMAGES, bomb, 65, "cat/bomb.png: has too many pixels"),
    Bad("dangling", IMAGES, link("images/cat/a.png", "gone.png"), 65, "cat/a.png: no such file"),
    Bad("empty folder", IMAGES, empty, 65, "images: no files in it"),
    Bad("no class folder", IMAGES, no_class_folder, 65, "is in no class folder"),
    Bad("one class", IMAGES, remove("images/dog"), 65, "one class, cat"),
    Bad("no test images", IMAGES, no_test_images, 65, "images/test: no files in it"),
    Bad("unknown class", IMAGES, unknown_class, 65, "test has a class that train has not: eel"),
    Bad("no train", IMAGES, lambda place: (place / "images/val").mkdir(), 65, "no train/ beside"),
    Bad("misnamed", IMAGES, misnamed, 65, "not UTF-8"),
    Bad("small set", IMAGES, lambda place: None, 2, "samples only", ("--batch-size", "512")),
    Bad("in a worker", IMAGES, torn, 65, "cat/5.png: does not decode", ("--workers", "2")),
    Bad("invalid bytes", TEXT, write("text.txt", b"abc\xff" * 99), 65, "not UTF-8 at byte 3"),
    Bad("empty text", TEXT, write("text.txt", b""), 65, "0 training tokens"),
    Bad("short text", TEXT, write("text.txt", b"abc"), 65, "2 training tokens"),
    Bad("no text", TEXT, lambda place: (place / "text.txt").unlink(), 65, "text.txt: No such file"),
    Bad("no place", TEXT, write("data", b""), 73, "data/tokens: the tokens are kept there"),
    Bad(
        *("all left out", TEXT, write("text.txt", b"\xff" * 999), 65, "0 training tokens"),
        flags=("--skip-bad-samples",),
    ),
]


@pytest.fixture(scope="module", params=[IMAGES, TEXT])
def project(request: pytest.FixtureRequest, fork: Fork) -> forked.Project:
    return fork(request.param)


@pytest.mark.parametrize(
    ("project", "bad"),
    [pytest.param(bad.task, bad, id=f"{bad.task} {bad.name}") for bad in BAD],
    indirect=["project"],
)
def test_bad_data_is_one_line(project: forked.Project, bad: Bad, tmp_path: Path) -> None:
    bad.spoil(project.make_data(tmp_path))
    done = project.train(tmp_path, "--max-steps", "9", "--run-dir", "run", *bad.flags)
    assert done.err.count("\n") == 1, done.err
    assert bad.says in done.err
    assert done.code == bad.code and not done.left


def test_bad_samples_can_be_left_out(project: forked.Project, tmp_path: Path) -> None:
    place = project.make_data(tmp_path)
    flags = ["--skip-bad-samples", "--max-steps", "2"]
    if project.task == TEXT:
        (place / "bad.txt").write_bytes(b"\xff" * 99)
        flags += ["--data", "text.txt", "bad.txt"]
    else:
        torn(place)
    done = project.train(place, *flags, "--run-dir", "run")
    assert done.code == 0, done.err
    counted = {IMAGES: "1 of 85 files left out", TEXT: "1 of 2 texts left out"}
    assert done.out.count(counted[project.task]) == 1


@pytest.mark.parametrize("project", [IMAGES], indirect=True)
def test_a_worker_that_is_killed_leaves_a_run_that_resumes(
    project: forked.Project, tmp_path: Path
) -> None:
    place = project.make_data(tmp_path)
    flags = ("--max-steps", "400", "--workers", "2", "--save-every", "1", "--run-dir", "run")
    run = project.start(place, *flags)
    main = run.pid
    until = time.monotonic() + 60
    while not list(place.glob("run/checkpoints/step-*.pt")):
        assert time.monotonic() < until, "no checkpoint within a minute"
        time.sleep(0.01)
    worker = next(pid for pid in forked.session(main) if pid != main)
    forked.send(worker, "SIGKILL")
    done = run.wait()
    # PyTorch's message, or that of the connection through which the worker was handing over
    assert re.match("a worker is gone, .*samples .*are due; .*--workers", done.err), done.err
    assert done.err.count("\n") == 1, done.err
    assert done.code == 71 and not done.left
    last = int(forked.checkpoints(place / "run")[0].stem.removeprefix("step-"))
    # the same training, as --max-steps decides when it ends
    again = project.train(place, *flags, "--resume", "auto", "--time-limit", "1")
    assert again.code == 75 and f"continues after step {last}" in again.out
