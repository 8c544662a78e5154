"""What may be a name, and how text that somebody typed gets into a file unbroken."""

import builtins
import functools
import json
import keyword
import re
import shlex
import subprocess
import unicodedata
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension

from .features import LOGGERS

# import lines with such a name still fit in 100 columns
LONGEST = 24
PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
WINDOWS = {"con", "prn", "aux", "nul", *PORTS}  # names of devices there
# of the standard library of Python 3.11 to 3.14, whichever of them runs Copier
STANDARD = """
abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit audioop
base64 bdb binascii bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop
collections colorsys compileall compression concurrent configparser contextlib contextvars copy
copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest
email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions
ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac
html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword
lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder
msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator
optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib
posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue
quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors
shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3
sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess
sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this
threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle
turtledemo types typing unicodedata unittest urllib uu uuid venv warnings wave weakref
webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
"""
# a package of that name would hide a module that the project imports, or be hidden by a script
TAKEN_PACKAGES = {
    *STANDARD.split(),
    *WINDOWS,
    *("torch", "torchvision", "torchinfo", "numpy", "pil", "tqdm", "tiktoken", "safetensors"),
    *("filelock", "tokenizers", "polars", "soundfile", "matplotlib", "torchview", "graphviz"),
    *("tensorboard", "wandb", "mlflow", "onnx", "onnxscript", "onnxruntime", "pytest", "ruff"),
    *("train", "evaluate", "predict", "export", "test", "tests", "small", "data", "src"),
    *("notebooks", "slurm", "docs", "dist", "build", "runs"),
}
TAKEN_MODULES = {
    *WINDOWS,
    *("check_resume", "data", "doctor", "engine", "layers", "losses", "ops", "readers"),
}
# what a module's top level binds, in a file that names the model's class
BOUND = re.compile(
    r"^(?:from .+ import (\([^)]*\)|.+)|import .+ as (\w+)|class (\w+)|([A-Z]\w*)(?:: .*)? = )",
    re.M,
)
WITH_THE_CLASS = ("model", "train", "evaluate", "predict", "export", "test_model")


def bound_names() -> set[str]:
    """Return what no model's class may be called, as one of its files has another use for it."""
    template = Path(__file__).parent.parent / "template"
    paths = [*template.glob("scripts/*.py.jinja")]
    for name in WITH_THE_CLASS:
        paths += template.glob(f"tasks/**/{name}.py.jinja")
    found = (BOUND.findall(path.read_text(encoding="utf-8")) for path in paths)
    return {name for rows in found for row in rows for name in re.findall(r"\w+", " ".join(row))}


TAKEN_CLASSES = {
    *dir(builtins),
    *bound_names(),
    *(logger.class_name for logger in LOGGERS.values()),
}


def module_name(text: str, otherwise: str, taken: Set[str], ending: str) -> str:
    """Return a valid name for a module, made from any text."""
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).lstrip("_0123456789") or otherwise
    name = name[:LONGEST].rstrip("_")
    if keyword.iskeyword(name) or name in taken:
        name = name[: LONGEST - len(ending)].rstrip("_") + ending
    return name


def check_module(name: str, valid: str, taken: Set[str]) -> str:
    """Return what is wrong with the name of a module, and a valid one; empty when it is fine."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return f"use a-z, 0-9 and _, with a letter first; try {valid}"
    if len(name) > LONGEST:
        return f"use at most {LONGEST} characters; try {valid}"
    if keyword.iskeyword(name) or name in taken:
        return f"this name is taken; try {valid}"
    return ""


def package_name(project_name: str) -> str:
    return module_name(project_name, "my_project", TAKEN_PACKAGES, "_project")


def check_package(name: str) -> str:
    return check_module(name, package_name(name), TAKEN_PACKAGES)


def check_model_name(name: str) -> str:
    return check_module(name, module_name(name, "net", TAKEN_MODULES, "_net"), TAKEN_MODULES)


def class_name(text: str) -> str:
    """Return a valid name for the model's class, made from any text."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789") or "Net"
    name = (name[0].upper() + name[1:])[:LONGEST]
    return f"{name[:21]}Net" if name in TAKEN_CLASSES else name


def check_model_class(name: str) -> str:
    valid = class_name(name)
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        return f"use CapWords of A-Z, a-z and 0-9; try {valid}"
    if len(name) > LONGEST:
        return f"use at most {LONGEST} characters; try {valid}"
    if name in TAKEN_CLASSES:
        return f"this name is taken; try {valid}"
    return ""


