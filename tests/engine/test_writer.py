import math
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from project.engine import writer as module
from project.engine.errors import OUTPUT, USAGE, Ending, fail
from project.engine.writer import HEADER, Writer, as_table, explain


class Recorder:
    """A logger that remembers its calls."""

    made: ClassVar[list["Recorder"]] = []

    def __init__(self, folder, config, resume_step):
        self.calls = []
        self.made.append(self)

    def add_scalars(self, values, step):
        self.calls.append(("scalars", values, step))

    def add_image(self, name, image, step):
        self.calls.append(("image", name, step))

    def add_text(self, name, text, step):
        self.calls.append(("text", name, step))

    def close(self):
        self.calls.append(("close",))


class Failing(Recorder):
    """A logger that takes no number from a step on."""

    from_step: ClassVar[float] = 0

    def add_scalars(self, values, step):
        if step >= self.from_step:
            raise ConnectionError("no route to host")
        super().add_scalars(values, step)


@pytest.fixture(autouse=True)
def made():
    """Return the Recorders of this test, in order."""
    Recorder.made.clear()
    return Recorder.made


@contextmanager
def full_disk(size: int) -> Generator[None]:
    """No file grows beyond `size` bytes, which looks like a disk with that much room."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_steps(folder, steps: Iterable[int], resume_step: int = 0) -> None:
    writer = Writer(folder, {}, resume_step=resume_step)
    for step in steps:
        writer.add_scalars({"train/loss": 1 / (step + 1), "train/lr": 0.1}, step)
    writer.close()


# metrics.csv


def test_a_row_is_on_disk_as_soon_as_it_is_written(tmp_path):
    writer = Writer(tmp_path, {})
    writer.add_scalars({"train/loss": 0.1, "a, b": 2}, 7)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows == ["step,name,value", "7,train/loss,0.1", '7,"a, b",2.0']
    writer.close()


def test_resumed_file_equals_that_of_an_uninterrupted_run(tmp_path):
    write_steps(tmp_path / "whole", range(10))
    write_steps(tmp_path / "resumed", range(8))
    write_steps(tmp_path / "resumed", range(5, 10), resume_step=4)
    paths = (tmp_path / name / "metrics.csv" for name in ("whole", "resumed"))
    assert len({path.read_text() for path in paths}) == 1


def test_a_run_from_the_start_begins_the_file_anew(tmp_path):
    write_steps(tmp_path, range(1, 4))
    write_steps(tmp_path, range(1, 2))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def test_rows_wait_for_a_full_disk_and_the_file_is_whole_in_the_end(tmp_path, capsys):
    write_steps(tmp_path / "whole", range(9))
    writer = Writer(tmp_path, {})
    for step in range(9):
        with full_disk((tmp_path / "metrics.csv").stat().st_size + (9 if 3 <= step < 6 else 1000)):
            writer.add_scalars({"train/loss": 1 / (step + 1), "train/lr": 0.1}, step)
    writer.close()
    paths = (path / "metrics.csv" for path in (tmp_path, tmp_path / "whole"))
    assert len({path.read_text() for path in paths}) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("metrics.csv: File too large")


def test_a_run_on_a_disk_that_stays_full_ends_with_the_number_of_values_that_are_missing(
    tmp_path, capsys
):
    writer = Writer(tmp_path, {}, Recorder)
    with full_disk(len(HEADER) + 9):
        for step in range(1000):
            writer.add_scalars({"loss": 1.0, "rate": 0.1}, step)
        writer.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1] == "metrics.csv: 2,000 values are missing"
    assert (tmp_path / "metrics.csv").read_text() == HEADER + "0,loss,1."  # dropped on resume


def test_a_run_after_a_full_disk_resumes_to_the_file_of_an_uninterrupted_one(tmp_path):
    write_steps(tmp_path / "whole", range(10))
    writer = Writer(tmp_path, {})
    for step in range(8):
        with full_disk(150):  # room for about five rows
            writer.add_scalars({"train/loss": 1 / (step + 1), "train/lr": 0.1}, step)
    *whole, _ = whole_rows(tmp_path)  # the last one is torn
    last = max(int(row.split(",")[0]) for row in whole) - 1  # of which all rows are there
    assert 1 <= last < 7
    write_steps(tmp_path, range(last + 1, 10), resume_step=last)
    writer._rows = b""
    writer.close()
    paths = (path / "metrics.csv" for path in (tmp_path, tmp_path / "whole"))
    assert len({path.read_text() for path in paths}) == 1


def whole_rows(folder: Path) -> list[str]:
    return (folder / "metrics.csv").read_text().splitlines()[1:]


def test_a_row_that_fits_in_part_is_completed_by_the_next(tmp_path, capsys):
    writer = Writer(tmp_path, {})
    with full_disk(len(HEADER) + 5):
        writer.add_scalars({"loss": 1.0}, 1)
    assert (tmp_path / "metrics.csv").read_text() == HEADER + "1,los"
    assert "File too large" in capsys.readouterr().err
    writer.add_scalars({"loss": 0.5}, 2)
    writer.close()
    assert whole_rows(tmp_path) == ["1,loss,1.0", "2,loss,0.5"]


def test_a_deleted_folder_is_made_again_with_the_header(tmp_path):
    writer = Writer(tmp_path / "run", {})
    writer.add_scalars({"loss": 1.0}, 1)
    shutil.rmtree(tmp_path / "run")
    writer.add_scalars({"loss": 0.5}, 2)
    assert (tmp_path / "run" / "metrics.csv").read_text() == HEADER + "2,loss,0.5\n"
    writer.close()


@pytest.mark.parametrize(
    "damage", ["3", "3,loss", "3,loss,0.", "3,loss,\n", "\0\0\0\n", "\ufffd,loss,1.0\n", "\n"]
)
def test_a_damaged_row_is_dropped_on_resume(tmp_path: Path, damage: str):
    path, whole = tmp_path / "metrics.csv", HEADER + '1,"a, b",nan\n2,loss,-inf\n3,loss,1.5e-07\n'
    path.write_text(whole + damage)
    Writer(tmp_path, {}, resume_step=3).close()
    assert path.read_text() == whole


def test_bytes_that_are_no_text_are_dropped_on_resume(tmp_path):
    path, whole = tmp_path / "metrics.csv", HEADER.encode() + b"1,loss,1.0\n"
    path.write_bytes(whole + b"2,\xff\xfe")
    Writer(tmp_path, {}, resume_step=3).close()
    assert path.read_bytes() == whole


# values


@pytest.mark.parametrize(
    "value",
    [
        *(2, 2.0, Decimal(2), np.float64(2), np.float32(2), np.int64(2), np.array(2.0)),
        *(torch.tensor(2.0), torch.tensor(2), torch.tensor([2.0], dtype=torch.bfloat16)),
    ],
)
def test_a_number_of_any_library_is_written_as_a_plain_one(tmp_path, made, value):
    writer = Writer(tmp_path, {}, Recorder)
    writer.add_scalars({"test/score": value}, 1)
    writer.close()
    assert whole_rows(tmp_path) == ["1,test/score,2.0"]
    assert made[0].calls[0] == ("scalars", {"test/score": 2.0}, 1)
    assert type(made[0].calls[0][1]["test/score"]) is float


def test_numbers_that_are_not_finite_are_written(tmp_path):
    writer = Writer(tmp_path, {})
    writer.add_scalars({"a": math.nan, "b": np.float32("inf"), "c": torch.tensor(-math.inf)}, 1)
    writer.close()
    assert whole_rows(tmp_path) == ["1,a,nan", "1,b,inf", "1,c,-inf"]


# loggers


def test_all_loggers_are_told_everything(tmp_path, made, capsys):
    class Another(Recorder):
        pass

    writer = Writer(tmp_path, {}, Recorder, Another)
    writer.add_scalars({"loss": 1.0}, 1)
    writer.add_image("digit", torch.zeros(3, 8, 8, dtype=torch.uint8), 2)
    writer.add_text("sample", "text", 3)
    writer.close()
    expected = [("scalars", {"loss": 1.0}, 1), ("image", "digit", 2), ("text", "sample", 3)]
    assert [recorder.calls for recorder in made] == [[*expected, ("close",)]] * 2
    assert capsys.readouterr().err == ""


def test_a_logger_that_fails_is_named_once_and_left_out_and_the_end_says_what_it_lacks(
    tmp_path, made, capsys, monkeypatch
):
    monkeypatch.setattr(Failing, "from_step", 3)
    writer = Writer(tmp_path, {}, Failing, Recorder)
    for step in range(1, 6):
        writer.add_scalars({"loss": 1.0}, step)
    assert capsys.readouterr().err == "Failing: no route to host; left out from here on\n"
    writer.close()
    assert capsys.readouterr().err == (
        "only metrics.csv has the values that are missing in Failing from step 3 on\n"
    )
    failing, other = made
    assert [call[-1] for call in failing.calls] == [1, 2]  # and it is not closed
    assert [call[-1] for call in other.calls] == [1, 2, 3, 4, 5, "close"]
    assert len(whole_rows(tmp_path)) == 5


@pytest.mark.parametrize("error", [TypeError("no picture"), RuntimeError(), KeyError("x"), OSError])
def test_whatever_a_logger_raises_ends_no_run(tmp_path, capsys, monkeypatch, error):
    def refuse(self, name, image, step):
        raise error

    monkeypatch.setattr(Recorder, "add_image", refuse)
    writer = Writer(tmp_path, {}, Recorder)
    writer.add_image("digit", torch.zeros(3, 8, 8, dtype=torch.uint8), 2)
    writer.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("Recorder" in line for line in lines)


def test_what_a_logger_had_not_sent_yet_is_missing_too(tmp_path, capsys, monkeypatch):
    class Batched(Recorder):
        waiting: ClassVar[list] = [torch.Size([1])]

        def close(self):
            raise ConnectionError("down")

    class Value:
        step = 4

    monkeypatch.setattr(Batched, "waiting", [Value()])
    writer = Writer(tmp_path, {}, Batched)
    writer.add_scalars({"loss": 1.0}, 9)
    writer.close()
    assert capsys.readouterr().err.splitlines()[-1].endswith("Batched from step 4 on")


def unreachable(folder, config, resume_step):
    raise ConnectionError("no route to host")


def test_a_new_run_ends_in_one_line_where_a_logger_cannot_be_opened(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, unreachable)
    assert stopped.value.code == OUTPUT
    assert capsys.readouterr().err == "unreachable: no route to host\n"


def test_a_resumed_run_goes_on_where_a_logger_cannot_be_opened(tmp_path, made, capsys):
    writer = Writer(tmp_path, {}, unreachable, Recorder, resume_step=3)
    writer.add_scalars({"loss": 1.0}, 4)
    writer.close()
    assert [call[-1] for call in made[0].calls] == [4, "close"]
    assert capsys.readouterr().err.splitlines() == [
        "unreachable: no route to host; left out from here on",
        "only metrics.csv has the values that are missing in unreachable from step 4 on",
    ]


@pytest.mark.parametrize("resume_step", [0, 3])
def test_a_logger_that_is_not_installed_ends_the_run(tmp_path, resume_step):
    def absent(folder, config, resume_step):
        fail(USAGE, "No module named 'absent'")

    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, absent, resume_step=resume_step)
    assert stopped.value.code == USAGE


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_main_process", lambda: False)
    writer = Writer(tmp_path / "run", {}, Recorder)
    writer.add_scalars({"loss": 1.0}, 1)
    writer.add_text("sample", "text", 1)
    writer.close()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "uri",
    [
        *("http://ada:secret@host:5000", "postgresql+psycopg2://ada:secret@host/runs"),
        *("https://secret@host", "http://ada:s@cret@host"),
    ],
)
def test_the_password_of_a_uri_reaches_no_message(tmp_path, capsys, uri):
    def unreachable(folder, config, resume_step):
        padding = "x" * 170  # a line that is cut off must not be cut before it is looked at
        raise ConnectionError(f"{uri} cannot be used: {padding} API request to {uri}/api failed")

    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, unreachable)
    Writer(tmp_path, {}, unreachable, resume_step=2).close()
    assert isinstance(stopped.value, Ending)
    text = capsys.readouterr().err + stopped.value.reason  # which run_status.json has
    for secret in ("secret", "cret", "ada"):
        assert secret not in text
    assert "://***@host" in text


def test_a_reason_is_never_empty():
    assert explain(RuntimeError()) == "RuntimeError"
    assert explain(OSError()) == "OSError"
    assert explain(FileNotFoundError(2, "No such file", "x")) == "No such file"


def test_a_table_shows_counts_whole_and_shares_short():
    counts = torch.tensor([[95460, 1544], [1395, 58270]])
    assert as_table(counts, ["ground", "coin"]).split() == (
        ["ground", "95460", "1544", "coin", "1395", "58270"]
    )
    assert as_table(torch.tensor([0.97012, 0.5]), []).split() == ["0", "0.9701", "1", "0.5"]
