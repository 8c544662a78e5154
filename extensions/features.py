"""The one table: answers -> which files exist, which dependencies.

A new task is a folder below `template/tasks` and a row in TASKS; a new block is its module, its
test `tests/test_<block>.py` and a row in BLOCKS.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jinja2 import Environment
from jinja2.ext import Extension


class Task(NamedTuple):
    """What only this task needs."""

    label: str  # of the choice
    description: str
    model_name: str
    model_class: str
    blocks: tuple[str, ...]
    dependencies: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = {}


class Block(NamedTuple):
    """A module of the catalogue, below the package."""

    path: str
    label: str
    needs: tuple[str, ...] = ()  # blocks that it imports


TASKS = {
    "image_classification": Task(
        label="one label per image, with a residual network",
        description="Image classification with a residual network",
        model_name="resnet",
        model_class="ResNet",
        blocks=(
            *("residual", "standardize", "cross_entropy", "accuracy", "initialize"),
            *("folders", "images", "predictions"),
        ),
        dependencies=("pillow>=11",),
    ),
    "language_modeling": Task(
        label="the next token of a text, with a transformer",
        description="Language modeling with a decoder-only transformer",
        model_name="gpt",
        model_class="GPT",
        blocks=("attention", "feed_forward", "cross_entropy", "next_token", "rotary", "initialize"),
        extras={"tiktoken": ("tiktoken>=0.12",)},
    ),
}

TASK_CHOICES = json.dumps({f"{name}: {row.label}": name for name, row in TASKS.items()})

BLOCKS = {
    "residual": Block("layers/residual.py", "two convolutions and a shortcut"),
    "standardize": Block("layers/standardize.py", "uint8 images to zero mean, unit variance"),
    "attention": Block(
        "layers/attention.py", "causal self-attention over several heads", needs=("rotary",)
    ),
    "feed_forward": Block("layers/feed_forward.py", "the transformer's two linear layers"),
    "cross_entropy": Block("losses/cross_entropy.py", "cross entropy that counts its elements"),
    "accuracy": Block("ops/accuracy.py", "share of samples that are right"),
    "next_token": Block("ops/next_token.py", "perplexity and accuracy of the next token"),
    "rotary": Block("ops/rotary.py", "position as an angle"),
    "initialize": Block("ops/initialize.py", "weights to start from"),
    "folders": Block("readers/folders.py", "files in folders and in class folders"),
    "images": Block("readers/images.py", "image files, cut to a square"),
    "predictions": Block("readers/predictions.py", "predictions as a table"),
}

LOGGERS = {
    "tensorboard": ("tensorboard>=2.20",),
    "wandb": ("wandb>=0.22",),
    "mlflow": ("mlflow>=3.13",),
    "csv": (),
}


class Option(NamedTuple):
    """What a yes brings."""

    files: tuple[str, ...]
    development: tuple[str, ...] = ()


OPTIONS = {
    "github_actions": Option(("/.github",)),
    "pre_commit": Option(("/.pre-commit-config.yaml",), ("pre-commit>=4.3",)),
    "docker": Option(("/Dockerfile", "/.dockerignore")),
    "notebook": Option(("/notebooks",), ("ipykernel>=7",)),
}


class TorchBuild(NamedTuple):
    """A folder of PyTorch's own package index, and the systems that it has builds for."""

    folder: str
    marker: str
    packages: tuple[str, ...] = ("torch",)


LINUX = "sys_platform == 'linux'"
LINUX_AND_WINDOWS = "sys_platform == 'linux' or sys_platform == 'win32'"
TORCH_BUILDS = {
    "cpu": TorchBuild("cpu", LINUX_AND_WINDOWS),
    # the last CUDA 12 builds; where newer PyTorch has none, uv takes the newest that is there
    "cu12x": TorchBuild("cu126", LINUX_AND_WINDOWS),
    "cu13x": TorchBuild("cu130", LINUX_AND_WINDOWS),
    # torch asks for this Triton, which no other index has
    "rocm": TorchBuild("rocm7.2", LINUX, ("torch", "triton-rocm")),
}


def with_needs(blocks: Iterable[str]) -> set[str]:
    """These blocks and those that they import."""
    return {needed for name in blocks for needed in (name, *BLOCKS[name].needs)}


