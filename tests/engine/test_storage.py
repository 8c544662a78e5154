import errno
import os
import pickle
import stat
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from project.engine import storage
from project.engine.checkpoint import newest_whole
from project.engine.errors import MISMATCH
from project.engine.storage import (
    DamagedError,
    load_checkpoint,
    read_archive,
    read_checkpoint,
    write_checkpoint,
)


def make_content(step: int) -> dict[str, Any]:
    torch.manual_seed(step)
    net = {"0.weight": torch.randn(4, 8), "0.bias": torch.randn(4)}
    about = {"model": {"width": 8}, "data": {}, "config": {"lr": 0.01}, "kinds": {"best": "Best"}}
    state = {"net": net, "best": {"score": None}}
    return {"step": step, "scores": {"loss": 0.5}, **about, "state": state}


def same(content: dict[str, Any], step: int) -> bool:
    """Compare bit for bit with what was written."""
    wanted = make_content(step)
    net = wanted["state"].pop("net")
    found = content["state"].pop("net")
    rest = {name: value for name, value in content.items() if name not in ("format", "path")}
    return rest == wanted and all(torch.equal(found[name], net[name]) for name in net)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint."""
    path = tmp_path / "checkpoints" / "step-1.pt"
    write_checkpoint(make_content(1), path)
    return path


def assert_refused(capsys: pytest.CaptureFixture[str], path: Path, part: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        load_checkpoint(path)
    assert stopped.value.code == MISMATCH == 78
    error = capsys.readouterr().err
    assert str(path) in error and part in error and error.count("\n") == 1


def test_what_is_read_is_what_was_written(path):
    content = load_checkpoint(path)
    assert content["path"] == path and same(content, 1)


def test_a_checkpoint_is_one_file(path):
    assert [file.name for file in path.parent.iterdir()] == ["step-1.pt"]


class KilledError(BaseException):
    pass


class Life:
    """Ends with the n-th call of what touches the disk; nothing that comes later happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: float) -> None:
        self.left = calls
        self.done: list[str] = []
        for owner, name in (
            *((os, name) for name in ("fsync", "open")),
            *((Path, name) for name in ("open", "replace", "unlink", "mkdir")),
        ):
            monkeypatch.setattr(owner, name, self.count(getattr(owner, name)))
        save, life = vars(torch)["save"], self

        def save_through(content: Any, file: Any) -> None:
            """Save into the file, of which each write is a call."""
            save(content, SimpleNamespace(write=life.count(file.write), flush=file.flush))

        monkeypatch.setattr(torch, "save", save_through)

    def count(self, function: Callable) -> Callable:
        def counted(*values: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KilledError
            self.done.append(function.__name__)
            return function(*values, **more)

        return counted


def ends_at(monkeypatch: pytest.MonkeyPatch, calls: float, path: Path) -> int:
    """Write a checkpoint in a life of so many calls; return how many were left."""
    with monkeypatch.context() as patch:
        life = Life(patch, calls)
        write_checkpoint(make_content(2), path)
    return int(life.left)


@pytest.mark.parametrize("name", ["step-2.pt", "step-1.pt"])
def test_wherever_a_process_ends_the_old_checkpoint_or_the_new_one_is_whole(
    path, monkeypatch, name
):
    many = 1000
    calls = many - ends_at(monkeypatch, many, path.with_name("count.pt"))
    assert calls > 20
    newest = []
    for call in range(calls + 1):
        for file in path.parent.iterdir():
            file.unlink()
        write_checkpoint(make_content(1), path)
        if call < calls:
            with pytest.raises(KilledError):
                ends_at(monkeypatch, call, path.with_name(name))
        else:
            ends_at(monkeypatch, call, path.with_name(name))
        found = newest_whole(path.parents[1])
        assert found is not None
        content = read_checkpoint(found)
        newest.append(content["step"])
        assert same(content, content["step"])
    assert newest == sorted(newest) and set(newest) == {1, 2}


on_posix = pytest.mark.skipif(os.name != "posix", reason="no call of this system flushes a folder")


@on_posix
def test_a_name_is_given_to_what_is_on_the_disk_and_is_flushed_too(path, monkeypatch):
    with monkeypatch.context() as patch:
        life = Life(patch, 1000)
        write_checkpoint(make_content(2), path)
    order = [name for name in life.done if name in ("fsync", "replace")]
    assert order == ["fsync", "replace", "fsync"]  # the file, its name, the folder


@on_posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_flushed_is_no_failure(path, monkeypatch, number):
    flush = os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        flush(file)

    monkeypatch.setattr(storage.os, "fsync", fsync)
    if number == errno.EIO:  # which is one
        with pytest.raises(OSError, match=os.strerror(number)):
            write_checkpoint(make_content(2), path)
    else:
        write_checkpoint(make_content(2), path)
        assert same(read_checkpoint(path), 2)


def test_what_a_killed_process_left_is_not_in_the_way(path, monkeypatch):
    with pytest.raises(KilledError):
        ends_at(monkeypatch, 10, path)
    assert path.with_suffix(".tmp").exists()
    write_checkpoint(make_content(2), path)
    assert same(read_checkpoint(path), 2) and not path.with_suffix(".tmp").exists()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def regions(path: Path) -> dict[str, list[int]]:
    """Return the places of a file's bytes by what they are for."""
    content, found = path.read_bytes(), defaultdict(list)
    with zipfile.ZipFile(path) as archive:
        parts, directory = archive.infolist(), archive.start_dir
    for part, end in zip(parts, [p.header_offset for p in parts[1:]] + [directory], strict=True):
        sizes = (
            int.from_bytes(content[part.header_offset + at :][:2], "little") for at in (26, 28)
        )
        kind = "tensor" if "/data/" in part.filename else part.filename.partition("/")[2]
        places = [*accumulate((part.header_offset, 30 + next(sizes), next(sizes), part.file_size))]
        for name, (first, last) in zip(
            ("header", "padding", kind, "checksum"), pairwise([*places, end]), strict=True
        ):
            found[name] += range(first, last)
    record = content.rindex(b"PK\6\6")  # a large archive's, which torch.save writes always
    found["directory"] += range(directory, record)
    found["end record"] += range(record, len(content))
    assert sorted(place for places in found.values() for place in places) == [*range(len(content))]
    return found


def test_no_flipped_bit_in_any_part_of_a_file_changes_what_is_read(path):
    whole, found = path.read_bytes(), Counter()
    parts = {kind: places[::2] for kind, places in regions(path).items()}
    for kind, places in parts.items():
        for number, place in enumerate(places):
            path.write_bytes(flipped(whole, 8 * place + number % 8))
            try:
                read_archive(path, "meta")
            except DamagedError:
                found[kind] += 1
            else:  # what it changed is nothing that is read, such as a date
                assert same(read_checkpoint(path), 1), (kind, place)
    assert sum(map(len, parts.values())) > 1000
    assert all(found[kind] == len(parts[kind]) for kind in ("tensor", "data.pkl"))
    assert all(found[kind] > len(parts[kind]) // 4 for kind in ("header", "directory"))


def test_a_part_that_a_flipped_bit_marks_as_a_folder_is_found(path):
    whole = path.read_bytes()
    for place in regions(path)["directory"]:
        if whole[place:].startswith(b"PK\1\2"):
            path.write_bytes(flipped(whole, 8 * (place + 38) + 4))
            with pytest.raises(DamagedError, match="damaged at "):
                read_checkpoint(path)


def test_every_truncation_is_found(path):
    whole = path.read_bytes()
    for size in range(0, len(whole), 20):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedError):
            read_archive(path, "meta")


def test_a_torn_checkpoint_is_one_line(path, capsys):
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert_refused(capsys, path, "not a checkpoint, or a damaged one")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"step,name,value\n1,loss,0.5\n",
        b"hello",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        bytes(1000),
        pickle.dumps({"format": 1}, protocol=2),
        pickle.dumps(Path("a"), protocol=2),
    ],
)
def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "some.pt"
    path.write_bytes(content)
    assert_refused(capsys, path, "not a checkpoint")