def check_text(text: str) -> str:
    return "" if one_line(text) else "there is nothing to read in it; type a few words"


CHECKS = {
    "project_name": check_text,
    "description": check_text,
    "package": check_package,
    "model_name": check_model_name,
    "model_class": check_model_class,
}


def is_seen(char: str) -> bool:
    """Return whether a character is text: no control, no change of direction, no half of a pair."""
    # a zero-width joiner is a control character that holds emoji together; what this version of
    # Python does not know may be an emoji of next year, but for the code points that never will
    category = unicodedata.category(char)
    known = category not in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") or char == "\u200d"
    return known and not (ord(char) & 0xFFFE == 0xFFFE or "\ufdd0" <= char <= "\ufdef")


def one_line(text: str) -> str:
    """Every run of white space and of what nobody sees becomes one space."""
    return " ".join("".join(c if is_seen(c) else " " for c in text).split())


def quoted(text: str) -> str:
    """A string in double quotes that TOML, YAML and JSON read alike."""
    # not ASCII only: JSON writes an emoji as two surrogates, which TOML refuses
    text = json.dumps(text, ensure_ascii=False)
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda c: f"\\u{ord(c[0]):04x}", text
    )


def author(user_name: str, user_email: str) -> str:
    """A person as TOML's inline table; empty when nothing is known."""
    fields = [f"name = {quoted(user_name)}"] if user_name else []
    # what is no address would stop `uv build`
    if re.fullmatch(r"[\w.+-]+@[\w.-]+\w", user_email, re.ASCII):
        fields.append(f"email = {quoted(user_email)}")
    return f"{{ {', '.join(fields)} }}" if fields else ""


def docstring(text: str) -> str:
    """A sentence without its full stop, for a docstring of a module."""
    text = one_line(text).rstrip(" .").replace("\\", "\\\\").replace('"""', r"\"\"\"")
    text = re.sub(r'^"', r"\"", text)
    # 100 columns less three quotes and, at the end, a full stop and three more
    return wrap(text, 93)


def wrap(text: str, width: int) -> str:
    """Break one line of text between words, as textwrap does, but count columns as ruff does."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        wide = sum(unicodedata.east_asian_width(char) in "WF" for char in longer)
        if lines[-1] and len(longer) + wide > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def markdown(text: str) -> str:
    """One line of text that Markdown shows as it was typed."""
    text = re.sub(r"[\\`*_{}\[\]<>#|~$&!]", r"\\\g<0>", one_line(text))
    # at the start of a line these make a list or a heading
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", text)


def sort_imports(text: str) -> str:
    """Import statements as ruff sorts, joins and formats them, whatever the project's names are."""
    statement = r"import (\S+)\n|from (\S+) import (\([\w,\s]*\)|[\w, ]*)\n"
    if re.sub(statement, "", text) or " as " in text:
        raise ValueError(f"only plain import statements can be sorted:\n{text}")
    found = re.findall(statement, text)
    plain = sorted(f"import {module}\n" for module, _, _ in found if module)
    members: dict[str, str] = {}  # of a module that several statements name, together
    for _, module, names in found:
        if module:
            members[module] = f"{members[module]}, {names}" if module in members else names
    return "".join(plain + [import_from(*item) for item in sorted(members.items())])


def import_from(module: str, members: str) -> str:
    """Return the statement with its members in order, one a line where it was so or is long."""
    names = sorted(re.findall(r"\w+", members), key=member_order)
    line = f"from {module} import {', '.join(names)}\n"
    if len(line) <= 101 and "(" not in members:
        return line
    return "\n".join((f"from {module} import (", *(f"    {name}," for name in names), ")\n"))


def member_order(name: str) -> tuple[bool, bool, str]:
    """Sort constants before classes before the rest."""
    return not (name.isupper() and len(name) > 1), not name[0].isupper(), name.lower()


def reachable(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers with a source that an update finds from any folder: no relative path."""
    source = Path(str(answers.get("_src_path", "")))
    if source.is_absolute() or not source.is_dir() or "_src_path" not in answers:
        return {**answers}
    return {**answers, "_src_path": source.resolve().as_posix()}


FILTERS = (package_name, one_line, quoted, docstring, markdown, sort_imports, reachable)


@functools.cache
def git_config(key: str) -> str:
    """A value of the user's git configuration; empty when there is none."""
    try:
        command = ["git", "config", "--get", key]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


class Names(Extension):
    """Gives questions and templates what stands above."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals.update(git_config=git_config)
        environment.filters.update(
            {function.__name__: function for function in (*CHECKS.values(), *FILTERS)},
            shell=shlex.quote,
        )
