"""torchvision's data sets, as an image classification reads them, from small files made here."""

import hashlib
import pickle
import struct
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from project.data import Sets, add_data_flags, fit, open_images
from project.engine.errors import DATA
from torchvision import datasets

CLASSES = [f"class {number}" for number in range(10)]


def open_known(name: str, folder: Path) -> Sets:
    parser = ArgumentParser()
    add_data_flags(parser)
    config = vars(parser.parse_args(["--dataset", name, "--data", str(folder)]))
    return open_images(config, fit(32), fit(32))


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write files like CIFAR-10's, of ten images each, whose checksums are expected."""
    folder = tmp_path / datasets.CIFAR10.base_folder
    folder.mkdir()

    def write(name: str, content: Any) -> tuple[str, str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324

    batches = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    written = []
    for number, name in enumerate(batches):
        channels = np.repeat([number, 100 + number, 200 + number], 1024).astype(np.uint8)
        content = {"data": np.tile(channels, (10, 1)), "labels": [*range(10)]}
        written.append(write(name, content))
    name, checksum = write("batches.meta", {"label_names": CLASSES})
    meta = {"filename": name, "key": "label_names", "md5": checksum}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", written[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", written[5:])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def test_cifar10_has_three_sets_of_bytes(cifar10: Path) -> None:
    sets = open_known("cifar10", cifar10)
    assert sets.classes == CLASSES
    assert len(sets.train) + len(sets.val) == 50 and len(sets.val) and len(sets.test) == 10
    image, label = sets.test[3]
    assert image.shape == (3, 32, 32) and image.dtype == torch.uint8 and label == 3
    assert image[:, 0, 0].tolist() == [5, 105, 205]


def test_what_is_held_out_of_it_stays_the_same(cifar10: Path) -> None:
    first, again = (open_known("cifar10", cifar10).val for _ in range(2))
    assert len(first) == len(again)
    assert all(torch.equal(first[index][0], again[index][0]) for index in range(len(first)))


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 50), ("t10k", 20)):
        images = np.full((count, 28, 28), 7)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    sets = open_known("mnist", tmp_path)
    image, label = sets.test[13]
    assert image.shape == (1, 32, 32) and (image == 7).all() and label == 3
    assert len(sets.classes) == 10 and len(sets.train) + len(sets.val) == 50


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_without_a_network_what_is_missing_or_damaged_is_one_line(
    cifar10: Path, damage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*arguments: Any, **options: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    path = cifar10 / datasets.CIFAR10.base_folder / "data_batch_3"
    content = path.read_bytes()[:100]
    path.unlink()
    if damage == "cut off":
        path.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        open_known("cifar10", cifar10)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert "--dataset cifar10" in error and "no route to host" in error and error.count("\n") == 1
