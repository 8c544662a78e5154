"""The one table: answers -> which files exist, which dependencies.

A new task is a folder below `template/tasks` and a row in TASKS; what it learns in the place of a
class, a folder in that one and a row in TARGETS; a new block is its module, its test
`tests/test_<block>.py` and a row in BLOCKS.
"""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from jinja2 import Environment
from jinja2.ext import Extension


class Task(NamedTuple):
    """What only this task needs."""

    label: str  # of the choice
    description: str
    model_name: str
    model_class: str
    blocks: tuple[str, ...]  # what its files import
    dependencies: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = {}


class Block(NamedTuple):
    """A module of the catalogue, below the package."""

    path: str
    label: str
    needs: tuple[str, ...] = ()  # blocks that it imports
    task_s_own: bool = False
    any_data: bool = False  # a reader for whatever is in the files

    @property
    def offered(self) -> bool:
        """Whether other tasks may ask for it; how files are read belongs to a task."""
        return not self.task_s_own and (self.any_data or not self.path.startswith("readers/"))


TASKS = {
    "image_classification": Task(
        label="one label per image, with a residual network",
        description="Image classification with a residual network",
        model_name="resnet",
        model_class="ResNet",
        blocks=(
            *("residual", "standardize", "cross_entropy", "accuracy", "class_weights"),
            *("initialize", "class_folders", "folders", "hold_out", "images"),
            *("predictions", "rgb"),
        ),
        dependencies=("pillow>=11", "torchvision>=0.26"),
    ),
    "semantic_segmentation": Task(
        label="one class per pixel, with a U-Net",
        description="Semantic segmentation with a U-Net of residual blocks",
        model_name="unet",
        model_class="UNet",
        blocks=(
            *("residual", "standardize", "dice", "confusion", "initialize"),
            *("images", "inputs", "rgb", "split_folders"),
        ),
        dependencies=("pillow>=11", "torchvision>=0.26"),
    ),
    "object_detection": Task(
        label="boxes around things, with a pyramid of places",
        description="Object detection without anchors",
        model_name="detector",
        model_class="Detector",
        blocks=(
            *("residual", "pyramid", "standardize", "detection", "average_precision"),
            *("detections", "initialize", "coco", "images", "inputs", "predictions", "rgb"),
        ),
        dependencies=("pillow>=11", "torchvision>=0.26"),
    ),
    "image_to_image": Task(
        label="a sharper or cleaner image, with residual blocks and sub-pixel upsampling",
        description="Super-resolution and denoising with a residual network",
        model_name="edsr",
        model_class="EDSR",
        blocks=(
            *("standardize", "perceptual", "restoration", "fidelity", "total_variation"),
            *("initialize", "images", "inputs", "split_folders", "vgg"),
        ),
        dependencies=("pillow>=11", "torchvision>=0.26"),
    ),
    "image_generation": Task(
        label="new images out of noise, with a network and its critic (GAN)",
        description="A generative adversarial network",
        model_name="generator",
        model_class="Generator",
        blocks=(
            *("adaptive_norm", "image_attention", "up_residual", "down_residual", "spectral_norm"),
            *("adversarial", "gradient_penalty", "random_frechet", "pictures"),
        ),
        dependencies=("pillow>=11", "torchvision>=0.26"),
    ),
    "diffusion": Task(
        label="new images out of noise, with a U-Net that takes it away",
        description="A diffusion model with a small U-Net",
        model_name="denoiser",
        model_class="Denoiser",
        blocks=(
            *("image_attention", "level_embedding", "modulated_residual", "noise_error"),
            *("noise_bands", "noise_level", "random_frechet", "pictures"),
        ),
        dependencies=("pillow>=11", "torchvision>=0.26"),
    ),
    "text_classification": Task(
        label="one class per text, with a transformer encoder",
        description="Text classification with a transformer encoder",
        model_name="text_encoder",
        model_class="TextEncoder",
        blocks=(
            *("transformer_block", "cross_entropy", "f1", "rotary", "init_transformer"),
            *("class_weights", "hold_out", "predictions", "split_column", "tables"),
        ),
        dependencies=("polars>=1.35",),
        extras={"tokenizers": ("tokenizers>=0.22",)},
    ),
    "language_modeling": Task(
        label="the next token of a text, with a transformer",
        description="Language modeling with a decoder-only transformer",
        model_name="gpt",
        model_class="GPT",
        blocks=(
            *("transformer_block", "cross_entropy", "next_token", "rotary", "init_transformer"),
            *("hold_out", "set_folders", "sets"),
        ),
        extras={"tiktoken": ("tiktoken>=0.12",)},
    ),
    "tabular": Task(
        label="a number or a class for each row of a table, with a residual MLP",
        description="A target of tables, with a residual MLP",
        model_name="tabular_mlp",
        model_class="TabularMLP",
        blocks=(
            *("columns", "residual_mlp", "cross_entropy", "squared_error", "auroc"),
            *("regression_scores", "class_weights", "features", "kinds", "predictions"),
            *("row_hash", "split_column", "tables"),
        ),
        dependencies=("polars>=1.35",),
    ),
    "time_series": Task(
        label="what comes next in a series and how sure that is, with a patch transformer",
        description="Forecasts of time series as quantiles, with a patch transformer",
        model_name="patch_transformer",
        model_class="PatchTransformer",
        blocks=(
            *("transformer_block", "quantile", "forecast_scores", "init_transformer"),
            *("rotary", "window_scale", "plots", "predictions", "tables"),
        ),
        dependencies=("matplotlib>=3.10", "polars>=1.35"),
    ),
    "audio_classification": Task(
        label="one label per sound, with convolutions over its spectrogram",
        description="Audio classification with a residual network over spectrograms",
        model_name="audio_resnet",
        model_class="AudioResNet",
        blocks=(
            *("log_mel", "residual", "cross_entropy", "accuracy", "class_weights", "initialize"),
            *("class_folders", "folders", "predictions", "sounds"),
        ),
        dependencies=("pillow>=11", "soundfile>=0.13"),
    ),
    "custom": Task(
        label="what you fill in: data, network, loss and metric",
        description="A network of my own",
        model_name="network",
        model_class="Network",
        blocks=("hold_out", "loss", "metric", "predictions", "sets"),
    ),
}

