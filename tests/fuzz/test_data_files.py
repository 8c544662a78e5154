"""Whatever the data files hold, train.py reads them or says in one line which one is bad."""

import importlib.util
import io
import runpy
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import forked
from conftest import SAMPLED, Render
from extensions.features import TASKS

from .damage import damaged

CODES = {2, 65}  # too little is left for the flags; the data cannot be used
SKIP = "--skip-bad-samples"


class DataRead(BaseException):
    """Everything was read; the rest of train.py is not looked at."""


class Script(NamedTuple):
    """train.py up to its network, and data to copy and damage."""

    module: ModuleType
    flags: list[str]
    data: Path
    files: list[Path]  # of the data, those that the flags name

    def read(self, place: Path, *flags: str) -> tuple[bool, str, str]:
        """Read all batches; return whether that worked, and what was printed."""
        out, err = io.StringIO(), io.StringIO()
        line = ["train.py", *self.flags, *forked.FLAGS, "--dry-run", *flags]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(place)
            patch.setattr(sys, "argv", line)
            try:
                self.module.main()
            except DataRead:
                return True, out.getvalue(), err.getvalue()
            except SystemExit as stop:
                assert stop.code in CODES, err.getvalue()
                assert err.getvalue().count("\n") == 1, err.getvalue()
                return False, out.getvalue(), err.getvalue()
        raise AssertionError("train.py went past its network")


@pytest.fixture(scope="module", params=SAMPLED)
def script(
    request: pytest.FixtureRequest, render: Render, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Script]:
    task = request.param
    package = f"fuzzed_{task}"[:24]
    folder = render(task=task, package=package, parallel="ddp")
    made_up = runpy.run_path(str(folder / "tests" / "small.py"))
    data, flags = tmp_path_factory.mktemp("data"), made_up["FLAGS"]
    made_up["make_data"](data)
    named = [data / word for word in flags if (data / word).exists()]
    files = sorted(p for path in named for p in (path, *path.rglob("*")) if p.is_file())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        module = load(folder / "train.py", f"data_of_{package}")
        loaders = []
        make_loader = module.Loader

        def keep_loader(*args: object, **kwargs: object) -> object:
            loaders.append(make_loader(*args, **kwargs))
            return loaders[-1]

        def read_all(*args: object, **kwargs: object) -> None:
            ours, loaders[:] = list(loaders), []
            for loader in ours:
                for _ in loader:
                    pass
            raise DataRead

        patch.setattr(module, "Loader", keep_loader)
        patch.setattr(module, TASKS[task].model_class, read_all)
        run = sys.modules[module.open_run.__module__]
        patch.setattr(run, "environment", lambda device: {})  # slow, and not looked at
        yield Script(module, flags, data, files)


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encoded(form: str) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((40, 24)).convert("RGB").save(file, form)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG whose header states a size that its data do not have."""
    content = encoded("PNG")
    header = struct.pack(">4sII", b"IHDR", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


IMAGES = st.sampled_from([encoded(form) for form in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")])
SIZES = st.sampled_from([0, 1, 40, 60_000, 2**31 - 1])
STRANGE = st.one_of(
    IMAGES,
    IMAGES.flatmap(damaged),
    st.tuples(SIZES, SIZES).map(lambda size: png_that_claims(*size)),
    st.just(b""),
    st.text(max_size=200).map(lambda text: text.encode(errors="replace")),
    st.text(max_size=99).map(lambda text: b"\xff\xfe" + text.encode("utf-16", errors="replace")),
    st.binary(max_size=2000),
)
SUFFIXES = ("", ".png", ".jpg", ".JPEG", ".gif", ".webp", ".bmp", ".tif", ".txt")


def test_undamaged_data_are_read(script: Script, tmp_path: Path) -> None:
    shutil.copytree(script.data, tmp_path, dirs_exist_ok=True)
    assert script.read(tmp_path)[0]


@settings(max_examples=2 * settings().max_examples)
@given(data=st.data())
def test_bad_file_is_named_in_one_line_or_left_out_and_counted(
    script: Script, data: st.DataObject
) -> None:
    victim = data.draw(st.sampled_from(script.files))
    content = data.draw(damaged(victim.read_bytes()) | STRANGE)
    suffix = data.draw(st.sampled_from(SUFFIXES)) or victim.suffix
    if victim in {script.data / word for word in script.flags}:
        suffix = victim.suffix  # named by a flag
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(script.data, place, dirs_exist_ok=True)
        bad = place / victim.relative_to(script.data)
        bad.unlink()
        bad.with_suffix(suffix).write_bytes(content)
        works, _, _ = script.read(place)
        if not has_skip(script):
            return
        left, said, why = script.read(place, SKIP)
        if works:
            assert left and "left out" not in said
        else:
            assert "left out" in said if left else why


def has_skip(script: Script) -> bool:
    parse = Path(script.module.__file__ or "").read_text(encoding="utf-8")
    return SKIP in parse
