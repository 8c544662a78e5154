"""The kinds of edits that owners make to their projects.

Each function makes one edit to a project on disk, and leaves Python that compiles. What it may
choose it takes from `rng`; where it finds no place, after another edit, it raises NoPlaceError.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from releases import answers_of, git

Edit = Callable[[Path, str, Random], None]
# a fixed name, so that whoever compares renders one project with it and no more
RENAMED = "renamed_project"


class NoPlaceError(Exception):
    """The project has no place for this kind of edit, or no longer."""


# a project and the places in it


def at(project: Path, name: str) -> Path:
    """Return a file, or a script where it was moved to."""
    for path in (project / name, project / "scripts" / name):
        if path.is_file():
            return path
    raise NoPlaceError(name)


def model_file(project: Path, package: str) -> Path:
    return at(project, f"{package}/{answers_of(project)['model_name']}.py")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file, with the line ends that it has."""
    crlf = path.is_file() and b"\r\n" in path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\r\n" if crlf else "\n")


def append(path: Path, text: str) -> None:
    write(path, read(path) + text)


def substitute(path: Path, pattern: str, new: str | Callable[[re.Match[str]], str]) -> None:
    """Replace each match in a file."""
    text, count = re.subn(pattern, new, read(path), flags=re.MULTILINE)
    if not count:
        raise NoPlaceError(f"{path}: {pattern}")
    write(path, text)


def substitute_one(path: Path, pattern: str, new: Callable[[str], str], rng: Random) -> None:
    """Replace one of the matches in a file, which is the pattern's group."""
    text = read(path)
    if not (found := [*re.finditer(pattern, text, flags=re.MULTILINE)]):
        raise NoPlaceError(f"{path}: {pattern}")
    match = rng.choice(found)
    write(path, text[: match.start(1)] + new(match[1]) + text[match.end(1) :])


def find(path: Path, *starts: str) -> tuple[list[str], ast.stmt]:
    """Return a file's lines, and its first statement that starts with one of these texts."""
    text = read(path)
    lines = text.splitlines()
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt))
    for node in sorted(nodes, key=lambda node: node.lineno):
        if lines[node.lineno - 1][node.col_offset :].startswith(starts):
            return lines, node
    raise NoPlaceError(f"{path}: {starts}")


def put(path: Path, lines: list[str], first: int, last: int, code: str, indent: int) -> None:
    new = [f"{' ' * indent}{line}" if line else "" for line in code.splitlines()]
    write(path, "\n".join([*lines[:first], *new, *lines[last:]]) + "\n")


def add_after(path: Path, code: str, *starts: str) -> None:
    lines, node = find(path, *starts)
    last = node.end_lineno or node.lineno
    put(path, lines, last, last, code, node.col_offset)


def add_before(path: Path, code: str, *starts: str) -> None:
    lines, node = find(path, *starts)
    put(path, lines, node.lineno - 1, node.lineno - 1, code, node.col_offset)


def add_within(path: Path, code: str, *starts: str) -> None:
    """Add the first lines of the body of a loop, a condition or a function."""
    lines, node = find(path, *starts)
    body = node.body[0]  # pyrefly: ignore[missing-attribute]
    put(path, lines, body.lineno - 1, body.lineno - 1, code, body.col_offset)


def replace(path: Path, code: str, *starts: str) -> None:
    lines, node = find(path, *starts)
    put(path, lines, node.lineno - 1, node.end_lineno or node.lineno, code, node.col_offset)


def add_import(path: Path, line: str) -> None:
    """Add an import where ruff would sort it: before the first one that comes after it."""
    lines = read(path).splitlines()
    kind = "from ." if line.startswith("from .") else line.rpartition(" import ")[0].split(".")[0]
    found = [number for number, other in enumerate(lines) if other.startswith(kind)]
    if not found:
        raise NoPlaceError(f"{path}: no import to add {line} to")
    later = [number for number in found if lines[number] > line]
    place = later[0] if later else ast_end(path, found[-1])
    put(path, lines, place, place, line, 0)


def ast_end(path: Path, line: int) -> int:
    """Return the line after the statement that begins at a line."""
    for node in ast.parse(read(path)).body:
        if node.lineno == line + 1:
            return node.end_lineno or node.lineno
    raise NoPlaceError(f"{path}: {line}")