# the tasks whose targets may be others than one class: what they are then
IMAGES_IN_A_TABLE = (
    *("residual", "standardize", "initialize", "images", "predictions", "folders", "tables"),
    "target_table",
)
TEXTS = (
    *("transformer_block", "rotary", "init_transformer", "hold_out", "predictions"),
    *("split_column", "tables"),
)
SOUNDS_IN_A_TABLE = (
    *("log_mel", "residual", "initialize", "sounds", "predictions", "folders", "target_table"),
)
TARGETS = {
    ("image_classification", "labels"): TASKS["image_classification"]._replace(
        description="Labels of images, any number of them, with a residual network",
        blocks=(
            *IMAGES_IN_A_TABLE,
            *("binary_cross_entropy", "label_scores", "label_columns", "rgb"),
        ),
        dependencies=("pillow>=11", "polars>=1.35", "torchvision>=0.26"),
    ),
    ("image_classification", "number"): TASKS["image_classification"]._replace(
        description="A number for each image, with a residual network",
        blocks=(*IMAGES_IN_A_TABLE, "number_head", "numbers", "regression_scores", "squared_error"),
        dependencies=("pillow>=11", "polars>=1.35", "torchvision>=0.26"),
    ),
    ("text_classification", "labels"): TASKS["text_classification"]._replace(
        description="Labels of texts, any number of them, with a transformer encoder",
        blocks=(*TEXTS, "binary_cross_entropy", "label_scores", "label_columns"),
    ),
    ("text_classification", "number"): TASKS["text_classification"]._replace(
        description="A number for each text, with a transformer encoder",
        blocks=(*TEXTS, "number_head", "numbers", "regression_scores", "squared_error"),
    ),
    ("audio_classification", "labels"): TASKS["audio_classification"]._replace(
        description="Labels of sounds, any number of them, with a residual network",
        blocks=(*SOUNDS_IN_A_TABLE, "binary_cross_entropy", "label_scores", "label_columns"),
        dependencies=("pillow>=11", "polars>=1.35", "soundfile>=0.13"),
    ),
    ("audio_classification", "number"): TASKS["audio_classification"]._replace(
        description="A number for each sound, with a residual network over spectrograms",
        blocks=(*SOUNDS_IN_A_TABLE, "number_head", "numbers", "regression_scores", "squared_error"),
        dependencies=("polars>=1.35", "soundfile>=0.13"),
    ),
}

