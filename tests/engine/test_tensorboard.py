import shutil
import subprocess
import sys

import pytest
import torch
from project.engine.tensorboard import TensorBoard
from project.engine.writer import Writer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from rendered import SEVERAL


@pytest.fixture(autouse=True)
def _numbered_from_zero(monkeypatch):
    """Files of the same second and process are read in the order of names: 9 comes after 10."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def read(folder) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_scalars_images_texts_and_arguments_read_back(tmp_path):
    logger = TensorBoard(tmp_path, {"lr": 0.1, "data": None, "compile": False}, 0)
    logger.add_scalars({"train/loss": 0.5, "train/lr": 0.1}, 3)
    logger.add_image("sample", torch.zeros(3, 8, 16, dtype=torch.uint8), 3)
    logger.add_text("text", "# not a title", 3)
    logger.close()
    events = read(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(3, 0.5)]
    assert [(image.width, image.height) for image in events.Images("sample")] == [(16, 8)]
    text = events.Tensors("text/text_summary")[0].tensor_proto.string_val[0]
    assert text == b"    # not a title"
    arguments = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert all(name in arguments for name in (b"lr", b"data", b"compile"))


@pytest.mark.parametrize("last_step", [0, 4])  # 0: a run that was killed before it saved anything
def test_steps_that_a_resumed_run_repeats_appear_once(tmp_path, last_step):
    for steps, resume_step in ((range(1, 9), 0), (range(last_step + 1, 11), last_step)):
        logger = TensorBoard(tmp_path, {"lr": 0.1}, resume_step)
        for step in steps:
            logger.add_scalars({"loss": step + 100 * (resume_step < 1)}, step)
        logger.close()
    events = read(tmp_path).Scalars("loss")
    assert [event.step for event in events] == list(range(1, 11))
    assert [event.value for event in events if event.step == 5] == [105 if not last_step else 5]


def test_a_number_is_on_disk_as_soon_as_it_is_written(tmp_path):
    logger = TensorBoard(tmp_path, {}, 0)
    logger.add_scalars({"loss": 1}, 1)
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [1]
    logger.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from project.engine.tensorboard import TensorBoard
from project.engine.writer import Writer

folder = Path(sys.argv[1])
writer = Writer(folder, {}, TensorBoard)
writer.add_scalars({"loss": 1.0}, 1)
[path] = folder.glob("*tfevents*")
limit = path.stat().st_size + 30  # metrics.csv, which is smaller, can still be written
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
writer.add_image("noise", torch.randint(256, (3, 64, 64), dtype=torch.uint8), 2)
for step in range(2, 5):
    writer.add_scalars({"loss": 1.0}, step)
print("trained")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX")
def test_a_full_disk_neither_hangs_nor_ends_the_run_and_is_said_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=SEVERAL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.splitlines() == [
        "TensorBoard: File too large; left out from here on",
        "only metrics.csv has the values that are missing in TensorBoard from step 2 on",
    ]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 5
    # what a resumed run writes is read in spite of the torn record before it
    logger = TensorBoard(tmp_path, {}, 1)
    logger.add_scalars({"loss": 2.0}, 2)
    logger.close()
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [1, 2]


def test_a_deleted_folder_is_written_again(tmp_path, capsys):
    writer = Writer(tmp_path / "run", {}, TensorBoard)
    writer.add_scalars({"loss": 1}, 1)
    shutil.rmtree(tmp_path / "run")
    writer.add_scalars({"loss": 2}, 2)
    writer.close()
    assert [event.step for event in read(tmp_path / "run").Scalars("loss")] == [2]
    assert capsys.readouterr().err == ""


def test_a_new_run_ends_in_one_line_where_no_event_file_can_be_made(tmp_path, capsys, monkeypatch):
    def refuse(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(event_file_writer.tf.io.gfile, "makedirs", refuse)
    with pytest.raises(SystemExit):
        Writer(tmp_path, {}, TensorBoard)
    assert capsys.readouterr().err == "TensorBoard: Permission denied\n"