# in the owner's files


def own_model(project: Path, package: str, rng: Random) -> None:
    """Another network under the same name."""
    name = answers_of(project)["model_class"]
    code = f'class {name}(nn.Module):\n    """What I need instead."""\n\n'
    code += "    def __init__(self, *sizes, width=64, **more) -> None:\n"
    code += f"        super().__init__()\n        self.body = nn.LazyLinear({rng.randint(2, 99)})\n"
    code += "\n    def forward(self, inputs):\n        return self.body(inputs)"
    replace(model_file(project, package), code, f"class {name}(")


def deeper_model(project: Path, package: str, rng: Random) -> None:
    pattern = r"(?:width|depth|dim|heads)\b[^=\n]*= (\d+)"
    new = str(rng.randint(65, 255))
    substitute_one(model_file(project, package), pattern, lambda _: new, rng)


def own_layer(project: Path, package: str, rng: Random) -> None:
    code = '"""A gate."""\n\nfrom torch import Tensor, nn\n\n\nclass Gate(nn.Module):\n'
    code += "    def forward(self, x: Tensor) -> Tensor:\n        return x * x.sigmoid()\n"
    write(project / package / "layers" / "gate.py", code)
    path = model_file(project, package)
    add_import(path, "from .layers.gate import Gate")
    add_after(path, "self.gate = Gate()", "super().__init__()")


def own_loss(project: Path, package: str, rng: Random) -> None:
    code = '"""A loss of my own."""\n\nfrom torch import Tensor, nn\n\n\nclass Focal(nn.Module):\n'
    code += "    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:\n"
    code += f"        return (outputs - targets).abs().pow({rng.randint(1, 4)}).mean()\n"
    write(project / package / "losses" / "focal.py", code)
    add_import(model_file(project, package), "from .losses.focal import Focal")


def own_op(project: Path, package: str, rng: Random) -> None:
    code = '"""A measure of my own."""\n\nfrom torch import Tensor\n\n\n'
    code += "def spread(x: Tensor) -> float:\n    return (x.max() - x.min()).item()\n"
    write(project / package / "ops" / "spread.py", code)
    write(project / "tests" / "test_spread.py", "def test_spread() -> None:\n    assert True\n")


def changed_block(project: Path, package: str, rng: Random) -> None:
    """A line in a file of the catalogue."""
    blocks = [path for path in project.glob(f"{package}/*/*.py") if "engine" not in path.parts]
    add_line(rng.choice(sorted(path for path in blocks if "def " in read(path))), rng)


def own_data(project: Path, package: str, rng: Random) -> None:
    path = at(project, f"{package}/data.py")
    append(path, f"\n\ndef open_mine(path, *others):\n    return [{rng.randint(0, 9)}], [path]\n")


def changed_data(project: Path, package: str, rng: Random) -> None:
    add_line(at(project, f"{package}/data.py"), rng)


def rewritten_readme(project: Path, package: str, rng: Random) -> None:
    write(at(project, "README.md"), f"# Mine\n\nAn experiment, number {rng.randint(1, 99)}.\n")


def kept_changelog(project: Path, package: str, rng: Random) -> None:
    append(at(project, "CHANGELOG.md"), "\n## 0.2.0\n\nA larger network.\n")


def deleted_examples(project: Path, package: str, rng: Random) -> None:
    names = ("tests/test_model.py", "tests/test_data.py", "notebooks/explore.ipynb", "CHANGELOG.md")
    for name in rng.sample(names, rng.randint(1, len(names))):
        at(project, name).unlink()


def own_tests(project: Path, package: str, rng: Random) -> None:
    path = at(project, "tests/test_model.py")
    append(path, "\n\ndef test_mine() -> None:\n    assert True\n")


def own_script(project: Path, package: str, rng: Random) -> None:
    """A copy of train.py, with another default."""
    text = read(at(project, "train.py"))
    longer = re.sub(r'("--epochs".*default=)\d+', r"\g<1>100", text)
    write(project / "train_long.py", longer)
    write(project / "sweep.sh", "for lr in 1e-3 1e-4; do python train_long.py --lr $lr; done\n")


