"""What is written about the template and its projects is so."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from project.readers.sets import SPELLINGS

from conftest import KINDS, ROOT, Render, outside, questions
from extensions.features import BLOCKS, LOGGERS, TASKS, block_choices, owned, used_by
from releases import copy_parts

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
# the entries of a release speak of its own flags and paths
UNRELEASED = re.split(r"^## \d", TEXTS["CHANGELOG.md"], maxsplit=1, flags=re.MULTILINE)[0]
# what folders of the sets may be called
SETS = [f"{name}/" for spellings in SPELLINGS.values() for name in spellings]
CURRENT = TEXTS | {"CHANGELOG.md": UNRELEASED}
SOME_ANSWERS: list[dict[str, Any]] = [
    {},
    {"task": "language_modeling", "logger": ["csv"], "github_actions": False, "pre_commit": False},
    {"parallel": "ddp", "logger": ["wandb", "mlflow"], "docker": True, "notebook": True},
    {"slurm": True},
    {"updates": "github"},
    {"updates": "renovate", "github_actions": False},
    {"blocks": ["attention"], "package": "p" * 24, "model_name": "m" * 24, "torch_source": "cpu"},
]
# of Copier, uv, pip, git, torchrun and the other programs in our examples, tests/kill.py among them
FOREIGN = set(
    """
    --all --check --conflict --data --data-file --defaults --diff-filter --directory --editable
    --extra --force --format --help --include --index-url --kills --locked --logdir --max-restarts
    --nproc-per-node --prereleases --requeue --signal --signals-to-handle --staged --standalone
    --task --theirs --thorough --trust --unshallow --vcs-ref --with --worktree
    """.split()
)
# flags that a release took away, which its entries name
GONE = {"--practices", "--replay-step"}


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def read(project: Path, name: str) -> str:
    return (project / name).read_text(encoding="utf-8")


def tree(readme: str) -> str:
    return next(block for block in fenced(readme, "text") if block.startswith("README.md"))


def owners(readme: str) -> dict[str, str]:
    """Return the owner of each path in the tree; a folder ends with a slash."""
    found, folders = {}, [(-1, "")]
    for line in tree(readme).splitlines():
        match = re.fullmatch(r"( *)(\S+)(?: +(yours|shared|template) +\S.*)?", line)
        assert match and len(line) <= 100, line
        depth = len(match[1])
        folders = [(above, folder) for above, folder in folders if above < depth]
        path = folders[-1][1] + match[2]
        if match[3]:
            found[path] = match[3]
        if path.endswith("/"):
            folders.append((depth, path))
    return found


@pytest.mark.parametrize("answers", SOME_ANSWERS)
def test_project_readme_lists_each_file_with_its_owner(
    render: Render, answers: dict[str, Any]
) -> None:
    project = render(**answers)
    listed = owners(read(project, "README.md"))
    theirs = owned(yaml.safe_load(read(project, ".copier-answers.yml")))
    files = {p.relative_to(project).as_posix() for p in project.rglob("*") if p.is_file()}
    assert {path for path in listed if not path.endswith("/")} <= files
    for name in files:
        # a folder's line is that of its __init__.py, or of all that is in it
        line = name if name in listed else name.rpartition("/")[0] + "/"
        others = [path for path in listed if path != line and path.startswith(line)]
        assert line in listed, name
        assert line == name or name.endswith("/__init__.py") or not others, name
        is_owned = any(f"/{name}".startswith(path) for path in theirs)
        assert is_owned == (listed[line] == "yours"), name


def test_readme_shows_the_tree_of_a_default_project(render: Render) -> None:
    """Without what is in the folders of the owner's blocks and of tests."""
    shown, inside = [], False
    for line in tree(read(render(), "README.md")).splitlines():
        if not re.match(r"    |  (conftest|small|test_)", line):
            inside = re.match(r"  (layers|losses|ops|readers)/", line) is not None
            shown.append(line)
        elif line.startswith("    ") and not inside:
            shown.append(line)
    assert tree(TEXTS["README.md"]).splitlines() == shown
    assert len(shown) <= 50


def test_each_answer_and_each_choice_is_explained() -> None:
    for page in ("README.md", "docs/questions.md"):
        for name, question in questions().items():
            assert f"`{name}`" in TEXTS[page], f"{page}: {name}"
            if page == "README.md" and isinstance(question.get("choices"), dict):
                for choice in question["choices"].values():
                    value = choice["value"] if isinstance(choice, dict) else choice
                    assert f"`{value}`" in TEXTS[page], f"{page}: {value}"
    assert all(f"`{logger}`" in TEXTS["README.md"] for logger in LOGGERS)


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_page_and_what_it_reaches(task: str) -> None:
    assert f"docs/tasks/{task}.md" in TEXTS
    for page in ("README.md", "docs/index.md", "zensical.toml"):
        assert f"tasks/{task}.md" in (ROOT / page).read_text(encoding="utf-8"), page
    assert f"`{task}`" in TEXTS["README.md"]


