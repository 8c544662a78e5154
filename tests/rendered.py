"""Two projects that tests of the engine and of readers import, rendered anew after a change."""

import hashlib
import importlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from copier import run_copy

from releases import ROOT, copy_parts

FOLDER = ROOT / ".render"
# by folder: a project for several processes, whose scripts are run; and one whose processes.py
# knows one only, with noise, and with the loggers that take seconds to start
PROJECTS: dict[str, dict[str, Any]] = {
    "several": {"package": "project", "parallel": "ddp", "logger": ["tensorboard"]},
    "one": {"package": "alone", "logger": ["wandb", "mlflow"], "task": "diffusion"},
}
SEVERAL, ONE = FOLDER / "several", FOLDER / "one"


def digest() -> str:
    """Return what the projects follow from: the template's files and this one."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for folder in (ROOT / "template", ROOT / "extensions"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    found.update((ROOT / "copier.yml").read_bytes())
    return found.hexdigest()


def render_projects() -> None:
    """Write the projects below FOLDER unless they are there as the template would make them."""
    stamp, now = FOLDER / "stamp", digest()
    if stamp.exists() and stamp.read_text() == now:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        # a copy without git is refused outside of tests: see extensions/context.py
        os.environ["COPIER_PYTORCH_WITHOUT_GIT"] = "1"
        template = copy_parts(Path(name) / "template")
        for folder, answers in PROJECTS.items():
            how: dict[str, Any] = {"defaults": True, "unsafe": True, "quiet": True}
            run_copy(str(template), FOLDER / folder, data=answers, **how)
    # all that any task reads files by
    package = "template/project/{{package}}"
    shutil.copytree(ROOT / package / "readers", SEVERAL / "project/readers", dirs_exist_ok=True)
    stamp.write_text(now)
    importlib.invalidate_caches()  # Python remembers which folders of its path were not there


if __name__ == "__main__":
    render_projects()
