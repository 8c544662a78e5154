"""Imports of a project's own modules, resolved by reading, which imports nothing."""

import ast
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """A name that a file takes from a module of the project; no name where it is the module."""

    file: str
    line: int
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.module}{self.name and '.'}{self.name}"


class Modules:
    """The modules of a project: what can be imported, by name."""

    def __init__(self, project: Path, package: str) -> None:
        self.project, self.package = project, package
        self.bound: dict[str, set[str] | None] = {}

    def path(self, module: str) -> Path | None:
        """Return a module's file; scripts and what tests share are modules too."""
        relative = Path(*module.split("."))
        for root in (self.project, self.project / "tests"):
            for path in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
                if path.is_file():
                    return path
        return None

    def is_ours(self, module: str) -> bool:
        first = module.partition(".")[0]
        return first == self.package or self.path(first) is not None

    def names(self, module: str) -> set[str] | None:
        """Return what the top level of a module binds; None when there is no such module."""
        if module not in self.bound:
            path = self.path(module)
            self.bound[module] = None if path is None else bindings(parse(path))
        return self.bound[module]

    def resolves(self, found: Import) -> bool:
        names = self.names(found.module)
        if names is None:  # a folder without __init__.py holds modules, too
            return self.path(f"{found.module}.{found.name}") is not None
        return (
            found.name in ("", "*")
            or found.name in names
            or self.path(f"{found.module}.{found.name}") is not None
        )

    def of_file(self, name: str) -> Iterator[Import]:
        """Yield what a script, module or notebook imports from the project."""
        inside = Path(name).parts[:-1]
        for node in ast.walk(parse(self.project / name)):
            if isinstance(node, ast.Import):
                modules = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = inside[: len(inside) + 1 - node.level] if node.level else ()
                module = ".".join([*start, *filter(None, [node.module])])
                modules = [(module, alias.name) for alias in node.names]
            else:
                continue
            for module, imported in modules:
                if self.is_ours(module):
                    yield Import(name, node.lineno, module, imported)

    def homes(self, name: str, folder: str = "engine") -> list[str]:
        """Return the modules of a folder of the package that define a name."""
        paths = sorted((self.project / self.package / folder).glob("*.py"))
        modules = [f"{self.package}.{folder}.{path.stem}" for path in paths]
        return [module for module in modules if name in defined(parse(self.path(module)))]


def broken(modules: Modules, files: Iterable[str]) -> list[str]:
    """Return the imports that find nothing, and where what they name is now."""
    found = []
    for file in files:
        for statement in modules.of_file(file):
            if not modules.resolves(statement):
                homes = modules.homes(statement.name) if statement.name else []
                found.append(f"{statement}{', now in ' if homes else ''}{' or '.join(homes)}")
    return found


def parse(path: Path | None) -> ast.Module:
    """Return the code of a file; empty when it can not be read, as between marks of a conflict."""
    try:
        text = path.read_text(encoding="utf-8") if path else ""
        if path and path.suffix == ".ipynb":
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            code = ["".join(cell["source"]) + "\n" for cell in cells]
            text = "".join(cell for cell in code if not cell.lstrip().startswith(("%", "!")))
        return ast.parse(text)
    except (SyntaxError, ValueError, KeyError, TypeError):
        return ast.parse("")


def defined(tree: ast.Module) -> set[str]:
    """Return the functions, classes and constants of a module."""
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name for target in node.targets for name in stored(target)}
        elif isinstance(node, ast.AnnAssign):
            found |= stored(node.target)
    return found


def bindings(tree: ast.Module) -> set[str]:
    """Return what can be imported from a module: also what it imports, in any branch."""
    found = defined(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For)):
            found |= defined(ast.Module(node.body, []))
    return found


def stored(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
