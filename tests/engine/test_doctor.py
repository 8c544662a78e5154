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


def test_what_is_not_installed_is_a_problem_with_its_command(monkeypatch, tmp_path):
    needed = ["torch>=2.11", "no-such-logger>=3.13", "triton; sys_platform == 'nowhere'"]
    (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {needed}\n")
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "package" / "doctor.py"))
    findings = {text: level for level, text in doctor.find("cpu", False)}
    missing = [text for text in findings if "missing" in text]
    assert missing == ["no-such-logger is missing: uv sync, or pip install no-such-logger"]
    assert findings[missing[0]] == "problem"


def test_a_device_that_computes_nothing_is_a_problem_in_one_line(monkeypatch):
    def fail(*arguments, **settings):
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(torch, "ones", fail)
    [(level, text)] = doctor.examine("cpu", False)
    assert level == "problem" and text.startswith("device cpu:0: no kernel image is available; ")


def test_little_space_is_a_warning_with_a_way_out():
    assert doctor.space(".", 0, "disk", "clear some")[0] == "ok"
    level, text = doctor.space(".", 10**9, "disk", "clear some")
    assert level == "warning" and text.endswith("GB of disk free; clear some")


def test_what_compile_needs_is_looked_for(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert "a C++ compiler" in doctor.compiler("cpu", False)[1]
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert "triton" in doctor.compiler("cuda", False)[1]


def test_a_broken_pytorch_is_one_line():
    script = "import sys; sys.modules['torch'] = None; import project.doctor"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SEVERAL)
    assert done.returncode == DEVICE
    assert done.stderr.startswith("problem PyTorch") and done.stderr.count("\n") == 1
