"""CIFAR-10, as an image classification reads it, from an archive that is made up here."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import torch
from project import data as module
from project.data import CIFAR10_CLASSES, Images, augment, keep, open_images
from project.engine.errors import DATA

RECORD = 1 + 3 * 32 * 32
CIFAR10_FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def made_up_archive(extra: str = "") -> bytes:
    """Return an archive like CIFAR-10's, of two images in each file."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for number, name in enumerate(CIFAR10_FILES):
            first = bytes([number]) + bytes([10 + number]) * (RECORD - 1)
            second = bytes([9]) + b"\x01" * 1024 + b"\x02" * 1024 + b"\x03" * 1024
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 2 * RECORD
            archive.addfile(member, io.BytesIO(first + second))
        if extra:
            archive.addfile(tarfile.TarInfo(extra), io.BytesIO())
    return content.getvalue()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """Return a function that answers the next downloads with these bytes."""

    def serve(content: bytes, checksum_of: bytes = b"") -> list[str]:
        asked = []

        def answer(address: str, timeout: float) -> io.BytesIO:
            asked.append(address)
            return io.BytesIO(content)

        checksum = hashlib.sha256(checksum_of or content).hexdigest()
        monkeypatch.setattr(module, "urlopen", answer)
        monkeypatch.setattr(module, "CIFAR10_SHA256", checksum)
        monkeypatch.setattr(module, "CIFAR10_IMAGES", 2)
        return asked

    return serve


def open_cifar10(folder: Path) -> tuple[Images, Images]:
    return open_images("cifar10", folder, 32, 1, False, (augment, keep))


def refused_cifar10(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        open_cifar10(folder)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_cifar10_is_downloaded_over_https_once_and_read(tmp_path, serve):
    asked = serve(made_up_archive())
    for _ in range(2):
        train, test = open_cifar10(tmp_path / "data")
    assert len(asked) == 1 and asked[0].startswith("https://")
    assert train.classes == list(CIFAR10_CLASSES) and len(set(train.classes)) == 10
    assert train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert test.labels.tolist() == [5, 9]
    assert test.images.shape == (2, 3, 32, 32) and test.images.dtype == torch.uint8
    assert test.images[1].float().mean(dim=(1, 2)).tolist() == [1.0, 2.0, 3.0]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-batches-bin"]


def test_a_download_that_was_cut_off_is_not_unpacked(tmp_path, serve, capsys):
    whole = made_up_archive()
    serve(whole[:-100], checksum_of=whole)
    assert "not downloaded" in refused_cifar10(capsys, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_archive_that_writes_elsewhere_is_not_unpacked(tmp_path, serve, capsys):
    serve(made_up_archive(extra="../../outside.txt"))
    assert "outside" in refused_cifar10(capsys, tmp_path / "data" / "images")
    assert not list(tmp_path.rglob("outside.txt"))
    assert not list((tmp_path / "data" / "images").iterdir())


def test_no_network_is_one_line(tmp_path, monkeypatch, capsys):
    def unreachable(address: str, timeout: float) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(module, "urlopen", unreachable)
    assert "no route to host" in refused_cifar10(capsys, tmp_path)


def test_a_run_that_unpacked_it_first_is_no_fault(tmp_path, serve, monkeypatch):
    serve(made_up_archive())
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        rename(self, target)  # the other run's
        raise OSError("Directory not empty")

    monkeypatch.setattr(Path, "rename", late)
    assert len(open_cifar10(tmp_path)[0]) == 10


@pytest.mark.parametrize("content", [None, b"", bytes(RECORD), bytes(2 * RECORD + 1)])
def test_a_damaged_file_of_cifar10_is_named(tmp_path, serve, capsys, content):
    serve(made_up_archive())
    open_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert str(path) in refused_cifar10(capsys, tmp_path)