TASK_CHOICES = json.dumps({f"{name}: {row.label}": name for name, row in TASKS.items()})

BLOCKS = {
    "adaptive_norm": Block("layers/adaptive_norm.py", "adaptive instance normalisation"),
    "attention": Block(
        "layers/attention.py", "self-attention, causal or masked", needs=("rotary",)
    ),
    "columns": Block("layers/columns.py", "numbers and categories of a table as features"),
    "down_residual": Block(
        "layers/down_residual.py", "a residual block that halves", needs=("spectral_norm",)
    ),
    "feed_forward": Block("layers/feed_forward.py", "the transformer's two linear layers"),
    "image_attention": Block("layers/image_attention.py", "places that look at all places"),
    "level_embedding": Block("layers/level_embedding.py", "a number as waves"),
    "log_mel": Block(
        "layers/log_mel.py", "sound as a spectrogram in mel bands", needs=("mel_filters",)
    ),
    "modulated_residual": Block(
        "layers/modulated_residual.py", "a residual block that an embedding steers"
    ),
    "number_head": Block("layers/number_head.py", "a number in the target's own unit"),
    "pyramid": Block("layers/pyramid.py", "maps of several sizes that know of each other"),
    "residual": Block("layers/residual.py", "two convolutions and a shortcut"),
    "residual_mlp": Block(
        "layers/residual_mlp.py", "two linear layers and a shortcut", needs=("feed_forward",)
    ),
    "spectral_norm": Block(
        "layers/spectral_norm.py", "weights that stretch nothing by more than 1"
    ),
    "standardize": Block("layers/standardize.py", "uint8 images to zero mean, unit variance"),
    "transformer_block": Block(
        "layers/transformer_block.py",
        "attention and two linear layers, each around a shortcut",
        needs=("attention", "feed_forward"),
    ),
    "up_residual": Block(
        "layers/up_residual.py", "a residual block that enlarges", needs=("adaptive_norm",)
    ),
    "adversarial": Block(
        "losses/adversarial.py",
        "relativistic, vanilla, least-squares, hinge and Wasserstein losses of a GAN",
    ),
    "binary_cross_entropy": Block(
        "losses/binary_cross_entropy.py", "cross entropy of classes that exclude nothing"
    ),
    "cross_entropy": Block("losses/cross_entropy.py", "cross entropy that counts its elements"),
    "detection": Block("losses/detection.py", "focal, GIoU and centre-ness loss"),
    "dice": Block(
        "losses/dice.py", "cross entropy and overlap of the classes of pixels", needs=("one_hot",)
    ),
    "gradient_penalty": Block("losses/gradient_penalty.py", "slopes of 1 for a critic"),
    "loss": Block("losses/loss.py", "your loss", task_s_own=True),
    "noise_error": Block(
        "losses/noise_error.py", "square error of the noise that was found", needs=("noise_level",)
    ),
    "perceptual": Block("losses/perceptual.py", "distance in the features of a pretrained network"),
    "quantile": Block("losses/quantile.py", "how far quantiles are from where they belong"),
    "restoration": Block(
        "losses/restoration.py",
        "absolute error, total variation and perceptual loss",
        needs=("total_variation",),
    ),
    "squared_error": Block("losses/squared_error.py", "mean squared error"),
    "accuracy": Block("ops/accuracy.py", "share of samples that are right"),
    "auroc": Block("ops/auroc.py", "accuracy, and area under the ROC curve"),
    "average_precision": Block(
        "ops/average_precision.py",
        "COCO's average precision",
        needs=("detections", "totals"),
    ),
    "class_weights": Block("ops/class_weights.py", "weights that balance classes"),
    "confusion": Block("ops/confusion.py", "mean IoU and accuracy of the classes of pixels"),
    "detections": Block("ops/detections.py", "a few boxes an image"),
    "f1": Block("ops/f1.py", "accuracy and F1 of the classes of samples"),
    "fidelity": Block("ops/fidelity.py", "PSNR and SSIM", needs=("totals",)),
    "forecast_scores": Block(
        "ops/forecast_scores.py", "MASE, and coverage of the intervals", needs=("totals",)
    ),
    "initialize": Block("ops/initialize.py", "weights of convolutions to start from"),
    "init_transformer": Block("ops/init_transformer.py", "weights of a transformer to start from"),
    "label_scores": Block(
        "ops/label_scores.py", "F1 of labels, of which a sample may have several"
    ),
    "mel_filters": Block("ops/mel_filters.py", "frequencies to mel bands"),
    "metric": Block("ops/metric.py", "your metric", task_s_own=True, needs=("totals",)),
    "next_token": Block(
        "ops/next_token.py", "perplexity and accuracy of the next token", needs=("totals",)
    ),
    "noise_bands": Block(
        "ops/noise_bands.py", "square error by level of the noise", needs=("totals",)
    ),
    "noise_level": Block("ops/noise_level.py", "shares of image and noise at a level"),
    "one_hot": Block("ops/one_hot.py", "class numbers as ones and zeros"),
    "random_frechet": Block(
        "ops/random_frechet.py",
        "distance of drawn from real images, by random features",
        needs=("totals",),
    ),
    "regression_scores": Block(
        "ops/regression_scores.py", "RMSE and R2 in the target's unit", needs=("totals",)
    ),
    "rotary": Block("ops/rotary.py", "position as an angle"),
    "total_variation": Block("ops/total_variation.py", "how uneven images are"),
    "totals": Block("ops/totals.py", "zeros in which sums stay exact"),
    "window_scale": Block("ops/window_scale.py", "windows of series, brought to one scale"),
    "class_folders": Block(
        "readers/class_folders.py",
        "files in class folders",
        needs=("set_folders", "split_folders"),
    ),
    "coco": Block(
        "readers/coco.py",
        "boxes in COCO's JSON",
        needs=("folders", "hold_out", "set_folders", "sets"),
    ),
    "features": Block(
        "readers/features.py", "columns of a table, scaled and numbered", needs=("kinds", "tables")
    ),
    "folders": Block("readers/folders.py", "files in folders"),
    "images": Block("readers/images.py", "image files, and pictures side by side"),
    "inputs": Block("readers/inputs.py", "images to predict on", needs=("folders", "images")),
    "kinds": Block(
        "readers/kinds.py", "columns of numbers, times, categories", needs=("row_hash", "tables")
    ),
    "label_columns": Block(
        "readers/label_columns.py", "columns of 0 and 1 of a table", needs=("tables",)
    ),
    "numbers": Block("readers/numbers.py", "numbers to predict", needs=("tables",)),
    "pictures": Block(
        "readers/pictures.py",
        "images without labels, read, drawn, written",
        needs=("images", "split_folders"),
    ),
    "plots": Block("readers/plots.py", "forecasts as pictures"),
    "predictions": Block("readers/predictions.py", "predictions as a table"),
    "rgb": Block("readers/rgb.py", "images to look at"),
    "row_hash": Block(
        "readers/row_hash.py", "what a row of a table is known by", needs=("sets", "tables")
    ),
    "split_column": Block(
        "readers/split_column.py", "sets that a column names", needs=("sets", "tables")
    ),
    "split_folders": Block(
        "readers/split_folders.py",
        "files of three sets",
        needs=("folders", "hold_out", "set_folders"),
    ),
    "sounds": Block("readers/sounds.py", "sound files, brought to one rate and length"),
    "hold_out": Block("readers/hold_out.py", "samples kept out of training", needs=("sets",)),
    "set_folders": Block("readers/set_folders.py", "folders of three sets", needs=("sets",)),
    "sets": Block("readers/sets.py", "the names of three sets"),
    "tables": Block("readers/tables.py", "CSV, JSONL and Parquet files"),
    "tar_shards": Block(
        "readers/tar_shards.py", "samples in tar files, laid out as WebDataset does", any_data=True
    ),
    "target_table": Block(
        "readers/target_table.py",
        "files and their targets, which a table names",
        needs=("folders", "hold_out", "set_folders", "split_column", "tables"),
    ),
    "vgg": Block("readers/vgg.py", "torchvision's VGG16, downloaded or from a file"),
}