# in the shared files: train.py


def added_flag(project: Path, package: str, rng: Random) -> None:
    """A flag after any other, or in a group of its own, and what reads it."""
    path = at(project, "train.py")
    name = rng.choice(("width", "margin", "rounds"))
    flag = f'add("--{name}", type=int, default={rng.randint(1, 9)}, help="of mine")'
    if rng.random() < 0.3:
        group = 'add = parser.add_argument_group("mine").add_argument'
        add_before(path, f"{group}\n{flag}\n", "options.add_hardware(")
    else:
        others = re.findall(r'^    (add\("--[\w-]+")', read(path), flags=re.MULTILINE)
        if not others:
            raise NoPlaceError(f"{path}: no flags")
        add_after(path, flag, rng.choice(others))
    add_before(path, f'print("{name}", args.{name})', "# network", "net = ")


def changed_default(project: Path, package: str, rng: Random) -> None:
    pattern = r'add\("--.*default=(\d[\w.-]*)'
    new = f"{rng.randint(1, 9)}e-{rng.randint(1, 5)}"
    substitute_one(at(project, "train.py"), pattern, lambda old: new if "." in old else "12", rng)


def dropped_flag(project: Path, package: str, rng: Random) -> None:
    path = at(project, "train.py")
    name = rng.choice(("clip_norm", "patience", "ema", "schedule", "skip_bad_samples"))
    replace(path, "", f'add("--{name.replace("_", "-")}"')
    value = {"schedule": '"cosine"', "skip_bad_samples": "False"}.get(name, "0")
    substitute(path, rf"\bargs\.{name}\b", value)


def other_optimizer(project: Path, package: str, rng: Random) -> None:
    code = (
        "optimizer = torch.optim.SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)",
        "optimizer = torch.optim.RAdam(\n    groups,\n    lr=args.lr,\n    eps=1e-6,\n)",
    )
    replace(at(project, "train.py"), rng.choice(code), "optimizer = torch.optim.")


def changed_betas(project: Path, package: str, rng: Random) -> None:
    substitute(at(project, "train.py"), r"betas=\([\d., ]+\)", "betas=(0.9, 0.99)")


def other_groups(project: Path, package: str, rng: Random) -> None:
    """A learning rate of its own for some of the weights."""
    code = 'for group in groups:\n    group["lr"] = args.lr / 2'
    add_before(at(project, "train.py"), code, "optimizer = torch.optim.")


def other_schedule(project: Path, package: str, rng: Random) -> None:
    code = (
        "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.5)",
        "scheduler = torch.optim.lr_scheduler.OneCycleLR(\n    optimizer, 1e-2, total_steps\n)",
    )
    replace(at(project, "train.py"), rng.choice(code), "scheduler = ")


def other_loss(project: Path, package: str, rng: Random) -> None:
    path = at(project, "train.py")
    if rng.random() < 0.5:
        own_loss(project, package, rng)
        add_import(path, f"from {package}.losses.focal import Focal")
        add_after(path, "criterion = Focal()", "criterion, metric", "criterion = ")
    else:
        code = "criterion, metric = torch.nn.SmoothL1Loss(), torch.nn.MSELoss()"
        replace(path, code, "criterion, metric", "criterion = ")


def own_data_in_train(project: Path, package: str, rng: Random) -> None:
    path = at(project, "train.py")
    own_data(project, package, rng)
    add_import(path, f"from {package}.data import open_mine")
    code = "train_set, test_set = open_mine(args.data)"
    if rng.random() < 0.5:
        replace(path, code, "train_set, test_set", "train_set = ", "train, test = ")
    else:
        add_before(path, f"if args.data:\n    {code}", "hardware = ")


def other_loader(project: Path, package: str, rng: Random) -> None:
    code = "train_loader = Loader(train_set, args.batch_size, shuffle=True, workers=8, seed=0)"
    replace(at(project, "train.py"), code, "train_loader = ")


def larger_network(project: Path, package: str, rng: Random) -> None:
    add_after(
        at(project, "train.py"), f'model["width"] = {rng.randint(8, 99)}', "model = ", "model, "
    )


def changed_network_line(project: Path, package: str, rng: Random) -> None:
    code = f"net = {answers_of(project)['model_class']}(**model, width=96)"
    replace(at(project, "train.py"), code, "net = ")


