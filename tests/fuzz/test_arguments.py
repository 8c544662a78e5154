"""Whatever is on the command line, a script runs or says in one line why it does not."""

import importlib.util
import io
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conftest import SAMPLED, Render

from .test_answers import SPECIAL, TEXT

# argparse's own, and what a project says of a command line, data, a device, a folder, a checkpoint
CODES = {2, 65, 69, 73, 78}
SCRIPTS = ("train", "evaluate", "predict", "export")
NUMBERS = (
    *("0", "1", "-1", "2", "7", "64", "1e-3", "0.5", "1.0", "1e300", "nan", "inf", "-inf", "1e309"),
    *("9" * 30, "9" * 5000, "0x10", "1_000", "١", "½", "+1", " 1 ", "1,5", "true", "", "3h30m"),
)
WORDS = (
    *("auto", "cuda", "mps", "cpu", "bf16", "fp16", "none", "shapes", "folder", "cifar10", "bytes"),
    *("gpt2", "cosine", "linear", "pt2", "onnx", "safetensors", "stem.*", ".", "/", "missing.pt"),
    *("nowhere/else", "/dev/null", "train.py", "-", "--", "-h", "x" * 300, "x.csv", "x.jsonl"),
)
# what is no UTF-8 ends in Python's own words
VALUE = (st.sampled_from([*NUMBERS, *WORDS, *SPECIAL]) | TEXT).map(
    lambda text: text.encode(errors="replace").decode()
)


@pytest.fixture(scope="module", params=SAMPLED)
def project(request: pytest.FixtureRequest, render: Render) -> Iterator[Path]:
    """A project whose package has a name of its own, so that both can be imported here."""
    folder = render(task=request.param, package=f"fuzzed_{request.param}"[:24], parallel="ddp")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(scope="module")
def scripts(project: Path) -> dict[str, ModuleType]:
    return {name: load(project / f"{name}.py") for name in SCRIPTS}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def flags(project: Path) -> list[str]:
    """Every flag of every script, some of them wrong for it."""
    texts = (path.read_text(encoding="utf-8") for path in project.rglob("*.py"))
    found = {flag for text in texts for flag in re.findall(r"add\(\s*\"(--[a-z-]+)\"", text)}
    return sorted(found | {f"--no-{flag[2:]}" for flag in found})


def call(function: Callable[[], Any], folder: Path, line: list[str]) -> Any:
    """Return what the function returns, or None when it ends with a line on standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["script.py", *line])
        try:
            with redirect_stdout(out), redirect_stderr(err):
                return function()
        except SystemExit as stop:
            if stop.code == 0:  # --help
                assert out.getvalue()
                return None
            assert stop.code in CODES, err.getvalue()
            assert len(err.getvalue().splitlines()) == 1, err.getvalue()
            return None


def lines(flags: list[str]) -> st.SearchStrategy[list[str]]:
    """Flags with values, joined or apart, and values alone."""
    flag = st.sampled_from(flags)
    part = st.one_of(
        st.tuples(flag, VALUE).map(list),
        # Python before 3.13 takes -- for an empty list
        st.tuples(flag, VALUE.filter("--".__ne__)).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
        st.tuples(flag, st.sampled_from(NUMBERS)).map(list),
        flag.map(lambda name: [name]),
        VALUE.map(lambda value: [value]),
    )
    return st.lists(part, max_size=5).map(lambda parts: [word for part in parts for word in part])


@settings(max_examples=20 * settings().max_examples)
@given(data=st.data())
def test_arguments_of_train_are_read_or_refused_in_one_line(
    scripts: dict[str, ModuleType], flags: list[str], empty: Path, data: st.DataObject
) -> None:
    line = data.draw(lines(flags))
    args = call(scripts["train"].parse_arguments, empty, line)
    if args is None:
        return
    options = scripts["train"].options
    flags_read = options.resolved(args)
    # what was read is what --config reads
    path = empty / "config.toml"
    path.write_text(options.to_toml(flags_read), encoding="utf-8")
    again = call(scripts["train"].parse_arguments, empty, ["--config", str(path)])
    assert options.resolved(again) == flags_read


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without runs."""
    return tmp_path_factory.mktemp("empty")


TOML_VALUE = st.one_of(
    *(st.booleans(), st.integers(), st.floats(), TEXT, st.sampled_from([*WORDS, 1, 0.5])),
    st.lists(TEXT | st.integers(), max_size=3),
)