class Logger(NamedTuple):
    """A class in the engine's file of the logger's name, and the package that it stands on."""

    label: str  # of the choice
    class_name: str
    requirement: str
    path: str  # what it writes, in a run's folder
    use: str  # of that


# besides metrics.csv, which is always there
LOGGERS = {
    "tensorboard": Logger(
        "event files, seen with tensorboard --logdir runs",
        "TensorBoard",
        "tensorboard>=2.20",
        "events.out.tfevents.*",
        "for `uv run tensorboard --logdir runs`",
    ),
    "wandb": Logger(
        "Weights & Biases, offline until you sync",
        "WandB",
        "wandb>=0.22",
        "wandb/",
        "offline, for `uv run wandb sync`; WANDB_MODE=online sends at once",
    ),
    "mlflow": Logger(
        "MLflow, in a local store",
        "MLflow",
        "mlflow>=3.13",
        "mlflow/",
        "a local store, unless MLFLOW_TRACKING_URI names another",
    ),
}
LOGGER_CHOICES = json.dumps(
    {f"{name}: {row.label}": name for name, row in LOGGERS.items()}
    | {"csv: metrics.csv is enough": "csv"}
)


class Option(NamedTuple):
    """What a yes brings."""

    files: tuple[str, ...]
    development: tuple[str, ...] = ()