def extra_term(project: Path, package: str, rng: Random) -> None:
    """A penalty that is added to the loss."""
    code = "penalty = sum(weight.square().sum() for weight in net.parameters())\n"
    code += f"loss = loss + {rng.randint(1, 9)}e-6 * penalty"
    add_after(at(project, "train.py"), code, "loss = ")


def gradient_penalty(project: Path, package: str, rng: Random) -> None:
    """A loop around the backward pass, and other lines before it."""
    code = "(slope,) = torch.autograd.grad(loss, [*net.parameters()][:1], create_graph=True)\n"
    code += "scaler.scale(loss + slope.square().mean()).backward()"
    replace(at(project, "train.py"), code, "scaler.scale(loss).backward()")


def line_in_loop(project: Path, package: str, rng: Random) -> None:
    place, code = rng.choice(
        (
            ("scheduler.step()", "torch.cuda.nvtx.range_pop()"),
            ("scaler.unscale_(optimizer)", "gradients = [p.grad for p in net.parameters()]"),
            ("optimizer.zero_grad()", "if step == 10:\n    print(torch.cuda.memory_summary())"),
            ("average.update(step)", "net.requires_grad_(step > 100)"),
        )
    )
    add_after(at(project, "train.py"), code, place)


def other_clipping(project: Path, package: str, rng: Random) -> None:
    code = "grad_norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5, foreach=True)"
    replace(at(project, "train.py"), code, "grad_norm = ")


def logged_scalar(project: Path, package: str, rng: Random) -> None:
    code = "weights = sum(weight.norm() for weight in net.parameters()).item()\n"
    code += 'writer.add_scalars({"train/weights": weights}, step)'
    add = rng.choice((add_within, add_before))
    add(at(project, "train.py"), code, "if progress.logs(step):")


def logged_image(project: Path, package: str, rng: Random) -> None:
    code = 'if step % 5 == 0:\n    writer.add_image("test/mine", torch.zeros(3, 8, 8), step)'
    place = rng.choice(("progress.report(", "scores = evaluate("))
    add = add_before if place == "progress.report(" else add_after
    add(at(project, "train.py"), code, place)


def printed_start(project: Path, package: str, rng: Random) -> None:
    place = rng.choice(("run.announce(", "set_seed(", "net.to(", "first_step = "))
    code = 'print("starts with", args)'
    add_after(at(project, "train.py"), code, place, "run.announce(")


def other_score(project: Path, package: str, rng: Random) -> None:
    """Another score decides which checkpoint is best."""
    replace(at(project, "train.py"), 'best = Best("loss", higher=False)', "best = Best(")


def wrapped_loop(project: Path, package: str, rng: Random) -> None:
    """All of the training loop, one level deeper."""
    path = at(project, "train.py")
    lines, node = find(path, "for steps in ")
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    deeper = [f"    {line}" if line else "" for line in lines[first:last]]
    code = ["    with torch.autograd.set_detect_anomaly(True):", *deeper]
    put(path, lines, first, last, "\n".join(code), 0)


def helper_function(project: Path, package: str, rng: Random) -> None:
    code = "def norm(net: torch.nn.Module) -> float:\n"
    code += "    return sum(weight.norm().item() for weight in net.parameters())\n\n\n"
    add_before(at(project, "train.py"), code, rng.choice(("def main(", "def parse_arguments(")))


def added_import(project: Path, package: str, rng: Random) -> None:
    line = rng.choice(("import json", "import math", "import os", "import time"))
    add_before(at(project, "train.py"), line, "from argparse", "import torch")


def reordered_imports(project: Path, package: str, rng: Random) -> None:
    """The imports of the package in another order, as another tool would sort them."""
    path = at(project, "train.py")
    lines, body = read(path).splitlines(), ast.parse(read(path)).body
    nodes = [node for node in body if lines[node.lineno - 1].startswith(f"from {package}")]
    if not nodes:
        raise NoPlaceError(f"{path}: no imports")
    texts = ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes]
    code = "\n".join(sorted(texts, key=lambda text: (-len(text), text)))
    put(path, lines, nodes[0].lineno - 1, nodes[-1].end_lineno or 0, code, 0)


