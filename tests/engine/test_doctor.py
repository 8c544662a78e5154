import subprocess
import sys

import pytest
import torch
from project import doctor
from project.engine.errors import DEVICE

from rendered import SEVERAL


def examine(monkeypatch, capsys, *arguments: str):
    monkeypatch.setattr(sys, "argv", ["doctor", *arguments])
    with pytest.raises(SystemExit) as stopped:
        doctor.main()
    return stopped.value.code, capsys.readouterr().out.splitlines()


def test_a_machine_that_runs_these_tests_can_train(monkeypatch, capsys):
    code, lines = examine(monkeypatch, capsys, "--device", "cpu")
    assert code == 0
    assert lines[-1] == "ready to train"
    assert all(line.startswith(("ok ", "warning ")) for line in lines[:-1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_missing_is_a_problem_with_a_way_out(monkeypatch, capsys):
    code, lines = examine(monkeypatch, capsys, "--device", "cuda")
    assert code == DEVICE
    assert any(line.startswith("problem  device cuda") and "pytorch.org" in line for line in lines)


def test_a_logger_that_is_not_installed_is_a_problem_with_its_command(monkeypatch, tmp_path):
    (tmp_path / "engine" / "loggers").mkdir(parents=True)
    (tmp_path / "engine" / "loggers" / "not_installed.py").write_text("")
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "doctor.py"))
    [(level, text)] = doctor.loggers()
    assert level == doctor.PROBLEM
    assert "uv add not_installed" in text


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((7, 5), False), ((8, 6), True), ((9, 0), True), ((10, 0), False), ((12, 1), True)],
)
def test_a_device_needs_code_of_its_generation_or_ptx(monkeypatch, capability, runs):
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90a", "compute_120"])
    assert doctor.has_code_for(*capability) == runs


def test_a_broken_pytorch_is_one_line():
    script = "import sys; sys.modules['torch'] = None; import project.doctor"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SEVERAL)
    assert done.returncode == DEVICE
    assert done.stderr.startswith("problem PyTorch") and done.stderr.count("\n") == 1