def left_out(answers: Mapping[str, Any]) -> list[str]:
    """The paths of the template that these answers leave out of a project."""
    package = answers["package"]
    blocks = {*TASKS[answers["task"]].blocks, *with_needs(answers["blocks"])}
    paths = [path for name in OPTIONS if not answers[name] for path in OPTIONS[name].files]
    for name in LOGGERS.keys() - {"csv", *answers["logger"]}:
        paths += [f"/{package}/engine/loggers/{name}.py", f"/tests/engine/test_{name}.py"]
    if not {*answers["logger"]} - {"csv"}:
        paths.append(f"/{package}/engine/loggers")
    if not any(BLOCKS[name].path.startswith("readers/") for name in blocks):
        paths.append(f"/{package}/readers")
    for name in BLOCKS.keys() - blocks:
        paths += [f"/{package}/{BLOCKS[name].path}", f"/tests/test_{name}.py"]
    return sorted(paths)


def block_choices(answers: Mapping[str, Any]) -> str:
    """The catalogue as the choices of a question, in YAML."""
    used = TASKS[answers["task"]].blocks
    reason = "the task uses it already"
    return json.dumps(
        {
            f"{name}: {block.label}": {"value": name, "validator": reason if name in used else ""}
            for name, block in BLOCKS.items()
            if not block.path.startswith("readers/")  # which belong to a task's data
        }
    )


def owned(answers: Mapping[str, Any], before: str = "") -> list[str]:
    """The owner's files: written once, never touched by an update, nor made again when deleted.

    `before` is the text of the answers file that an update finds: what was not asked for then is
    written now.
    """
    package, model = answers["package"], answers["model_name"]
    there = with_needs(name for name in BLOCKS if f"\n- {name}\n" in before)
    there |= {*TASKS[answers["task"]].blocks}
    new = with_needs(answers["blocks"]) - there if before else set()
    blocks = [name for name in BLOCKS if name not in new]
    return [
        *("/README.md", "/CHANGELOG.md", "/LICENSE"),
        *(() if "\nnotebook: false\n" in before else ("/notebooks",)),
        *(f"/{package}/{name}.py" for name in (model, "data")),
        *(f"/{package}/{name}/__init__.py" for name in ("layers", "losses", "ops", "readers")),
        *(f"/{package}/{BLOCKS[name].path}" for name in blocks),
        *(f"/tests/test_{name}.py" for name in ("model", "data", *blocks)),
        "/tests/small.py",
    ]


def dependencies(answers: Mapping[str, Any]) -> list[str]:
    """What a project needs to run."""
    found = ["numpy>=2.1", "torch>=2.11", "torchinfo>=1.8", "tqdm>=4.67"]
    found += TASKS[answers["task"]].dependencies
    found += [requirement for name in answers["logger"] for requirement in LOGGERS[name]]
    if answers["torch_source"] == "rocm":
        found.append(f"triton-rocm; {LINUX}")
    return sorted(found)


def extras(answers: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a project can do besides, when it is installed with an extra's name in brackets."""
    export = ("onnx>=1.19", "onnxruntime>=1.23", "onnxscript>=0.5", "safetensors>=0.6")
    found = {"export": export, **TASKS[answers["task"]].extras}
    return {name: sorted(found[name]) for name in sorted(found)}


def development(answers: Mapping[str, Any]) -> list[str]:
    """What those who work on a project need."""
    found = ["pyrefly>=1.4", "pytest>=8.4", "ruff>=0.17"]
    for name, option in OPTIONS.items():
        found += option.development if answers[name] else ()
    return sorted(found)


def torch_sources(answers: Mapping[str, Any]) -> str:
    """Lines of TOML: which packages come from PyTorch's own index, and where."""
    build = TORCH_BUILDS.get(answers["torch_source"])
    if build is None:
        return ""
    needed = [re.split("[>;]", requirement)[0] for requirement in dependencies(answers)]
    return "\n".join(
        f'{name} = {{ index = "pytorch", marker = "{build.marker}" }}'
        for name in build.packages
        if name in needed
    )


class Features(Extension):
    """Gives questions and templates the rows of the table, and what follows from them."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        values: dict[str, Any] = {
            "tasks": TASKS,
            "task_choices": TASK_CHOICES,
            "catalogue": BLOCKS,
            "torch_builds": TORCH_BUILDS,
        }
        environment.globals.update(values)