def type_annotations(project: Path, package: str, rng: Random) -> None:
    types = {"device": "torch.device", "total_steps": "int", "per_epoch": "int", "model": "dict"}
    path = at(project, "train.py")
    substitute(
        path, rf"^    ({'|'.join(types)}) = ", lambda match: f"    {match[1]}: {types[match[1]]} = "
    )


def translated_comments(project: Path, package: str, rng: Random) -> None:
    words = {"arguments": "Argumente", "network": "Netz", "loss": "Verlust", "device": "Gerät"}
    words |= {"optimizer": "Optimierer", "writer": "Protokoll", "save": "sichern"}
    path = at(project, "train.py")
    substitute(path, rf"^( +# )({'|'.join(words)})\b", lambda match: match[1] + words[match[2]])
    substitute(path, r"^\"\"\"Train the network\b", '"""Trainiert das Netz')


def reformatted_train(project: Path, package: str, rng: Random) -> None:
    reformat(project, rng, at(project, "train.py"))


# the other shared files


def more_scores(project: Path, package: str, rng: Random) -> None:
    code = 'Path("scores.json").write_text(str(scores))'
    add_after(at(project, "evaluate.py"), code, "scores = evaluate(")


def flag_of_evaluate(project: Path, package: str, rng: Random) -> None:
    code = 'add("--split", choices=("test", "dev"), default="test", help="of mine")'
    add_after(at(project, "evaluate.py"), code, 'add("--batch-size"')


def other_predictions(project: Path, package: str, rng: Random) -> None:
    path = at(project, "predict.py")
    if rng.random() < 0.5:
        add_before(path, 'add("--threshold", type=float, default=0.5, help="of mine")', "options.")
    else:
        add_after(path, 'print("weights read")', "restore_network(")


def other_export(project: Path, package: str, rng: Random) -> None:
    add_after(at(project, "export.py"), "net.requires_grad_(False)", "net.eval()")


def deleted_scripts(project: Path, package: str, rng: Random) -> None:
    at(project, rng.choice(("predict.py", "export.py"))).unlink()


def moved_script(project: Path, package: str, rng: Random) -> None:
    path = at(project, "train.py")
    if path.parent.name == "scripts":
        raise NoPlaceError("train.py was moved before")
    (project / "scripts").mkdir(exist_ok=True)
    path.rename(project / "scripts" / "train.py")


def dependency(project: Path, package: str, rng: Random) -> None:
    name = rng.choice(("albumentations>=2", "einops>=0.8", "pandas>=2.3", "scipy>=1.16", "zarr>=3"))
    path = at(project, "pyproject.toml")
    lines = read(path).splitlines()
    if "dependencies = [" not in lines:
        raise NoPlaceError("no dependencies")
    first = lines.index("dependencies = [") + 1
    last = lines.index("]", first)
    later = [n for n in range(first, last) if lines[n] > f'  "{name}"']
    place = rng.choice((last, later[0] if later else last))
    put(path, lines, place, place, f'"{name}",', 2)


def development_dependency(project: Path, package: str, rng: Random) -> None:
    code = rng.choice(("ipython>=9", "pytest-cov>=7", "zizmor>=1"))
    substitute(at(project, "pyproject.toml"), r"^(dev = \[\n)", rf'\1  "{code}",\n')


def tool_settings(project: Path, package: str, rng: Random) -> None:
    append(at(project, "pyproject.toml"), '\n[tool.coverage.run]\nomit = ["tests/*"]\n')


def project_metadata(project: Path, package: str, rng: Random) -> None:
    path = at(project, "pyproject.toml")
    what = rng.choice(("version", "description", "urls"))
    if what == "urls":
        substitute(
            path, r"^(\[build-system\])", '[project.urls]\nDocs = "https://my.example"\n\n\\1'
        )
    else:
        substitute(path, rf'^{what} = ".*"', f'{what} = "0.{rng.randint(2, 9)}.0"')


def test_settings(project: Path, package: str, rng: Random) -> None:
    pattern = r'^testpaths = \["(.*)"\]'
    substitute(at(project, "pyproject.toml"), pattern, r'testpaths = ["\1", "studies"]')


