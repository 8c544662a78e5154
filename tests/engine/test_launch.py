import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from project.engine import launch as module
from project.engine.errors import BUG, DATA, DEVICE, INTERRUPTED, MEMORY, fail
from project.engine.launch import launch
from project.engine.status import status

from rendered import SEVERAL

# Python warns of a fork where there are threads; this one does nothing but sleep
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
CONFIG = {"batch_size": 64, "accumulate": 2, "amp": "none", "gradient_checkpointing": False}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that has begun."""
    status.begin(tmp_path, CONFIG, 0)
    return tmp_path


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run_status.json").read_text())


def raises(error: BaseException) -> None:
    raise error


def code_of(main) -> object:
    with pytest.raises(SystemExit) as stopped:
        launch(main)
    return stopped.value.code


def test_a_run_that_is_done_leaves_0(folder):
    assert code_of(lambda: None) == 0
    assert read(folder)["state"] == "finished"


def test_a_failure_is_said_once_and_noted(folder, capsys):
    assert code_of(lambda: fail(DATA, "x.png: does not decode")) == DATA
    assert capsys.readouterr().err == "x.png: does not decode\n"
    assert (read(folder)["code"], read(folder)["reason"]) == (DATA, "x.png: does not decode")


@pytest.mark.parametrize(("given", "code"), [(None, 0), (0, 0), (2, 2), ("a line", 1)])
def test_what_another_exit_means_stays(folder, given, code):
    assert code_of(lambda: raises(SystemExit(given))) == given
    assert read(folder)["code"] == code


def test_a_bug_keeps_its_traceback(folder):
    with pytest.raises(ZeroDivisionError):
        launch(lambda: print(1 / 0))
    fields = read(folder)
    assert (fields["state"], fields["code"]) == ("failed", BUG)
    assert fields["reason"] == "ZeroDivisionError: division by zero"


def too_large() -> None:
    torch.empty(1 << 60)


@pytest.mark.parametrize(
    "main",
    [
        too_large,
        lambda: raises(MemoryError()),
        lambda: raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee")),
    ],
)
def test_too_little_memory_is_one_line_with_what_helps(folder, capsys, main):
    assert code_of(main) == MEMORY == 71
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for part in ("--batch-size 64", "--accumulate 4", "--gradient-checkpointing", "--amp bf16"):
        assert part in error
    assert read(folder)["reason"] + "\n" == error


def test_too_little_memory_before_the_run_is_known_is_one_line_too(capsys):
    assert code_of(too_large) == MEMORY
    assert "--batch-size" in capsys.readouterr().err


def test_another_runtime_error_is_a_bug(folder):
    with pytest.raises(RuntimeError):
        launch(lambda: raises(RuntimeError("shapes do not match")))
    assert read(folder)["code"] == BUG


@pytest.mark.parametrize(("saved", "line"), [(0, "interrupted\n"), (7, "saved up to step 7\n")])
def test_an_interrupt_says_what_is_saved(folder, capsys, saved, line):
    status.saved(saved)
    assert code_of(lambda: raises(KeyboardInterrupt())) == INTERRUPTED == 130
    assert capsys.readouterr().err.endswith(line)


def test_a_lost_process_is_one_line(folder, monkeypatch, capsys):
    monkeypatch.setattr(module, "lost", lambda error: "another process is gone")
    assert code_of(lambda: raises(RuntimeError("connection reset"))) == DEVICE
    assert capsys.readouterr().err == "another process is gone\n"


def sleep() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


@pytest.mark.parametrize("error", [None, MemoryError(), ZeroDivisionError()])
def test_no_process_is_left_behind(error):
    child = multiprocessing.Process(target=sleep, daemon=True)

    def main() -> None:
        child.start()
        if error:
            raise error

    try:
        with pytest.raises((SystemExit, ZeroDivisionError)):
            launch(main)
        assert not child.is_alive()
    finally:
        child.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize("rows", [3, 100_000])
def test_a_reader_who_has_seen_enough_is_no_error(rows):
    program = "from project.engine.launch import launch\n"
    program += f"launch(lambda: print(*range({rows}), sep='\\n'))"
    command = [sys.executable, "-c", program]
    root = SEVERAL
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=root, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
