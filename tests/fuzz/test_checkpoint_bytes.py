"""Whatever a checkpoint's bytes are, loading gives what was saved or says in one line why not."""

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Render
from extensions.features import TASKS
from forked import differs

from .damage import damaged

MISMATCH = 78
WEIGHTS = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.full((3,), 0.5)}
MOMENTS = {"step": torch.tensor(2.0), "exp_avg": torch.linspace(-1, 1, 12).view(3, 4)}
CONTENT = {
    "step": 2,
    "scores": {"loss": 0.25},
    "kinds": {"optimizer": "AdamW"},
    "model": {"width": 8},
    "data": {"classes": ["cat", "dog"]},
    "config": {"lr": 0.01, "freeze": ["stem.*"], "amp": "none"},
    "state": {"net": WEIGHTS, "optimizer": {"state": {0: MOMENTS}, "param_groups": [{"lr": 0.01}]}},
}


class Engine(NamedTuple):
    storage: ModuleType
    checkpoint: ModuleType
    run: Path  # with checkpoints of steps 1 and 2
    files: dict[Path, bytes]

    def place(self, name: str) -> Path:
        return self.run / "checkpoints" / name

    def restore_files(self) -> None:
        for path in self.place("").iterdir():
            path.unlink()
        for path, content in self.files.items():
            path.write_bytes(content)


@pytest.fixture(scope="module")
def engine(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    task = next(iter(TASKS))
    package = f"fuzzed_{task}"[:24]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(render(task=task, package=package, parallel="ddp")))
        storage, checkpoint = (
            import_module(f"{package}.engine.{name}") for name in ("storage", "checkpoint")
        )
        run = tmp_path_factory.mktemp("run")
        for step in (1, 2):
            content = {**CONTENT, "step": step}
            storage.write_checkpoint(content, run / "checkpoints" / f"step-{step}.pt")
        files = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
        yield Engine(storage, checkpoint, run, files)


def call(function: Callable[[], Any]) -> tuple[Any, str]:
    """Return the result and the lines on standard error; the only exit is that of a mismatch."""
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        try:
            return function(), said.getvalue()
        except SystemExit as stop:
            assert stop.code == MISMATCH and said.getvalue()
            return None, said.getvalue()


def assert_loads_or_says_why(engine: Engine, path: Path, expected: dict[str, Any]) -> None:
    content, said = call(lambda: engine.storage.load_checkpoint(path))
    if content is None:
        assert said.count("\n") == 1 and str(path) in said, said
        return
    content = {name: value for name, value in content.items() if name not in ("path", "format")}
    assert differs(content, expected) is None


@settings(max_examples=10 * settings().max_examples)
@given(data=st.data())
def test_copied_checkpoint_loads_equal_or_says_why_not(engine: Engine, data: st.DataObject) -> None:
    path = engine.run / "copied.pt"
    path.write_bytes(data.draw(damaged(engine.files[engine.place("step-2.pt")])))
    assert_loads_or_says_why(engine, path, CONTENT)


@settings(max_examples=10 * settings().max_examples)
@given(data=st.data())
def test_a_checkpoint_that_is_called_whole_can_be_read(engine: Engine, data: st.DataObject) -> None:
    path = engine.run / "checked.pt"
    path.write_bytes(data.draw(damaged(engine.files[engine.place("step-2.pt")])))
    try:
        engine.storage.read_archive(path, "meta")
    except engine.storage.DamagedError:
        return
    content = engine.storage.read_checkpoint(path)
    assert differs({key: content[key] for key in CONTENT}, CONTENT) is None


@settings(max_examples=10 * settings().max_examples)
@given(data=st.data())
def test_newest_whole_checkpoint_is_one_that_was_saved(engine: Engine, data: st.DataObject) -> None:
    engine.restore_files()
    names = ("step-2.pt", "step-1.pt")
    victims = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    for path in map(engine.place, victims):
        path.write_bytes(data.draw(damaged(engine.files[path])))
    found, said = call(lambda: engine.checkpoint.newest_whole(engine.run))
    unharmed = {step for step in (1, 2) if f"step-{step}.pt" not in victims}
    if found is None:
        assert not unharmed
        assert len(said.splitlines()) == 3, said  # one for each, and that there are no more
        return
    step = int(found.stem[5:])
    assert step >= max(unharmed, default=1)
    assert len(said.splitlines()) == 2 - step
    assert_loads_or_says_why(engine, found, {**CONTENT, "step": step})


@settings(max_examples=4 * settings().max_examples)
@given(st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=4))
def test_another_programs_file_is_refused_in_one_line(engine: Engine, content: Any) -> None:
    path = engine.run / "other.pt"
    torch.save(content, path)
    loaded, said = call(lambda: engine.storage.load_checkpoint(path))
    assert loaded is None and said.count("\n") == 1, said
