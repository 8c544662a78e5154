import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from project.engine.errors import OUTPUT
from project.engine.lock import lock

from rendered import SEVERAL

ROOT = SEVERAL
HOLD = """
import sys
from pathlib import Path
from project.engine.lock import lock
held = lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process, at work in the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_which_is_the_first(tmp_path, capsys, other):
    with pytest.raises(SystemExit) as stopped:
        lock(tmp_path)
    assert stopped.value.code == OUTPUT == 73
    error = capsys.readouterr().err
    assert str(tmp_path) in error and str(other.pid) in error and error.count("\n") == 1


def test_a_killed_process_holds_nothing(tmp_path, other):
    other.kill()
    other.wait()
    lock(tmp_path).close()


def test_a_process_that_was_refused_leaves_the_lock_to_the_first(tmp_path, other):
    for _ in range(2):
        with pytest.raises(SystemExit):
            lock(tmp_path)
