"""Tar files as WebDataset writes them, and what is no such file."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset
from project.engine.errors import DATA, BadSampleError
from project.engine.loader import Loader
from project.readers import tar_shards
from project.readers.tar_shards import Parts, TarShards

LONG = "a-folder-with-a-name/" * 12  # longer than a tar header has room for


def decode(parts: Parts) -> tuple[Any, Any]:
    return torch.tensor([*parts["bin"]]), int(parts["cls"])


def write_shard(path: Path, numbers: range, prefix: str = "") -> Path:
    """Write samples with WebDataset's own writer."""
    with webdataset.writer.TarWriter(str(path)) as writer:
        for number in numbers:
            key = f"{prefix}{number:06}"
            writer.write({"__key__": key, "bin": bytes([number % 256] * 3), "cls": str(number)})
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    archive.addfile(about, io.BytesIO(content))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shards(folder: Path) -> list[Path]:
    ranges = (range(0, 5), range(5, 6), range(6, 13))
    return [write_shard(folder / f"{number}.tar", r) for number, r in enumerate(ranges)]


def labels(dataset: TarShards) -> list[int]:
    return [dataset[index][1] for index in range(len(dataset))]


def refused(paths: list[Path], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        TarShards(paths, decode)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("prefix", ["", LONG])
def test_every_sample_is_found_whatever_its_name(folder, prefix):
    shard = write_shard(folder / "a.tar", range(300), prefix)
    dataset = TarShards([shard], decode)
    assert labels(dataset) == [*range(300)]
    assert dataset[257][0].tolist() == [1, 1, 1]


def test_samples_are_numbered_over_the_files(shards):
    dataset = TarShards(shards, decode)
    assert len(dataset) == 13 and labels(dataset) == [*range(13)]
    with pytest.raises(IndexError):
        dataset[13]


def test_an_index_is_made_once_and_again_for_a_file_that_changed(shards, capsys):
    TarShards(shards, decode)
    assert "3 of 3 tar files are new" in capsys.readouterr().out
    TarShards([str(path) for path in shards], decode)
    assert not capsys.readouterr().out
    write_shard(shards[0], range(7))
    assert len(TarShards(shards, decode)) == 15
    assert "1 of 3 tar files are new" in capsys.readouterr().out


def test_what_is_no_part_of_a_sample_is_passed_over(folder):
    with tarfile.open(folder / "mixed.tar", "w") as archive:
        add(archive, "README", b"about these")
        for number in range(3):
            place = tarfile.TarInfo(f"{number}")
            place.type = tarfile.DIRTYPE
            archive.addfile(place)
            add(archive, f"{number}/image.seg.png", b"mask")
            add(archive, f"{number}/image.png", b"image")
            add(archive, "LICENSE", b"free")
    dataset = TarShards([folder / "mixed.tar"], lambda parts: (dict(parts), parts.name))
    assert len(dataset) == 3
    assert dataset[1][0] == {"seg.png": b"mask", "png": b"image"}
    assert dataset[2][1] == f"{folder}/mixed.tar: sample 2/image"


def test_workers_read_the_same_samples(shards):
    def order(workers: int) -> list[int]:
        loader = Loader(TarShards(shards, decode), 4, shuffle=True, seed=3, workers=workers)
        steps = loader.steps(range(8))
        return [label for step in steps for _, y in step.micro_batches for label in y.tolist()]

    assert order(0) == order(2)
    assert sorted(order(0)[:13]) == [*range(13)]


def test_what_is_open_or_in_memory_does_not_grow_with_the_files(shards):
    dataset = TarShards(shards, decode)
    labels(dataset)
    assert all(isinstance(starts, tar_shards.np.memmap) for starts in dataset.starts)


def test_a_part_that_is_missing_is_named_with_those_that_are_there(shards):
    dataset = TarShards(shards, lambda parts: (parts["jpg"], parts["cls"]))
    with pytest.raises(BadSampleError, match=r"0\.tar: sample 000003: no \.jpg .* \.bin, \.cls"):
        dataset[3]


def test_a_sample_that_cannot_be_decoded_is_named(shards):
    dataset = TarShards(shards, lambda parts: (torch.zeros(1), int(parts["bin"])))
    with pytest.raises(BadSampleError, match=r"0\.tar: sample 000002: invalid literal"):
        dataset[2]


def test_a_mistake_in_decode_keeps_its_own_words(shards):
    with pytest.raises(ZeroDivisionError):
        TarShards(shards, lambda parts: (1 / 0, 0))[0]


@pytest.mark.parametrize("how", ["no tar", "compressed", "empty", "no samples", "gone"])
def test_what_is_no_shard_is_named(folder, capsys, how):
    path = folder / "bad.tar"
    if how == "no tar":
        path.write_text("hello" * 1000)
    elif how in ("compressed", "no samples"):
        with tarfile.open(path, "w:gz" if how == "compressed" else "w") as archive:
            add(archive, "README", b"nothing")
    elif how == "empty":
        path.write_bytes(b"")
    assert str(path) in refused([path], capsys)


def test_no_files_at_all_are_refused(capsys):
    assert "none are named" in refused([], capsys)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.97])
def test_a_shard_that_was_cut_off_is_refused(folder, capsys, place):
    path = write_shard(folder / "cut.tar", range(20))
    content = path.read_bytes()
    path.write_bytes(content[: int(place * 20 * 2 * 1024) + 100])
    assert "no whole tar file" in refused([path], capsys)


def test_a_shard_that_is_damaged_in_the_middle_is_refused(folder, capsys):
    path = write_shard(folder / "damaged.tar", range(20))
    content = bytearray(path.read_bytes())
    content[20 * 1024 : 20 * 1024 + 100] = b"\xff" * 100
    path.write_bytes(content)
    assert "damaged at byte 20480" in refused([path], capsys)


@pytest.mark.parametrize("content", [b"\xff", b"\0"])
def test_a_shard_that_changes_under_way_is_a_bad_sample(shards, content):
    dataset = TarShards(shards, decode)
    shards[0].write_bytes(content * shards[0].stat().st_size)
    with pytest.raises(BadSampleError, match=r"0\.tar: damaged at byte"):
        dataset[1]
