import shutil

import pytest
import torch
from project.engine.loggers.tensorboard import TensorBoard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


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


def test_steps_that_a_resumed_run_repeats_appear_once(tmp_path):
    for steps, resume_step in ((range(1, 9), 0), (range(5, 11), 4)):
        logger = TensorBoard(tmp_path, {}, resume_step)
        for step in steps:
            logger.add_scalars({"loss": step}, step)
        logger.close()
    assert [event.step for event in read(tmp_path).Scalars("loss")] == list(range(1, 11))


def test_a_full_disk_loses_no_value_and_tears_no_record(tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    logger = TensorBoard(tmp_path, {}, 0)
    logger.add_scalars({"loss": 1}, 1)
    [path] = tmp_path.glob("*tfevents*")
    size, before = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            logger.add_scalars({"loss": 2}, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == size
    logger.add_scalars({"loss": 2}, 2)
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [1, 2]


def test_a_deleted_folder_is_written_again(tmp_path):
    logger = TensorBoard(tmp_path / "run", {}, 0)
    logger.add_scalars({"loss": 1}, 1)
    shutil.rmtree(tmp_path / "run")
    logger.add_scalars({"loss": 2}, 2)
    assert [event.step for event in read(tmp_path / "run").Scalars("loss")] == [2]
