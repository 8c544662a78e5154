"""Weights of a network that is not downloaded here."""

from pathlib import Path

import pytest
import torch
from project.engine.errors import DATA
from project.readers.vgg import open_vgg


def refused(capsys: pytest.CaptureFixture[str], weights: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        open_vgg(weights)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_random_weights_need_no_file_and_are_the_same_each_time():
    before = torch.get_rng_state()
    features, again = open_vgg("random"), open_vgg("random")
    assert torch.equal(features.state_dict()["0.weight"], again.state_dict()["0.weight"])
    assert torch.equal(torch.get_rng_state(), before)
    assert sum(type(layer).__name__ == "Conv2d" for layer in features) == 13


def test_weights_come_from_a_file_like_torchvision_s(tmp_path):
    state = {f"features.{name}": tensor for name, tensor in open_vgg("random").state_dict().items()}
    torch.save(state | {"classifier.0.bias": torch.zeros(2)}, tmp_path / "vgg.pth")
    found = open_vgg(str(tmp_path / "vgg.pth")).state_dict()
    assert len(found) == 26
    assert all(torch.equal(tensor, state[f"features.{name}"]) for name, tensor in found.items())


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_that_holds_no_such_weights_is_refused(tmp_path, capsys, content):
    path = tmp_path / "vgg.pth"
    if content is None:
        torch.save({"features.0.weight": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    error = refused(capsys, str(path))
    assert str(path) in error and "no weights of torchvision's vgg16" in error


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert "no such file" in refused(capsys, str(tmp_path / "nowhere.pth"))


def test_without_network_one_line_says_what_else_there_is(tmp_path: Path, monkeypatch, capsys):
    def unreachable(*args, **how) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    error = refused(capsys, "hub")
    assert "no route to host" in error and "--vgg FILE" in error
