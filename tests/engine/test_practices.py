from hashlib import sha256

import pytest
from project.engine.errors import MISMATCH, USAGE
from project.engine.practices import CHANGED, report, states

LOOP = "# forward\nwith autocast():\n    loss.backward()\n"
LEDGER = f"""
[P01]
name = "a loop"
files."../train.py" = ["# forward", "loss.backward()"]

[P02]
name = "an engine"
files."engine/order.py" = "{sha256(LOOP.encode()).hexdigest()[:16]}"

[P03]
name = "layers"
files."layers" = []

[P04]
name = "several processes"
otherwise = "one trains; parallel=ddp brings more"
"""


@pytest.fixture
def folder(tmp_path):
    """A made-up project of three practices, of four."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "train.py").write_text(LOOP)
    for name in ("engine", "layers"):
        (tmp_path / "made_up" / name).mkdir(parents=True)
    (tmp_path / "made_up" / "engine" / "order.py").write_text(LOOP)
    (tmp_path / "made_up" / "practices.toml").write_text(LEDGER)
    return tmp_path


def changed(folder):
    found = states(folder / "made_up" / "practices.toml")
    return {number: reason for number, _, state, reason in found if state == CHANGED}


def refused(capsys, ledger):
    with pytest.raises(SystemExit) as stopped:
        list(report(ledger))
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return stopped.value.code, line


def test_a_practice_is_present_changed_or_not_applicable(folder):
    (folder / "made_up" / "layers").rmdir()
    lines = list(report(folder / "made_up" / "practices.toml"))
    assert lines == [
        "P01  present         a loop",
        "P02  present         an engine",
        "P03  changed by you  layers; layers is missing",
        "P04  not applicable  several processes; one trains; parallel=ddp brings more",
        "2 present, 1 changed by you, 1 not applicable",
    ]


def test_line_ends_change_nothing(folder):
    for path in (folder / "train.py", folder / "made_up" / "engine" / "order.py"):
        path.write_bytes(LOOP.replace("\n", "\r\n").encode())
    assert changed(folder) == {}


def test_code_around_the_pieces_that_are_looked_for_is_the_owners(folder):
    (folder / "train.py").write_text("import os\n" + LOOP.replace("backward()", "backward()  # !"))
    assert changed(folder) == {}


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("train.py", LOOP.replace("loss.", "# loss."), {"P01": "train.py lacks loss.backward()"}),
        ("train.py", "", {"P01": "train.py lacks # forward and loss.backward()"}),
        ("train.py", None, {"P01": "train.py is missing"}),
        ("made_up/engine/order.py", LOOP + "\n", {"P02": "engine/order.py is not the template's"}),
        ("made_up/engine/order.py", None, {"P02": "engine/order.py is missing"}),
    ],
)
def test_a_change_is_named_with_its_file(folder, path, text, expected):
    if text is None:
        (folder / path).unlink()
    else:
        (folder / path).write_text(text)
    assert changed(folder) == expected


def test_a_file_that_is_no_text_is_a_change(folder):
    (folder / "train.py").write_bytes(b"\xff\x00")
    assert [*changed(folder)] == ["P01"]


@pytest.mark.parametrize(
    "text", [None, "[P01", "\x00", "P01 = 1", "[P01]", '[P01]\nname = "a loop"\nfiles = 3']
)
def test_a_ledger_that_cannot_be_read_is_one_line(folder, capsys, text):
    ledger = folder / "made_up" / "practices.toml"
    ledger.unlink()
    if text is not None:
        ledger.write_text(text)
    code, line = refused(capsys, ledger)
    assert code == MISMATCH
    assert line.startswith(f"{ledger}: ")


def test_an_installed_package_has_no_project_to_look_at(folder, capsys):
    (folder / "pyproject.toml").unlink()
    code, line = refused(capsys, folder / "made_up" / "practices.toml")
    assert code == USAGE
    assert "installed" in line