# the template's


def line_length(project: Path, package: str, rng: Random) -> None:
    new = f"line-length = {rng.choice((88, 120))}"
    substitute(at(project, "ruff.toml"), r"^line-length = \d+", new)


def ruff_rules(project: Path, package: str, rng: Random) -> None:
    substitute(at(project, "ruff.toml"), r"^(select = \[.*)\]", r'\1, "SIM"]')


def step_of_ci(project: Path, package: str, rng: Random) -> None:
    path = at(project, ".github/workflows/ci.yml")
    code = f"\\g<0>\n      - run: uv run train.py --epochs {rng.randint(1, 3)}"
    substitute(path, rng.choice((r"^      - run: uv run pytest$", r"^      - run: uv sync$")), code)


def deleted_workflow(project: Path, package: str, rng: Random) -> None:
    at(project, rng.choice((".github/workflows/audit.yml", ".github/workflows/ci.yml"))).unlink()


def ignored_path(project: Path, package: str, rng: Random) -> None:
    path = at(project, ".gitignore")
    if rng.random() < 0.5:
        append(path, "\n# mine\n/outputs/\n")
    else:
        substitute(path, r"^(/runs/)$", r"\1\n/wandb/")


def attributes(project: Path, package: str, rng: Random) -> None:
    append(at(project, ".gitattributes"), "*.npz filter=lfs diff=lfs merge=lfs -text\n")


def pre_commit_hook(project: Path, package: str, rng: Random) -> None:
    code = "      - id: mine\n        name: mine\n        entry: true\n        language: system\n"
    append(at(project, ".pre-commit-config.yaml"), code)


def docker_line(project: Path, package: str, rng: Random) -> None:
    substitute(at(project, "Dockerfile"), r"^(WORKDIR .*)$", r"\1\nENV MINE=1")


def line_in_engine(project: Path, package: str, rng: Random) -> None:
    """A line to find out what happens, in any file of the engine."""
    add_line(rng.choice(engine_files(project, package)), rng)


def engine_function(project: Path, package: str, rng: Random) -> None:
    """Other code in one function of the engine."""
    path = rng.choice(engine_files(project, package))
    lines, node = read(path).splitlines(), rng.choice(functions(path))
    start, end = node.body[0], node.body[-1]
    first = start.lineno - 1 if start is end else start.end_lineno or 0
    put(path, lines, first, end.end_lineno or 0, "raise NotImplementedError", start.col_offset)


def engine_constant(project: Path, package: str, rng: Random) -> None:
    paths = [path for path in engine_files(project, package) if constants(path)]
    path = rng.choice(paths)
    substitute_one(path, CONSTANT, lambda _: str(rng.randint(2, 99)), rng)


def template_s_tests(project: Path) -> list[Path]:
    """Return tests of the engine, which older releases have, or what the template tests now."""
    tests = project / "tests"
    now = [tests / f"test_{name}.py" for name in ("promises", "scripts", "styleguide")]
    engine = sorted((tests / "engine").glob("test_*.py"))
    return engine or [path for path in now if path.exists()]


def deleted_tests(project: Path, package: str, rng: Random) -> None:
    paths = template_s_tests(project)
    for path in paths if rng.random() < 0.3 else rng.sample(paths, min(3, len(paths))):
        path.unlink()
    if not paths:
        raise NoPlaceError("no tests")


def changed_test(project: Path, package: str, rng: Random) -> None:
    paths = template_s_tests(project)
    if not paths:
        raise NoPlaceError("no tests")
    add_line(rng.choice(paths), rng)


def changed_doctor(project: Path, package: str, rng: Random) -> None:
    add_line(at(project, f"{package}/doctor.py"), rng)


# in all of a project at once


def renamed_package(project: Path, package: str, rng: Random) -> None:
    """By the recipe of docs/updating.md."""
    if package == RENAMED:
        raise NoPlaceError("the package was renamed before")
    git(project, "mv", package, RENAMED)
    for name in git(project, "ls-files").splitlines():
        path = project / name
        if path.is_file() and re.search(rf"\b{package}\b", text := read(path)):
            write(path, re.sub(rf"\b{package}\b", RENAMED, text))


