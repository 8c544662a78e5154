"""What a piece of a project's code reaches: its functions and classes, followed by reading them."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

Key = tuple[str, str]  # the module, and the name in it: "function", "Class", "Class.method"
Scope = dict[str, Key]  # what is known of variables: their classes

# what an object does when it is called, entered, ...
IMPLIED: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Call: ("func", ("__call__",)),
    ast.For: ("iter", ("__iter__",)),
    ast.comprehension: ("iter", ("__iter__",)),
    ast.Subscript: ("value", ("__getitem__",)),
    ast.withitem: ("context_expr", ("__enter__", "__exit__")),
}
CONSTRUCTORS = ("__init__", "__post_init__")


class Calls:
    """train.py and the engine of a project, whose names are followed where the code says enough.

    Followed are names that are imported or defined in the module, and `a.b` where `a` is a module,
    a class, `self`, a parameter with a type, or a variable or an attribute of self that was made by
    calling a class or a function whose annotation says what it returns. Objects that are called,
    entered, indexed or iterated over use the method for it. A function counts as reached where its
    name is read, called or not. Other things are not followed: the owner's files, what is taken
    out of a dict, an argument without a type.
    """

    def __init__(self, project: Path, package: str) -> None:
        self.defined: dict[Key, ast.AST] = {}
        self.imported: dict[Key, Key] = {}
        self.package = package
        self._read("train", project / "train.py")
        for path in sorted((project / package / "engine").glob("*.py")):
            self._read(path.stem, path)

    def _read(self, module: str, path: Path) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            source = (node.module or "").removeprefix(self.package).strip(".").split(".")[-1]
            for alias in node.names:
                of = (alias.name, "") if source in ("", "engine") else (source, alias.name)
                self.imported[module, alias.asname or alias.name] = of
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.defined[module, node.targets[0].id] = node
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.defined[module, node.name] = node
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef):
                        self.defined[module, f"{node.name}.{part.name}"] = part

    def reached(self, *start: Key) -> set[Key]:
        """Return what is reached from there, and from what that reaches, and so on."""
        left, found = [*start], set()
        while left:
            key = left.pop()
            if key in found:
                continue
            found.add(key)
            node = self.defined[key]
            if isinstance(node, ast.ClassDef):
                left += filter(None, (self._method(key, name) for name in CONSTRUCTORS))
            elif isinstance(node, ast.FunctionDef):
                left += self.used(node.body, key[0], self._parameters(key, node))
        return found

    def used(self, nodes: Iterable[ast.AST], module: str, scope: Scope) -> set[Key]:
        """Return the functions and classes that these statements name themselves."""
        tree = [inner for node in nodes for inner in ast.walk(node)]
        scope = scope | self.variables(tree, module, scope)
        found: set[Key | None] = set()
        for node in tree:
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                found.add(self._function(node, module, scope))
            field, names = IMPLIED.get(type(node), ("", ()))
            if names and (kind := self._type(getattr(node, field), module, scope)):
                found.update(self._method(kind, name) for name in names)
        return {key for key in found if key}

    def variables(self, tree: Iterable[ast.AST], module: str, scope: Scope) -> Scope:
        """Return the classes of the variables that are assigned to."""
        scope = dict(scope)
        for target, value in assignments(tree):
            if isinstance(target, ast.Name) and (kind := self._type(value, module, scope)):
                scope[target.id] = kind
        return scope

    def _parameters(self, key: Key, function: ast.FunctionDef) -> Scope:
        module, name = key
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        kinds = {item.arg: self._annotated(item.annotation, module) for item in arguments}
        scope = {name: kind for name, kind in kinds.items() if kind}
        if "." in name and arguments:
            scope[arguments[0].arg] = (module, name.split(".")[0])
        return scope

    def _resolve(self, module: str, name: str) -> Key | None:
        key = (
            (module, name) if (module, name) in self.defined else self.imported.get((module, name))
        )
        return key if key and (key in self.defined or not key[1]) else None

    def _function(self, node: ast.AST, module: str, scope: Scope) -> Key | None:
        """Return the function or class that an expression names."""
        key = None
        if isinstance(node, ast.Name) and node.id not in scope:
            key = self._resolve(module, node.id)
        elif isinstance(node, ast.Attribute):
            kind = self._function(node.value, module, scope) or self._type(
                node.value, module, scope
            )
            if kind:
                key = self._method(kind, node.attr)
            elif isinstance(node.value, ast.Name) and (of := self._resolve(module, node.value.id)):
                key = None if of[1] else self._resolve(of[0], node.attr)
        is_code = key and isinstance(self.defined.get(key), (ast.FunctionDef, ast.ClassDef))
        return key if is_code else None

    def _type(self, node: ast.AST | None, module: str, scope: Scope) -> Key | None:
        """Return the class that an expression's value has."""
        if isinstance(node, ast.Name):
            key = self._resolve(module, node.id)
            made = self.defined.get(key) if key else None
            if node.id not in scope and key and isinstance(made, ast.Assign):
                return self._type(made.value, key[0], {})
            return scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._type(node.value, module, scope)
            return self._attributes(owner).get(node.attr) if owner else None
        if isinstance(node, ast.Call):
            key = self._function(node.func, module, scope)
            made = self.defined.get(key) if key else None
            if key and isinstance(made, ast.FunctionDef):
                return self._annotated(made.returns, key[0])
            return key
        parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else []
        kinds = (self._type(part, module, scope) for part in parts)
        return next(filter(None, kinds), None)

    def _annotated(self, node: ast.AST | None, module: str) -> Key | None:
        names = [part.id for part in ast.walk(node or ast.Pass()) if isinstance(part, ast.Name)]
        keys = (self._resolve(module, name) for name in names)
        return next((k for k in keys if k and isinstance(self.defined.get(k), ast.ClassDef)), None)

    def _attributes(self, owner: Key) -> Scope:
        module, found = owner[0], {}
        node = self.defined[owner]
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                found[part.target.id] = self._annotated(part.annotation, module)
            if isinstance(part, ast.FunctionDef):
                scope = self._parameters((module, part.name), part)
                for target, value in assignments(ast.walk(part)):
                    if isinstance(target, ast.Attribute) and not found.get(target.attr):
                        found[target.attr] = self._type(value, module, scope)
        return {name: kind for name, kind in found.items() if kind}

    def _method(self, owner: Key, name: str) -> Key | None:
        key = (owner[0], f"{owner[1]}.{name}")
        if key in self.defined:
            return key
        node = self.defined.get(owner)
        names = node.bases if isinstance(node, ast.ClassDef) else []
        bases = (self._function(base, owner[0], {}) for base in names)
        return next(filter(None, (self._method(base, name) for base in bases if base)), None)


def assignments(tree: Iterable[ast.AST]) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each target with its value."""
    for node in tree:
        if isinstance(node, ast.withitem) and node.optional_vars:
            yield node.optional_vars, node.context_expr
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    yield from zip(target.elts, node.value.elts, strict=False)
                else:
                    yield target, node.value
