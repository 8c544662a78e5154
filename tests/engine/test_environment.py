import sys
from importlib.metadata import version

import torch
from project.engine import environment as module
from project.engine.environment import environment

CPU = torch.device("cpu")


def test_it_names_the_code_and_what_it_ran_on():
    found = environment(CPU)
    assert found["packages"]["torch"] == version("torch")
    assert found["python"] == sys.version
    assert (found["device"], found["processes"]) == ("cpu", 1)
    assert {"git_commit", "git_changes", "platform"} <= found.keys()


def test_a_secret_of_the_command_line_is_not_written(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key", "abc", "--token=abc", "--lr=1"])
    assert environment(CPU)["command"] == ["train.py", "--api-key", "***", "--token=***", "--lr=1"]


def test_without_git_the_rest_is_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment(CPU)["git_commit"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.git("status") is None
