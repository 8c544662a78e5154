import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from project.engine.metrics import HEADER, Metrics, append

resource = pytest.importorskip("resource")  # not on Windows


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes, which looks like a disk with that much room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_row_that_does_not_fit_leaves_nothing_behind(tmp_path):
    metrics = Metrics(tmp_path, 0)
    metrics.add_scalars({"loss": 1.0}, 1)
    before = metrics.path.read_bytes()
    with full_disk(len(before) + 5), pytest.raises(OSError, match="too large"):
        metrics.add_scalars({"loss": 0.5}, 2)
    assert metrics.path.read_bytes() == before
    metrics.add_scalars({"loss": 0.5}, 2)
    assert metrics.path.read_bytes() == before + b"2,loss,0.5\n"


def test_a_deleted_folder_is_made_again_with_the_head(tmp_path):
    metrics = Metrics(tmp_path / "run", 0)
    metrics.add_scalars({"loss": 1.0}, 1)
    shutil.rmtree(tmp_path / "run")
    metrics.add_scalars({"loss": 0.5}, 2)
    assert metrics.path.read_text() == HEADER + "2,loss,0.5\n"


def test_the_head_alone_is_not_left_behind_either(tmp_path):
    path = tmp_path / "new.csv"
    with full_disk(4), pytest.raises(OSError, match="too large"):
        append(path, b"12345", b"123")
    assert path.read_bytes() == b""
    append(path, b"12345", b"123")
    assert path.read_bytes() == b"12312345"


@pytest.mark.parametrize(
    "damage", ["3", "3,loss", "3,loss,0.", "3,loss,\n", "\0\0\0\n", "\ufffd,loss,1.0\n", "\n"]
)
def test_a_damaged_row_is_dropped_on_resume(tmp_path: Path, damage: str):
    whole = HEADER + '1,"a, b",nan\n2,loss,-inf\n3,loss,1.5e-07\n'
    (tmp_path / "metrics.csv").write_text(whole + damage)
    Metrics(tmp_path, 3)
    assert (tmp_path / "metrics.csv").read_text() == whole


def test_bytes_that_are_no_text_are_dropped_on_resume(tmp_path):
    whole = HEADER.encode() + b"1,loss,1.0\n"
    (tmp_path / "metrics.csv").write_bytes(whole + b"2,\xff\xfe")
    Metrics(tmp_path, 3)
    assert (tmp_path / "metrics.csv").read_bytes() == whole