def toml(content: dict[str, Any]) -> str:
    """Return TOML, now and then broken: JSON's scalars and lists are nearly the same."""
    pairs = ((json.dumps(key), json.dumps(value)) for key, value in content.items())
    return "".join(f"{key} = {value}\n" for key, value in pairs)


@settings(max_examples=20 * settings().max_examples)
@given(data=st.data())
def test_config_is_read_or_refused_in_one_line(
    scripts: dict[str, ModuleType], flags: list[str], empty: Path, data: st.DataObject
) -> None:
    names = st.sampled_from([flag[2:] for flag in flags]) | TEXT
    content = data.draw(
        st.dictionaries(names, TOML_VALUE, max_size=4).map(toml).map(os.fsencode)
        | st.binary(max_size=60)
        | st.text(max_size=60).map(str.encode)
    )
    path = empty / "given.toml"
    path.write_bytes(content)
    call(scripts["train"].parse_arguments, empty, ["--config", str(path)])


@settings(max_examples=5 * settings().max_examples)
@given(data=st.data())
def test_scripts_without_a_checkpoint_end_in_one_line(
    scripts: dict[str, ModuleType], flags: list[str], empty: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(SCRIPTS[1:]))
    assert call(scripts[name].main, empty, data.draw(lines(flags))) is None


def one_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


# small enough for a step to take no time, and as odd as they may be
SETTINGS = {
    "image_classification": {
        "image-size": one_of("1", "2", "7", "16", "33"),
        "label-smoothing": one_of("0", "0.1", "0.99"),
        **dict.fromkeys(("skip-bad-samples",)),
    },
    "language_modeling": {
        "context": one_of("1", "2", "7", "33"),
        "dropout": one_of("0", "0.5", "0.99"),
        **dict.fromkeys(("gradient-checkpointing",)),
    },
}
COMMON = {
    "batch-size": one_of("1", "2", "3", "8", "12"),
    "accumulate": one_of("1", "2", "3", "4"),
    "lr": one_of("1e-300", "1e-3", "1"),
    "weight-decay": one_of("0", "0.1", "1e9"),
    "warmup": one_of("0", "0.5", "0.999"),
    "schedule": one_of("cosine", "linear", "constant"),
    "clip-norm": one_of("0", "1e-9", "1"),
    "clip-value": one_of("0", "1e-9", "1"),
    "ema": one_of("0", "0.5", "0.9999"),
    "epochs": one_of("1", "2", "999999999"),
    "max-steps": one_of("1", "2", "999999999"),
    "patience": one_of("0", "1"),
    "amp": one_of("bf16", "fp16", "none"),
    "workers": one_of("0", "1"),
    "seed": one_of("0", "1", str(2**63 - 1)),
    "freeze": one_of("*", "nothing", "*.weight", "[", "**"),
    "log-every": one_of("1", "999999999"),
    "eval-every": one_of("0", "1", "999999999"),
    "save-every": one_of("0", "1", "999999999"),
    "overfit": one_of("0", "1", "999999999"),
    "profile": one_of("0", "1", "2"),
    **dict.fromkeys(("deterministic", "detect-anomaly", "check-finite", "memory", "summary")),
    **dict.fromkeys(("graph",)),
}


def settings_of(task: str) -> st.SearchStrategy[list[str]]:
    known = {**COMMON, **SETTINGS.get(task, {})}
    optional = {
        name: st.just(f"--{name}") if values is None else values.map(f"--{name}={{}}".format)
        for name, values in known.items()
    }
    return st.fixed_dictionaries({}, optional=optional).map(lambda found: list(found.values()))


def run_forked(script: ModuleType, folder: Path, line: list[str]) -> tuple[int, str]:
    """Return the exit code of a run in a process of its own, and what it wrote to stderr."""
    written = folder / "stderr.txt"
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(120)  # nothing hangs
        try:
            torch.set_num_threads(1)  # threads of the parent are not here
            os.chdir(folder)
            file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv, sys.stdout, sys.stderr = ["train.py", *line], open(1, "w"), open(2, "w")
            script.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
@settings(max_examples=settings().max_examples // 5, phases=(Phase.generate,))  # seconds each
@given(data=st.data())
def test_settings_train_or_are_refused_in_one_line(
    project: Path, scripts: dict[str, ModuleType], empty: Path, data: st.DataObject
) -> None:
    task = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))["task"]
    line = ["--device=cpu", "--dry-run", *data.draw(settings_of(task))]
    code, said = run_forked(scripts["train"], empty, line)
    assert code in {0, 70, *CODES}, said
    assert code == 0 or "Traceback" not in said, said
