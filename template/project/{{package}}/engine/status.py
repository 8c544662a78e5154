"""run_status.json: what a run is doing or why it ended, which torchrun hides."""

import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .config import without_secrets
from .errors import NOT_WRITTEN, STOPPED, Ending, warn
from .processes import is_main_process, share, world_size
from .storage import write_text

NAME = "run_status.json"


class Status:
    """Silent until the run has a folder."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.unsaved: str | None = None
        self.fields: dict[str, Any] = {}
        self.config: dict[str, Any] = {}

    def begin(self, folder: Path, config: dict[str, Any], step: int) -> None:
        self.path, self.config, self.unsaved = folder.absolute() / NAME, config, None
        if is_main_process() and self.before().get("state") == "running":
            print("the process before was killed: by hand, by a scheduler, or for lack of memory")
        self.fields = {"state": "running", "saved_step": step, "code": None, "reason": None}
        self.fields["resume"] = resume_command(folder)
        if is_main_process():
            self.write()

    def saved(self, step: int) -> None:
        self.fields["saved_step"], self.unsaved = step, None
        self.write()

    def not_saved(self, step: int, reason: str) -> None:
        self.unsaved = f"step {step} is not saved: {reason}; the checkpoints before it are whole"
        warn(self.unsaved)

    def fail_if_unsaved(self) -> None:
        """Call it on all processes where no later step will be saved; they end alike."""
        if unsaved := share(self.unsaved):
            if is_main_process():
                warn(unsaved)
            raise Ending(NOT_WRITTEN, unsaved)

    def end(self, code: int, reason: str | None) -> None:
        """Note how it ended; the process that failed first knows why, the others only that."""
        if self.path is None or (code in (0, STOPPED) and not is_main_process()):
            return
        before = self.before()
        if before.get("state") == "failed":
            return
        if not is_main_process():  # which alone knows
            self.fields["saved_step"] = before.get("saved_step", 0)
        state = {0: "finished", STOPPED: "stopped"}.get(code, "failed")
        self.fields |= {"state": state, "code": code, "reason": reason}
        self.write()
        self.path = None

    def before(self) -> dict[str, Any]:
        """Return what the file says now."""
        try:
            return json.loads((self.path or Path()).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def write(self) -> None:
        if self.path is not None:
            with suppress(OSError):  # on a full disk; training is worth more than its status
                write_text(self.path, json.dumps(self.fields, indent=2) + "\n")


status = Status()


def resume_command(folder: Path) -> str:
    """Return the command that was given, as one that continues."""
    start = ["python"]
    if world_size() > 1:
        start = ["torchrun", "--standalone", f"--nproc-per-node={world_size()}"]
    command = shlex.join([*start, *without_secrets(sys.argv)])
    for pair in (["--run-dir", str(folder)], ["--resume", "auto"]):
        text = " " + shlex.join(pair)
        command = command.replace(text, "") + text
    return command
