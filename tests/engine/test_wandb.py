import json
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import wandb
from project.engine.loggers.wandb import WandB
from project.engine.writer import Writer
from wandb.proto.wandb_internal_pb2 import Record


@pytest.fixture(autouse=True)
def _without_account(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def read(path: Path) -> Iterator[Record]:
    """Yield a .wandb file's records: protobufs in LevelDB's log format."""
    content, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:  # no room for a header: the rest of the block is empty
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, position)
        position += 7 + size
        parts += content[position - size : position]
        if kind in (1, 4):  # a whole record, or the last of several parts
            yield Record.FromString(parts)
            parts = b""


def history(folder: Path) -> list[dict]:
    files = sorted(folder.glob("wandb/*run-*/*.wandb"))
    records = [record.history for path in files for record in read(path)]
    items = [{"/".join(i.nested_key): i.value_json for i in row.item} for row in records]
    return [{k: json.loads(v) for k, v in row.items()} for row in items if row]


def test_offline_run_reads_back_and_resumes_under_its_id(tmp_path):
    logger = WandB(tmp_path, {"lr": 0.1, "data": None}, 0)
    logger.add_scalars({"train/loss": 0.5}, 3)
    logger.add_image("sample", torch.zeros(3, 8, 16, dtype=torch.uint8), 3)
    logger.add_text("text", "a <b>", 3)
    logger.close()
    resumed = WandB(tmp_path, {"lr": 0.1, "data": None}, 2)
    resumed.add_scalars({"train/loss": 0.5}, 3)
    resumed.close()
    wandb.teardown()  # its process writes on for a moment

    rows = history(tmp_path)
    assert [row["step"] for row in rows] == [3, 3, 3, 3]
    assert [row["train/loss"] for row in rows if "train/loss" in row] == [0.5, 0.5]
    assert next(row for row in rows if "sample/width" in row)["sample/width"] == 16
    assert list(tmp_path.glob("wandb/*run-*/files/media/table/text*"))
    configs = [r.run for p in tmp_path.glob("wandb/*run-*/*.wandb") for r in read(p)]
    runs = [run for run in configs if run.run_id]
    assert len({run.run_id for run in runs}) == 1
    assert "lr" in {item.key for item in runs[0].config.update}


def test_values_of_an_outage_arrive_when_it_is_over(tmp_path, monkeypatch):
    loggers = []

    def remembered(*arguments) -> WandB:
        loggers.append(WandB(*arguments))
        return loggers[0]

    writer = Writer(tmp_path, {}, remembered)
    log = loggers[0]._run.log
    for step in range(9):
        if step == 3:
            monkeypatch.setattr(loggers[0]._run, "log", refuse)
        if step == 6:
            monkeypatch.setattr(loggers[0]._run, "log", log)
        writer.add_scalars({"loss": step}, step)
    writer.close()
    wandb.teardown()
    assert [row["loss"] for row in history(tmp_path)] == list(range(9))


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds W&B's process in /proc")
def test_another_process_takes_over_when_that_of_wandb_was_killed(tmp_path):
    logger = WandB(tmp_path, {}, 0)
    logger.add_scalars({"loss": 0}, 0)
    kill_process_of_wandb()
    with pytest.raises(ConnectionError):
        for step in range(1, 100):  # the loss of the connection is noticed a moment later
            logger.add_scalars({"loss": step}, step)
    logger.add_scalars({"loss": step}, step)
    logger.close()
    wandb.teardown()
    assert history(tmp_path)[-1]["step"] == step


def kill_process_of_wandb() -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"wandb-core" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def refuse(values) -> None:
    raise wandb.Error("no room left")
