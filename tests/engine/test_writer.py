import shutil
from collections.abc import Iterable
from typing import ClassVar

import pytest
import torch
from project.engine import writer as module
from project.engine.errors import OUTPUT, USAGE, fail
from project.engine.writer import Writer


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


@pytest.fixture(autouse=True)
def made():
    """Return the Recorders of this test, in order."""
    Recorder.made.clear()
    return Recorder.made


def write_steps(folder, steps: Iterable[int], resume_step: int = 0) -> None:
    writer = Writer(folder, {}, resume_step=resume_step)
    for step in steps:
        writer.add_scalars({"train/loss": 1 / (step + 1), "train/lr": 0.1}, step)
    writer.close()


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
    write_steps(tmp_path, range(3))
    write_steps(tmp_path, range(1))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def test_all_loggers_are_told_everything(tmp_path, made):
    writer = Writer(tmp_path, {}, Recorder, Recorder)
    writer.add_scalars({"loss": 1.0}, 1)
    writer.add_image("digit", torch.zeros(3, 8, 8, dtype=torch.uint8), 2)
    writer.add_text("sample", "text", 3)
    writer.close()
    expected = [("scalars", {"loss": 1.0}, 1), ("image", "digit", 2), ("text", "sample", 3)]
    assert len(made) == 2
    for recorder in made:
        assert recorder.calls == [*expected, ("close",)]


def test_a_logger_that_fails_loses_nothing_of_the_others(tmp_path, made, capsys):
    class Broken(Recorder):
        def add_scalars(self, values, step):
            raise ConnectionError("no route to host")

    writer = Writer(tmp_path, {}, Broken, Recorder)
    for step in (1, 2):
        writer.add_scalars({"loss": 1.0, "rate": 0.1}, step)
    writer.close()
    assert [len(recorder.calls) for recorder in made] == [0, 3]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 5
    assert capsys.readouterr().err.splitlines() == [
        "Broken: no route to host; values wait in memory",
        "Broken: 4 values missing, no route to host; metrics.csv has all values",
    ]


def test_an_image_that_waits_is_the_one_that_was_given(tmp_path, made):
    images = []

    class Late(Recorder):
        def add_image(self, name, image, step):
            if not self.calls:
                raise ConnectionError("down")
            images.append(image)

    writer = Writer(tmp_path, {}, Late)
    image = torch.zeros(3, 2, 2, dtype=torch.uint8)
    writer.add_image("digit", image, 1)
    image.fill_(255)
    made[0].calls.append("up")
    writer.close()
    assert images[0].sum() == 0


def unreachable(folder, config, resume_step):
    raise ConnectionError("no route to host")


def test_a_new_run_ends_in_one_line_where_a_logger_cannot_be_opened(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, unreachable)
    assert stopped.value.code == OUTPUT
    assert capsys.readouterr().err == "unreachable: no route to host\n"


def test_a_resumed_run_goes_on_where_a_logger_cannot_be_opened_yet(tmp_path, made):
    down = [True]

    def late(folder, config, resume_step):
        return unreachable(folder, config, resume_step) if down else Recorder(folder, {}, 0)

    writer = Writer(tmp_path, {}, late, resume_step=3)
    writer.add_scalars({"loss": 1.0}, 4)
    down.clear()
    writer.add_scalars({"loss": 1.0}, 5)
    writer.close()
    assert [call[-1] for call in made[0].calls] == [4, 5, "close"]


@pytest.mark.parametrize("resume_step", [0, 3])
def test_a_logger_that_is_not_installed_ends_the_run(tmp_path, resume_step):
    def absent(folder, config, resume_step):
        fail(USAGE, "No module named 'absent'")

    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, absent, resume_step=resume_step)
    assert stopped.value.code == USAGE


def test_a_table_that_cannot_be_written_waits_and_is_whole_in_the_end(tmp_path, capsys):
    folder, away = tmp_path / "run", tmp_path / "away"
    writer = Writer(folder, {})
    for step in range(9):
        if step == 3:
            folder.rename(away)
            folder.write_text("in the way")
        if step == 6:
            folder.unlink()
            away.rename(folder)
        writer.add_scalars({"loss": step, "rate": 0.1}, step)
    writer.close()
    reference = Writer(tmp_path / "whole", {})
    for step in range(9):
        reference.add_scalars({"loss": step, "rate": 0.1}, step)
    reference.close()
    paths = (path / "metrics.csv" for path in (folder, tmp_path / "whole"))
    assert len({path.read_text() for path in paths}) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("metrics.csv: ")
    assert lines[1:] == ["metrics.csv: back, 8 values written"]


def test_rows_that_never_reach_the_disk_are_counted_in_the_end(tmp_path, capsys):
    folder = tmp_path / "run"
    writer = Writer(folder, {}, Recorder)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    writer.add_scalars({"loss": 1.0, "rate": 0.1}, 1)
    writer.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == ["metrics.csv: 2 values missing"]


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_main_process", lambda: False)
    writer = Writer(tmp_path / "run", {}, Recorder)
    writer.add_scalars({"loss": 1.0}, 1)
    writer.add_text("sample", "text", 1)
    writer.close()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path / "file" / "run", {})
    assert stopped.value.code == OUTPUT
    assert capsys.readouterr().err.count("\n") == 1