OPTIONS = {
    "github_actions": Option(("/.github/workflows/ci.yml", "/.github/workflows/audit.yml")),
    "pre_commit": Option(("/.pre-commit-config.yaml",), ("pre-commit==4.7.0",)),
    "docker": Option(("/Dockerfile", "/.dockerignore")),
    "notebook": Option(("/notebooks",), ("ipykernel>=7",)),
    "slurm": Option(("/slurm",)),
}

# who looks for a newer template -> the file that tells them how
UPDATES = {"github": "/.github/workflows/update.yml", "renovate": "/renovate.json"}


class TorchBuild(NamedTuple):
    """A folder of PyTorch's own package index, and the systems that it has builds for."""

    folder: str
    marker: str
    packages: tuple[str, ...] = ("torch", "torchvision")


LINUX = "sys_platform == 'linux'"
LINUX_AND_WINDOWS = "sys_platform == 'linux' or sys_platform == 'win32'"
TORCH_BUILDS = {
    "cpu": TorchBuild("cpu", LINUX_AND_WINDOWS),
    # the last CUDA 12 builds; where newer PyTorch has none, uv takes the newest that is there
    "cu12x": TorchBuild("cu126", LINUX_AND_WINDOWS),
    "cu13x": TorchBuild("cu130", LINUX_AND_WINDOWS),
    # torch asks for this Triton, which no other index has
    "rocm": TorchBuild("rocm7.2", LINUX, ("torch", "torchvision", "triton-rocm")),
}


def with_needs(blocks: Iterable[str]) -> set[str]:
    """These blocks, those that they import, and so on."""
    found: set[str] = set()
    left = [*blocks]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += BLOCKS[name].needs
    return found


def row_of(task: str, targets: str = "label") -> Task:
    return TARGETS.get((task, targets), TASKS[task])


def blocks_of(task: str, targets: str = "label") -> set[str]:
    return with_needs(row_of(task, targets).blocks)


