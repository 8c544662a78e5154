import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
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
    read_checkpoint,
    record_of,
    write_checkpoint,
)


def make_content(step: int) -> dict[str, Any]:
    torch.manual_seed(step)
    net = {"0.weight": torch.randn(4, 8), "0.bias": torch.randn(4)}
    return {"step": step, "scores": {"loss": 0.5}, "state": {"net": net, "best": {"score": None}}}


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


def test_the_record_holds_size_and_checksum(path):
    record = json.loads(record_of(path).read_text())
    assert record["size"] == path.stat().st_size and len(record["sha256"]) == 64
    assert sorted(file.name for file in path.parent.iterdir()) == ["step-1.json", "step-1.pt"]


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
            (storage.Hashed, "write"),
        ):
            monkeypatch.setattr(owner, name, self.count(getattr(owner, name)))

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


@pytest.mark.skipif(os.name != "posix", reason="this system has no call that flushes a folder")
def test_a_name_is_given_to_what_is_on_the_disk_and_the_record_comes_last(path, monkeypatch):
    with monkeypatch.context() as patch:
        life = Life(patch, 1000)
        write_checkpoint(make_content(2), path)
    order = [name for name in life.done if name in ("fsync", "replace")]
    assert order == 2 * ["fsync", "replace", "fsync"]  # the file, its name, the folder
    assert life.done.index("unlink") < life.done.index("replace")  # a record of another file


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


def bits(content: bytes) -> list[int]:
    """Return some 300 bits: all over the file, and close together at its ends."""
    size = 8 * len(content)
    ends = {*range(0, 240, 5), *range(size - 400, size, 7)}
    return sorted({*range(0, size, size // 200 + 1), *ends})


@pytest.mark.parametrize("recorded", [True, False])
def test_no_flipped_bit_changes_what_is_read(path, recorded):
    whole = path.read_bytes()
    if not recorded:
        record_of(path).unlink()
    found = 0
    for bit in bits(whole):
        path.write_bytes(flipped(whole, bit))
        try:
            assert same(read_checkpoint(path), 1), f"bit {bit}"
        except DamagedError:
            found += 1
    assert found == len(bits(whole)) if recorded else found > len(bits(whole)) // 2


def test_a_damaged_record_is_found(path):
    record = record_of(path)
    whole = record.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        record.write_bytes(flipped(whole, bit))
        try:
            assert json.loads(record.read_bytes()) == json.loads(whole), f"bit {bit}"
        except (ValueError, AssertionError):
            with pytest.raises(DamagedError):
                read_checkpoint(path)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_torn_checkpoint_is_one_line(path, capsys, recorded):
    whole = path.read_bytes()
    if not recorded:
        record_of(path).unlink()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert_refused(capsys, path, f"has {size:,} bytes" if recorded else "not a checkpoint")


def test_a_copy_without_its_record_is_read(path, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(path.read_bytes())
    assert same(load_checkpoint(copy), 1)


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
    assert_refused(capsys, tmp_path / "none.pt", "no such checkpoint")
    assert_refused(capsys, tmp_path, str(tmp_path))


class Planted:
    """Makes a folder, were it ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("recorded", [True, False])
def test_code_in_a_checkpoint_never_runs(path, capsys, recorded):
    marker = path.with_name("marker")
    torch.save({"format": 1, **make_content(1), "more": Planted(marker)}, path)
    record_of(path).unlink()
    if recorded:
        content = path.read_bytes()
        record = {"size": len(content), "sha256": storage.hashlib.sha256(content).hexdigest()}
        record_of(path).write_text(json.dumps(record))
    assert_refused(capsys, path, "mkdir")
    assert not marker.exists()


@pytest.mark.parametrize("value", [np.float64(0.5), Path("a")])
def test_what_could_not_be_read_again_is_not_written(path, value):
    with pytest.raises(DamagedError, match=r"numpy|pathlib"):
        write_checkpoint({**make_content(2), "scores": {"loss": value}}, path)
    assert same(read_checkpoint(path), 1)
    assert len(list(path.parent.iterdir())) == 2


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
    assert len(list(path.parent.iterdir())) == 2


def test_a_deleted_folder_is_made_again(path):
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    write_checkpoint(make_content(2), path)
    assert same(read_checkpoint(path), 2)
