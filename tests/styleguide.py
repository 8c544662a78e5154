"""The rules of rendered code; a broken one is named with its line."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = "package"  # as which any project's is shown to the rules
SCRIPTS = {"train", "evaluate", "predict", "generate", "export"}
# what each part may import of the project
ARROWS = {
    "scripts": {"model", "data", "readers", "engine", "check_resume"},
    "model": {"model", "layers", "losses", "ops"},
    "data": {"readers", "engine"},
    "readers": {"readers", "engine"},
    "doctor": {"engine"},
    "check_resume": {"engine"},
    "layers": {"layers", "ops"},
    "losses": {"losses", "ops"},
    "ops": {"ops"},
    "engine": {"engine"},
}
# section comments of train.py, in the order of their first lines
SECTIONS = (
    *("arguments", "transforms", "data sets and loaders", "network", "loss", "device"),
    *("optimizer", "checkpoint", "writer", "forward and backward", "validation", "save"),
)

# functions of NumPy whose result may be large
ARRAYS = {"array", "asarray", "concatenate", "frombuffer", "fromfile", "load", "memmap", "stack"}


def broken_rules(project: Path, package: str) -> list[str]:
    """Return the lines of a project's own code, tests apart, that break a rule."""
    found = []
    for path in [*project.glob("*.py"), *(project / package).rglob("*.py")]:
        name = path.relative_to(project).as_posix().replace(f"{package}/", f"{PACKAGE}/", 1)
        source = path.read_text(encoding="utf-8").replace(f"from {package}.", f"from {PACKAGE}.")
        found += broken_in(name, source)
    found += sections_out_of_order((project / "train.py").read_text(encoding="utf-8"))
    return found


@cache
def broken_in(name: str, source: str) -> list[str]:
    """Return the lines of a file that break a rule; many projects have the same one."""
    return [line for rule in RULES for line in rule(name, source)]


def part_of(module: list[str]) -> str:
    """Return which part of the project a module is, from its path or dotted name."""
    if module[0] != PACKAGE:
        return "scripts"
    name = module[1] if len(module) > 1 else ""
    return name if name in ARROWS else "model"


def imported(path: str, tree: ast.AST) -> list[tuple[int, list[str]]]:
    """Return line and full name of every import of the project's own modules."""
    package = path.split("/")[:-1]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = [*above, *(node.module or "").split(".")]
            names = [[*module, alias.name] for alias in node.names]
            found += [(node.lineno, [part for part in name if part]) for name in names]
    return [(line, name) for line, name in found if name[0] in {PACKAGE, *SCRIPTS}]


def broken_arrows(path: str, source: str) -> list[str]:
    part = part_of(path.removesuffix(".py").split("/"))
    return [
        f"{path}:{line}: {part} imports {'.'.join(name)}"
        for line, name in imported(path, ast.parse(source))
        if part_of(name) not in ARROWS[part]
    ]


def numpy_in_forward(path: str, source: str) -> list[str]:
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef) and function.name == "forward":
            for node in ast.walk(function):
                if isinstance(node, (ast.Name, ast.Attribute)):
                    name = node.id if isinstance(node, ast.Name) else node.attr
                    if name in ("np", "numpy"):
                        found.append(f"{path}:{node.lineno}: NumPy in forward")
    return found


def calls_of_forward(path: str, source: str) -> list[str]:
    if path == f"{PACKAGE}/engine/runtime.py":
        return []  # one of the hooks is there: it computes its layer once more
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            is_super = isinstance(owner, ast.Call) and ast.unparse(owner.func) == "super"
            if node.func.attr == "forward" and not is_super:
                found.append(f"{path}:{node.lineno}: call the module, which runs its hooks, too")
    return found


def copies_of_arrays(path: str, source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.tensor" and node.args:
            given = node.args[0]
            made_by = ast.unparse(given.func) if isinstance(given, ast.Call) else ""
            owner, _, name = made_by.rpartition(".")
            if name == "numpy" or (owner in ("np", "numpy") and name in ARRAYS):
                found.append(f"{path}:{node.lineno}: torch.from_numpy takes an array as it is")
    return found


def sections_out_of_order(source: str) -> list[str]:
    """Return the sections of train.py that are missing or stand before the one before them."""
    comments = [line.strip().removeprefix("# ") for line in source.splitlines() if "# " in line]
    found, wrong = 0, []
    for section in SECTIONS:
        places = [place for place, text in enumerate(comments) if text.startswith(section)]
        later = [place for place in places if place >= found]
        if later:
            found = later[0]
        else:
            wrong.append(section)
    return wrong


RULES = (broken_arrows, numpy_in_forward, calls_of_forward, copies_of_arrays)