def moved_data(project: Path, package: str, rng: Random) -> None:
    """data.py into a folder of data sets, and all imports of it."""
    path = at(project, f"{package}/data.py")
    (project / package / "datasets").mkdir()
    write(project / package / "datasets" / "__init__.py", "")
    moved = path.rename(project / package / "datasets" / "mine.py")
    write(moved, re.sub(r"^from \.", "from ..", read(moved), flags=re.MULTILINE))
    for name in git(project, "ls-files", "*.py").splitlines():
        if (project / name).is_file():
            text = read(project / name)
            if f"{package}.data " in text:
                write(project / name, text.replace(f"{package}.data ", f"{package}.datasets.mine "))


def reformatted_all(project: Path, package: str, rng: Random) -> None:
    reformat(project, rng, project)


def windows_line_ends(project: Path, package: str, rng: Random) -> None:
    """Some files, or all, as an editor on Windows may write them."""
    paths = sorted(project.glob("*.py")) + sorted((project / package).rglob("*.py"))
    paths += [path for path in sorted(project.glob("*.toml"))]
    for path in paths if rng.random() < 0.5 else rng.sample(paths, 5):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        path.write_bytes(content.replace(b"\n", b"\r\n"))


# parts of edits

CONSTANT = r"^[A-Z][A-Z_]* = (\d+)\b"


def constants(path: Path) -> list[str]:
    return re.findall(CONSTANT, read(path), flags=re.MULTILINE)


def engine_files(project: Path, package: str) -> list[Path]:
    paths = sorted((project / package / "engine").glob("*.py"))
    return [path for path in paths if functions(path)]


def functions(path: Path) -> list[ast.FunctionDef]:
    found = [node for node in ast.walk(ast.parse(read(path))) if isinstance(node, ast.FunctionDef)]
    return [node for node in found if node.body[0].lineno > node.lineno]


def add_line(path: Path, rng: Random) -> None:
    """Add a line before one of the statements in functions."""
    lines = read(path).splitlines()
    bodies = [node for function in functions(path) for node in ast.walk(function)]
    places = [node for node in bodies if isinstance(node, ast.stmt) and not is_first(node, lines)]
    if not places:
        raise NoPlaceError(f"{path}: no function")
    place = rng.choice(places)
    put(path, lines, place.lineno - 1, place.lineno - 1, 'print("here")', place.col_offset)


def is_first(node: ast.stmt, lines: list[str]) -> bool:
    """Whether no line can stand before a statement: it is a function, an elif or a docstring."""
    text = lines[node.lineno - 1][node.col_offset :]
    before = lines[node.lineno - 1][: node.col_offset]
    return bool(before.strip()) or text.startswith(("elif", "def ", "@", '"""', "class "))


def reformat(project: Path, rng: Random, path: Path) -> None:
    length = str(rng.choice((79, 120)))
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--line-length", length, path]
    subprocess.run(command, cwd=project, check=True)


KINDS: dict[str, tuple[Edit, ...]] = {
    "yours": (
        *(own_model, deeper_model, own_layer, own_loss, own_op, changed_block),
        *(own_data, changed_data, own_tests, own_script),
        *(rewritten_readme, kept_changelog, deleted_examples),
    ),
    "shared": (
        *(added_flag, changed_default, dropped_flag),
        *(own_data_in_train, other_loader, larger_network, changed_network_line),
        *(other_loss, extra_term, gradient_penalty),
        *(other_optimizer, changed_betas, other_groups, other_schedule, other_clipping),
        *(line_in_loop, wrapped_loop, logged_scalar, logged_image, printed_start, other_score),
        *(helper_function, added_import, reordered_imports, type_annotations),
        *(translated_comments, reformatted_train, moved_script),
        *(more_scores, flag_of_evaluate, other_predictions, other_export, deleted_scripts),
        *(dependency, development_dependency, tool_settings, project_metadata, test_settings),
    ),
    "the template's": (
        *(line_length, ruff_rules, step_of_ci, deleted_workflow, ignored_path, attributes),
        *(pre_commit_hook, docker_line, line_in_engine, engine_function, engine_constant),
        *(deleted_tests, changed_test, changed_doctor),
    ),
    "all": (renamed_package, moved_data, reformatted_all, windows_line_ends),
}