def test_weights_alone_are_no_checkpoint(tmp_path, capsys):
    path = tmp_path / "weights.pt"
    torch.save(make_content(1)["state"]["net"], path)
    assert_refused(capsys, path, "not a checkpoint of this project")


def test_a_newer_format_is_refused_with_the_way_out(tmp_path, capsys):
    path = tmp_path / "newer.pt"
    torch.save({"format": storage.FORMAT + 1}, path)
    assert_refused(capsys, path, "update the project")


def test_a_missing_checkpoint_is_one_line(tmp_path, capsys):
    assert_refused(capsys, tmp_path / "none.pt", "No such file")
    assert_refused(capsys, tmp_path, str(tmp_path))


class Planted:
    """Makes a folder, were it ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def test_code_in_a_checkpoint_never_runs(path, capsys):
    marker = path.with_name("marker")
    torch.save({"format": 1, **make_content(1), "more": Planted(marker)}, path)
    assert_refused(capsys, path, "mkdir")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.float64(0.5), "numpy.float64"),
        (np.zeros(2), "numpy.ndarray"),
        (Path("a"), "pathlib"),
        (Planted(Path("a")), "Planted"),
        (lambda: None, "builtins.function"),
        ({1: [0.5, (np.int64(1),)]}, ".1.1.0: numpy.int64"),
    ],
)
def test_what_could_not_be_read_again_is_not_written_and_named(path, value, kind):
    with pytest.raises(DamagedError, match=rf"holds scores\.loss.*{kind}.*, which"):
        write_checkpoint({**make_content(2), "scores": {"loss": value}}, path)
    assert same(read_checkpoint(path), 1)
    assert [file.name for file in path.parent.iterdir()] == ["step-1.pt"]


MISSING = object()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, MISSING) for name in ("model", "data", "config", "state")),
        *((name, None) for name in ("format", "step", "model", "data", "config", "state")),
        *(("step", "3"), ("state", []), ("config", "lr"), ("scores", 0.5), ("kinds", ["Best"])),
    ],
)
def test_a_file_made_by_hand_is_refused_with_the_part_that_is_wrong(path, capsys, name, value):
    content = {"format": 1, **make_content(1), name: value}
    if value is MISSING:
        del content[name]
    torch.save(content, path)
    assert_refused(capsys, path, f"not a checkpoint of this project: no proper {name} in it")


@pytest.mark.parametrize("size", [100, 1000])
def test_a_full_disk_leaves_what_was_there(path, size):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_checkpoint(make_content(2), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert same(read_checkpoint(path), 1)
    assert [file.name for file in path.parent.iterdir()] == ["step-1.pt"]


def test_a_deleted_folder_is_made_again(path):
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    write_checkpoint(make_content(2), path)
    assert same(read_checkpoint(path), 2)