def used_by(answers: Mapping[str, Any]) -> set[str]:
    return blocks_of(answers["task"], answers.get("targets", "label"))


def left_out(answers: Mapping[str, Any]) -> list[str]:
    """The paths of the template that these answers leave out of a project."""
    package = answers["package"]
    blocks = used_by(answers) | with_needs(answers["blocks"])
    paths = [path for name in OPTIONS if not answers[name] for path in OPTIONS[name].files]
    paths += [path for name, path in UPDATES.items() if name != answers["updates"]]
    if not answers["github_actions"] and answers["updates"] != "github":
        paths.append("/.github")
    for name in LOGGERS.keys() - {*answers["logger"]}:
        paths.append(f"/{package}/engine/{name}.py")
    if not any(BLOCKS[name].path.startswith("readers/") for name in blocks):
        paths.append(f"/{package}/readers")
    for name in BLOCKS.keys() - blocks:
        paths += [f"/{package}/{BLOCKS[name].path}", f"/tests/test_{name}.py"]
    return sorted(paths)


def block_choices(answers: Mapping[str, Any]) -> str:
    """The catalogue as the choices of a question, in YAML."""
    used = used_by(answers)
    reason = "{name}: the task uses it already"
    return json.dumps(
        {
            f"{name}: {block.label}": {
                "value": name,
                "validator": reason.format(name=name) if name in used else "",
            }
            for name, block in BLOCKS.items()
            if block.offered
        }
    )


def owned(answers: Mapping[str, Any], before: str = "") -> list[str]:
    """The owner's files: written once, never touched by an update, nor made again when deleted.

    `before` is the text of the answers file that an update finds: what was not asked for then is
    written now.
    """
    package, model = answers["package"], answers["model_name"]
    there = with_needs(name for name in BLOCKS if f"\n- {name}\n" in before)
    there |= used_by(answers)
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


def logger_classes(answers: Mapping[str, Any]) -> list[str]:
    """What train.py opens."""
    return sorted(LOGGERS[name].class_name for name in answers["logger"] if name in LOGGERS)


def dependencies(answers: Mapping[str, Any]) -> list[str]:
    """What a project needs to run."""
    found = ["filelock>=4", "numpy>=2.1", "torch>=2.11", "torchinfo>=1.8", "tqdm>=4.67"]
    found += row_of(answers["task"], answers.get("targets", "label")).dependencies
    found += [LOGGERS[name].requirement for name in answers["logger"] if name in LOGGERS]
    if answers["torch_source"] == "rocm":
        found.append(f"triton-rocm; {LINUX}")
    return sorted(found)


def extras(answers: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a project can do besides, when it is installed with an extra's name in brackets."""
    export = ("onnx>=1.19", "onnxruntime>=1.23", "onnxscript>=0.5", "safetensors>=0.6")
    found = {"export": export, "graph": ("torchview>=0.2.7",), **TASKS[answers["task"]].extras}
    return {name: sorted(found[name]) for name in sorted(found)}


def development(answers: Mapping[str, Any]) -> list[str]:
    """What those who work on a project need; what checks it is pinned, and moves with a release."""
    found = ["pyrefly==1.5.0", "pytest==9.2.0", "ruff==0.17.6"]
    for name, option in OPTIONS.items():
        found += option.development if answers[name] else ()
    return sorted(found)


def torch_sources(answers: Mapping[str, Any]) -> str:
    """Lines of TOML: which packages come from PyTorch's own index, and where."""
    build = TORCH_BUILDS.get(answers["torch_source"])
    if build is None:
        return ""
    asked = [*dependencies(answers), *chain(*extras(answers).values())]
    needed = [re.split("[>;]", requirement)[0] for requirement in asked]
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
            "row_of": row_of,
            "tasks": TASKS,
            "task_choices": TASK_CHOICES,
            "other_targets": sorted({task for task, _ in TARGETS}),
            "logger_choices": LOGGER_CHOICES,
            "catalogue": BLOCKS,
            "loggers": LOGGERS,
            "torch_builds": TORCH_BUILDS,
        }
        environment.globals.update(values)
