"""What templates read besides the answers, and refusals before anything is written.

Runs for each string and each file that is rendered, also while the questions are asked.
"""

import difflib
import functools
import json
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

import yaml
from copier.errors import UserMessageError
from copier_template_extensions import ContextHook
from jinja2 import Environment

from . import features, major, names

# as Copier reads them, which takes anything else for a yes
YES_OR_NO = {"y", "yes", "t", "true", "on", "1", "n", "no", "f", "false", "off", "0"}
# what the owner's files, which no update touches, are written for, and what to do instead
FOR_GOOD = {
    "task": "make a new project, and take over what you need",
    "targets": "make a new project, and take over what you need",
    "package": "git mv it, replace its name in code and answers file, and commit",
    "model_name": "git mv it, replace its name in code and answers file, and commit",
    "model_class": "replace it in code and answers file, and commit",
}


@functools.cache
def questions(template: Path) -> dict[str, dict[str, Any]]:
    config = yaml.safe_load((template / "copier.yml").read_text(encoding="utf-8"))
    return {name: question for name, question in config.items() if not name.startswith("_")}


def refuse_bad_data(data: Mapping[str, Any], template: Path, before: Any) -> None:
    asked = questions(template)
    # an update renders its project as it was, from what stands in the answers file; one of 0.x can
    # only be the --data-file of a new project
    from_file = "_commit" in data and not major.is_of_0x(str(data["_commit"]), template)
    source = "the answers file: " if from_file else "--data "
    for key in [name for name in asked if from_file and name not in data]:
        raise UserMessageError(f"{source}{key} is missing; git log has the file as it was")
    # an update's inner renders pass every question, and also those that are no longer asked
    unknown = data.keys() - asked.keys() if asked.keys() - data.keys() else ()
    for key in [name for name in unknown if not name.startswith("_")]:  # Copier's own
        for close in difflib.get_close_matches(key, asked, n=1, cutoff=0.75):
            raise UserMessageError(f"--data {key}: no such question; did you mean {close}?")
    defaults = {name: question["default"] for name, question in asked.items()}
    # Copier itself would show a traceback
    for key in [name for name in asked if name in data]:
        if message := wrong(key, data[key], asked[key], defaults | dict(before) | dict(data)):
            shown = textwrap.shorten(names.one_line(str(data[key])), 60)
            raise UserMessageError(names.one_line(f"{source}{key}={shown}: {message}"))


def wrong(name: str, value: Any, question: Mapping[str, Any], answers: dict[str, Any]) -> str:
    """Return why a value is no answer to a question, next to these other answers."""
    if question.get("multiselect"):
        return wrong_choices(name, value, question, answers)
    if not isinstance(value, (str, int, float)):
        return "use text, a number or a yes or no"
    whole = re.fullmatch(r"\s*[-+]?\d{1,18}\s*", str(value))
    if question["type"] == "int" and not whole:
        return "use a whole number"
    if question["type"] == "bool" and str(value).strip().lower() not in YES_OR_NO:
        return "use yes or no"
    value = int(value) if question["type"] == "int" else str(value)
    if "choices" in question:
        return wrong_choices(name, [value], question, answers)
    return render(question.get("validator", ""), answers | {name: value})


def wrong_choices(name: str, value: Any, question: Mapping[str, Any], answers: Any) -> str:
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            value = None
    choices = question["choices"]
    if isinstance(choices, str):
        known = {"task": features.TASK_CHOICES, "logger": features.LOGGER_CHOICES}
        choices = json.loads(known.get(name) or features.block_choices(answers))
    if isinstance(choices, list):
        choices = dict.fromkeys(choices)
    reasons = {}  # of each choice, why it can not be chosen; empty when it can
    for label, choice in choices.items():
        choice = choice if isinstance(choice, dict) else {"value": choice or label}
        reasons[choice["value"]] = render(choice.get("validator", ""), answers)
    if not isinstance(value, list):
        return f"use a list of {', '.join(reasons)}, as --data '{name}=[{next(iter(reasons))}]'"
    for item in value:
        if not isinstance(item, str) or item not in reasons:
            shown = textwrap.shorten(", ".join(reasons), 200, placeholder=" ...")
            close = difflib.get_close_matches(str(item), reasons, n=1)
            return f"use {shown}" + (f"; did you mean {close[0]}?" if close else "")
        if reasons[item]:
            return reasons[item]
    return ""


def render(validator: str, answers: Mapping[str, Any]) -> str:
    return jinja().from_string(validator).render(answers)


@functools.cache
def jinja() -> Environment:
    return Environment(extensions=[names.Names])


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
    refuse_bad_data(conf["data"], Path(conf["src_path"]), context)
    if not conf["overwrite"]:
        refuse_occupied(Path(conf["dst_path"]), str(conf["answers_file"]))


def refuse_another_project(answers: Mapping[str, Any], before: str) -> None:
    """Refuse an update whose answers would leave the owner's files behind."""
    was = yaml.safe_load(before) or {}
    for name, way_out in FOR_GOOD.items():
        if was.get(name, answers[name]) != answers[name]:
            change = f"{was[name]} can't become {answers[name]} by an update"
            raise UserMessageError(f"{name}: {change}; {way_out}")


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
        "logger_classes": features.logger_classes(answers),
        "distribution": answers["package"].strip("_").replace("_", "-"),
        "author": names.author(user_name, answers["user_email"]),
        "copyright_holder": user_name or f"the authors of {names.one_line(project_name)}",
    }


class Context(ContextHook):
    """Adds computed values to every context; each worker of Copier has a hook of its own."""

    checked = False  # once is enough, and each time costs a look at the disk
    before: str | None = None  # the answers file, read before it is written

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.values: dict[Any, dict[str, Any]] = {}  # by operation: answers no longer change

    def hook(self, context: dict[str, Any]) -> None:
        phase = str(context["_copier_phase"])
        if phase == "prompt":
            if not self.checked:
                refuse(context)
                self.checked = True
            if "task" in context:
                context["block_choices"] = features.block_choices(context)
        elif phase == "render":
            # known only where Copier asks what to leave out, which is before it writes
            operation = context.get("_copier_operation")
            if self.before is None:
                self.before = answers_file_text(context["_copier_conf"])
            if operation not in self.values:
                if operation == "update":
                    refuse_another_project(context, self.before)
                self.values[operation] = computed(context, self.before)
            context.update(self.values[operation])
