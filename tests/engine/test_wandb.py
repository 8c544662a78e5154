import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from alone.engine.errors import OUTPUT
from alone.engine.wandb import WandB
from alone.engine.writer import Writer
from wandb.proto import wandb_internal_pb2

from rendered import ONE

Record: Any = vars(wandb_internal_pb2)["Record"]  # made at import, which no checker sees


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


def refuse(values) -> None:
    raise wandb.Error("no room left")


def test_a_logger_that_fails_is_left_out_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    loggers = []

    class Remembered(WandB):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            loggers.append(self)

    writer = Writer(tmp_path, {}, Remembered)
    for step in range(9):
        if step == 3:
            monkeypatch.setattr(loggers[0]._run, "log", refuse)
        writer.add_scalars({"loss": step}, step)
    writer.close()
    wandb.teardown()
    assert [row["loss"] for row in history(tmp_path)] == [0, 1, 2]
    lines = [line for line in capsys.readouterr().err.splitlines() if "Remembered" in line]
    assert lines == [
        "Remembered: no room left; left out from here on",
        "only metrics.csv has the values that are missing in Remembered from step 3 on",
    ]


KILLED = """
import os, signal, sys
from contextlib import suppress
from pathlib import Path
from alone.engine.wandb import WandB
from alone.engine.writer import Writer

writer = Writer(Path(sys.argv[1]), {}, WandB)
writer.add_scalars({"loss": 0.0}, 1)
for process in Path("/proc").glob("[0-9]*"):
    with suppress(OSError):
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        if parent == os.getpid() and b"wandb-core" in (process / "cmdline").read_bytes():
            os.kill(int(process.name), signal.SIGKILL)
for step in range(2, 1000):  # the loss of the connection is noticed a moment later
    writer.add_scalars({"loss": 0.0}, step)
print("trained")
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds W&B's process in /proc")
def test_the_run_goes_on_without_a_traceback_when_the_process_of_wandb_is_killed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ONE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("wandb: ")]
    assert len(lines) == 2 and all("WandB" in line for line in lines), done.stderr
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1000


def test_a_new_run_without_an_account_ends_in_one_line_with_the_way_out(
    tmp_path, monkeypatch, capsys
):
    def refuse(**settings):
        raise wandb.errors.UsageError("api_key not configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, WandB)
    assert stopped.value.code == OUTPUT
    [line] = capsys.readouterr().err.splitlines()
    assert "WANDB_MODE=offline" in line and "api_key" in line
