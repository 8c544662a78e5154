"""What templates read besides the answers, and refusals before anything is written.

Runs for each string and each file that is rendered, also while the questions are asked.
"""

import difflib
import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

from copier.errors import UserMessageError
from copier_template_extensions import ContextHook

from . import features, names


@functools.cache
def question_names(template: Path) -> list[str]:
    text = (template / "copier.yml").read_text(encoding="utf-8")
    return re.findall(r"^([a-z]\w*):", text, re.MULTILINE)


def refuse_bad_data(data: Mapping[str, Any], questions: list[str]) -> None:
    # an update's inner renders pass every question, and also those that are no longer asked
    if data.keys() >= set(questions):
        return
    for key in data.keys() - set(questions):
        for close in difflib.get_close_matches(key, questions, n=1, cutoff=0.75):
            raise UserMessageError(f"--data {key}: no such question; did you mean {close}?")
    # Copier itself would show a traceback
    for key in names.CHECKS.keys() & data.keys():
        if message := names.CHECKS[key](str(data[key])):
            raise UserMessageError(f"--data {key}={message}")


def refuse_without_git(answers: Mapping[str, Any]) -> None:
    if "_commit" in answers or os.environ.get("COPIER_PYTORCH_WITHOUT_GIT"):
        return
    if which("git") is None:
        raise UserMessageError("git is not installed, and a project is updated with it")
    raise UserMessageError(
        "this copy of the template is no git repository, so that the project could never be "
        "updated: use its URL, or a clone made with git clone"
    )


def refuse_occupied(folder: Path, answers_file: str) -> None:
    if not folder.is_dir() or (folder / answers_file).exists():
        return
    found = sorted(path.name for path in folder.iterdir() if path.name != ".git")
    if found:
        raise UserMessageError(
            f"{folder} holds files ({', '.join(found[:3])}): "
            "choose a new folder, or pass --overwrite to write among them"
        )


def refuse(context: Mapping[str, Any]) -> None:
    conf = context["_copier_conf"]
    refuse_without_git(context["_copier_answers"])
    refuse_bad_data(conf["data"], question_names(Path(conf["src_path"])))
    if not conf["overwrite"]:
        refuse_occupied(Path(conf["dst_path"]), str(conf["answers_file"]))


def answers_file_text(conf: Mapping[str, Any]) -> str:
    path = Path(conf["dst_path"], conf["answers_file"])
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def computed(answers: Mapping[str, Any], before: str) -> dict[str, Any]:
    user_name, project_name = names.one_line(answers["user_name"]), answers["project_name"]
    return {
        # an update gives the new _exclude to the old version of this file: these two names stay
        "left_out": features.left_out(answers),
        "owned": features.owned(answers, before),
        "dependencies": features.dependencies(answers),
        "development": features.development(answers),
        "extras": features.extras(answers),
        "torch_sources": features.torch_sources(answers),
        "distribution": answers["package"].strip("_").replace("_", "-"),
        "author": names.author(user_name, answers["user_email"]),
        "copyright_holder": user_name or f"the authors of {names.one_line(project_name)}",
    }


class Context(ContextHook):
    """Adds computed values to every context; each worker of Copier has a hook of its own."""

    checked = False  # once is enough, and each time costs a look at the disk
    before: str | None = None  # the answers file, read before it is written

    def hook(self, context: dict[str, Any]) -> None:
        phase = str(context["_copier_phase"])
        if phase == "prompt":
            if not self.checked:
                refuse(context)
                self.checked = True
            if "task" in context:
                context["block_choices"] = features.block_choices(context)
        elif phase == "render":
            if self.before is None:
                self.before = answers_file_text(context["_copier_conf"])
            context.update(computed(context, self.before))