def test_each_place_to_fill_in_is_marked_once_and_listed(render: Render) -> None:
    project = render(task="custom")
    found = [read(project, str(path)) for path in project.rglob("*.py")]
    marks = sum(text.count("# fill in: ") for text in found)
    for text in (read(project, "README.md"), TEXTS["docs/tasks/custom.md"]):
        assert marks == len(re.findall(r"^\| .+ in `\S+\.py` \|", text, re.MULTILINE))


def test_each_block_is_listed_with_those_who_use_it() -> None:
    listed = {}
    for name, text, users in re.findall(
        r"^\| `(\w+)` \| (.*) \| (.*) \|$", TEXTS["docs/blocks.md"], re.M
    ):
        listed[name] = (text.partition("; brings ")[0], {*users.split(", ")})
    assert listed == {
        name: (
            block.label,
            {kind["task"] for kind in KINDS.values() if name in used_by(kind)}
            or {"who asks for it"},
        )
        for name, block in BLOCKS.items()
        if block.offered
    }


def test_flags_exist(render: Render) -> None:
    flags = set()
    texts = dict(CURRENT)
    for kind, answers in KINDS.items():
        project = render(**answers, parallel="ddp")
        texts[kind] = read(project, "README.md")
        for path in project.rglob("*.py"):
            flags |= set(re.findall(r"\(\s*\"(--[a-z-]+)\"", path.read_text(encoding="utf-8")))
    assert "--batch-size" in flags
    for page, text in texts.items():
        # a hyphen or letter before it makes it a part of something else
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"\(.*?#.*?\)", "", text)):
            assert flag in flags | FOREIGN | GONE or flag.replace("--no-", "--") in flags, (
                f"{page}: {flag}"
            )


def test_paths_exist(render: Render) -> None:
    files = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if ".venv" not in p.parts}
    for kind in KINDS.values():
        rest = [choice["value"] for choice in json.loads(block_choices(kind)).values()]
        rest = [name for name in rest if name not in used_by(kind)]
        every = {"docker": True, "notebook": True, "logger": ["tensorboard", "wandb", "mlflow"]}
        every |= {"updates": "github"}
        project = render(**kind, package="package", blocks=rest, **every)
        files |= {path.relative_to(project).as_posix() for path in project.rglob("*")}
    below = ("", "package/", "template/", "template/tasks/image_classification/")
    for page, text in CURRENT.items():
        for path in re.findall(r"`([\w./-]+(?:\.py|\.md|\.toml|\.yml|\.jinja|/))`", text):
            if path not in ("data/tokens/", *SETS, "config.toml", "CHANGELOG.md"):
                assert {f"{folder}{path.rstrip('/')}" for folder in below} & files, (page, path)


def test_excerpts_are_in_train_py(render: Render) -> None:
    lines = read(render(), "train.py").splitlines()
    for block in fenced(TEXTS["docs/loop.md"], "python"):
        excerpt = block.splitlines()
        starts = range(len(lines) - len(excerpt) + 1)
        assert any(lines[i : i + len(excerpt)] == excerpt for i in starts), block


def test_exit_codes_are_those_of_the_engine(render: Render) -> None:
    source = read(render(), "my_project/engine/errors.py")
    rows = re.findall(r"^\| (\d+) \| ", TEXTS["docs/architecture.md"], re.MULTILINE)
    assert {*rows} == {"0", "1", *re.findall(r"^[A-Z_]+ = (\d+)", source, re.MULTILINE)}


def test_links_resolve() -> None:
    for page, text in TEXTS.items():
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            path, _, anchor = link.partition("#")
            target = (ROOT / page).parent / path if path else ROOT / page
            assert target.exists(), f"{page}: {link}"
            if anchor:
                titles = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = [re.sub(r"[^\w -]", "", title.lower()) for title in titles]
                assert anchor in [title.replace(" ", "-") for title in anchors], f"{page}: {link}"


def test_documentation_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="zensical is not installed")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "site" / "practices" / "index.html").exists()


def test_ci_runs_the_second_command_of_the_readme() -> None:
    second = fenced(TEXTS["README.md"], "bash")[2]
    assert second.startswith("python3 -m pip install uv && ")
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").endswith(f"\n{second}")


def test_workflows_use_the_actions_of_a_project(render: Render) -> None:
    allowed = re.findall(r"uses: (.*)", read(render(), ".github/workflows/ci.yml"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert {*re.findall(r"uses: (.*)", text)} <= {*allowed}, path


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the command is one for a POSIX shell")
def test_first_command_of_the_readme(tmp_path: Path) -> None:
    clone = copy_parts(tmp_path / "copier-pytorch")
    identity = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com")
    for step in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "-m", "all")):
        subprocess.run(["git", *step], cwd=clone, check=True)
    first = fenced(TEXTS["README.md"], "bash")[1]
    # uv is there, and an environment that uv made has no pip to install it with
    command = first.removeprefix("python3 -m pip install uv && ").replace("python3 -m uv", "uv")
    assert command != first
    result = subprocess.run(
        command, shell=True, cwd=clone, env=outside(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert (match := re.fullmatch(r"best accuracy (0\.\d+); the model is (\S+)", last)), last
    assert float(match[1]) > 0.9
    assert (tmp_path / "my-project" / match[2]).exists()
