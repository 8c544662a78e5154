"""The weekly update of a project on GitHub: each step of its job, as the runner calls it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from conftest import ANSWERS
from releases import commit, copy, copy_parts, files, git

pytestmark = [
    pytest.mark.update,
    pytest.mark.skipif(sys.platform != "linux", reason="the job runs on ubuntu-latest"),
]

BRANCH = "copier-update-1.1.0"
TITLE = "Update to copier-pytorch 1.1.0"
# an update of one line, where only what follows it matters
SMALL = {"SMALL": "1"}
# what the runner has and these tests have not: uvx with its downloads, and gh with its GitHub
UVX = """
[ "$1" != --with ] || shift 2
shift
[ -z "${GH_TOKEN:-}" ] || [ "$1" = check-update ] || exit 99
if [ -n "${SMALL:-}" ] && [ "$1" = update ]; then
  echo >> ruff.toml
  [ -z "${THEIRS:-}" ] || git push --quiet origin "$THEIRS"
  exit
fi
PYTHONPATH= exec {python} -m copier "$@"
"""
GH = """
printf '%s\\n' "$@" > "$CALLS/$(ls "$CALLS" | wc -l)-$2"
[ -n "$GH_TOKEN" ] || exit 4
case " $* " in
  *" pr list "*) cat "$PULLS" ;;
  *" --draft "*) [ -z "${NO_DRAFTS:-}" ] && echo "$PULL" > "$PULLS" ;;
  *" pr create "*) [ -z "${FORBIDDEN:-}" ] && echo "$PULL" > "$PULLS" ;;
esac
"""


class Job(NamedTuple):
    """How a run of the job ended."""

    failed: bool
    log: str


class Repository:
    """A project on GitHub: its bare repository, and the runner's own folder for each run."""

    def __init__(self, folder: Path, project: Path):
        self.folder, self.project = folder, shutil.copytree(project, folder / "project")
        self.bare, self.calls, self.pulls = folder / "bare", folder / "calls", folder / "pulls"
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(self.project, "branch", "--move", "--force", "main")
        git(self.project, "remote", "add", "origin", str(self.bare))
        git(self.project, "push", "--quiet", "origin", "main")
        self.calls.mkdir()
        self.pulls.touch()
        for name, script in (("uvx", UVX), ("gh", GH)):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            text = script.replace("{python}", shlex.quote(sys.executable))
            program.write_text(f"#!/bin/sh{text}", encoding="utf-8")
            program.chmod(0o755)

    def run_job(self, **environment: str) -> Job:
        """Run the steps of the workflow in order, each in a shell of its own, until one fails."""
        runner = self.folder / f"runner{len(list(self.folder.glob('runner*')))}"
        git(self.folder, "clone", "--quiet", str(self.bare), str(runner / "work"))
        workflow = read(runner / "work" / ".github" / "workflows" / "update.yml")
        outputs = runner / "outputs"
        outputs.touch()
        known = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(runner),
            "RUNNER_TEMP": str(runner),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_REF_NAME": "main",
            "CALLS": str(self.calls),
            "PULLS": str(self.pulls),
            "PULL": "https://github.com/ada/my-project/pull/1",
        }
        log = ""
        assert workflow["defaults"]["run"]["shell"] == "bash"
        shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
        for step in workflow["jobs"]["pull-request"]["steps"]:
            version = "".join(re.findall(r"^version=(.*)", outputs.read_text(), re.M))
            if "run" not in step or ("if" in step and not version):
                continue
            values = {
                name: version if "outputs.version" in value else "a token"
                for name, value in step.get("env", {}).items()
            }
            done = subprocess.run(
                [*shell, step["run"]],
                cwd=runner / "work",
                env=known | values | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            log += done.stdout
            if done.returncode:
                return Job(True, log)
        return Job(False, log)

    @property
    def branches(self) -> set[str]:
        return {*git(self.bare, "branch", "--format=%(refname:short)").split()}

    def opened(self) -> list[list[str]]:
        """Return the arguments of each call that opens a pull request."""
        calls = sorted(self.calls.glob("*-create"))
        return [path.read_text(encoding="utf-8").splitlines() for path in calls]

    def checkout(self, branch: str) -> Path:
        folder = self.folder / "checkout"
        git(self.folder, "clone", "--quiet", "--branch", branch, str(self.bare), str(folder))
        return folder

    def push(self, name: str, text: str) -> None:
        """Commit a line of the owner's at the end of a file."""
        path = self.project / name
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
        commit(self.project)
        git(self.project, "push", "--quiet", "origin", "main")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def body(arguments: list[str]) -> str:
    return Path(arguments[arguments.index("--body-file") + 1]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with two releases, 1.0.0 and 1.1.0; the second changes the end of a file."""
    folder = copy_parts(tmp_path_factory.mktemp("template") / "copier-pytorch")
    git(folder, "init", "--quiet")
    commit(folder)
    git(folder, "tag", "v1.0.0")
    lint = folder / "template" / "project" / "ruff.toml"
    lint.write_text(lint.read_text(encoding="utf-8") + "# of 1.1.0\n", encoding="utf-8")
    commit(folder)
    git(folder, "tag", "v1.1.0")
    return folder


@pytest.fixture(scope="module")
def projects(template: Path) -> dict[str, Path]:
    """A project of each release, committed."""
    answers = ANSWERS | {"updates": "github"}
    return {
        version: copy(template, template.parent / version, version, **answers)
        for version in ("1.0.0", "1.1.0")
    }


@pytest.fixture
def repository(projects: dict[str, Path], tmp_path: Path) -> Repository:
    return Repository(tmp_path, projects["1.0.0"])


def test_newest_release_is_left_alone(projects: dict[str, Path], tmp_path: Path) -> None:
    repository = Repository(tmp_path, projects["1.1.0"])
    assert repository.run_job() == Job(False, "There is no newer release of the template.\n")
    assert repository.branches == {"main"}
    assert repository.opened() == []


def test_newer_release_becomes_one_pull_request(
    projects: dict[str, Path], repository: Repository
) -> None:
    job = repository.run_job()
    assert not job.failed, job.log
    assert repository.branches == {"main", BRANCH}
    (opened,) = repository.opened()
    assert opened[opened.index("--title") + 1] == TITLE
    assert opened[opened.index("--head") + 1] == BRANCH
    assert opened[opened.index("--base") + 1] == "main"
    assert "--draft" not in opened
    # the body is what the update itself has said
    assert body(opened).startswith("From 1.0.0 to 1.1.0.")
    assert body(opened) in job.log

    assert files(repository.checkout(BRANCH)) == files(projects["1.1.0"])
    assert git(repository.bare, "log", "--format=%s", f"main..{BRANCH}") == f"{TITLE}\n"


def test_branch_or_pull_request_that_is_there_is_left_alone(repository: Repository) -> None:
    assert not repository.run_job(**SMALL).failed
    pulls = repository.pulls.read_text()
    for left in ("both", "the branch", "the pull request"):
        repository.pulls.write_text("" if left == "the branch" else pulls)
        if left == "the pull request":
            git(repository.bare, "branch", "--delete", "--force", BRANCH)
        before = git(repository.bare, "show-ref")
        job = repository.run_job()
        assert not job.failed
        assert "1.1.0 has been here" in job.log
        assert git(repository.bare, "show-ref") == before
        assert len(repository.opened()) == 1


def test_conflict_becomes_a_draft_with_its_markers(repository: Repository) -> None:
    repository.push("ruff.toml", "# mine\n")
    job = repository.run_job()
    assert not job.failed, job.log
    (opened,) = repository.opened()
    assert "--draft" in opened
    assert opened[opened.index("--title") + 1] == f"{TITLE}, with conflicts"
    assert "look for <<<<<<< in:\nruff.toml\n" in body(opened)
    lint = (repository.checkout(BRANCH) / "ruff.toml").read_text(encoding="utf-8")
    for line in ("<<<<<<< ", "# mine\n", "=======\n", "# of 1.1.0\n", ">>>>>>> "):
        assert line in lint


def test_conflict_is_in_the_title_where_there_are_no_drafts(repository: Repository) -> None:
    repository.push("ruff.toml", "# mine\n")
    assert not repository.run_job(NO_DRAFTS="1").failed
    last = repository.opened()[-1]
    assert "--draft" not in last
    assert f"{TITLE}, with conflicts" in last


def test_failed_update_pushes_nothing(repository: Repository) -> None:
    repository.push(".copier-answers.yml", "task: nonsense\n")
    assert repository.run_job().failed
    assert repository.branches == {"main"}
    assert repository.opened() == []


def test_folder_as_source_is_said_in_one_line(template: Path, repository: Repository) -> None:
    answers = repository.project / ".copier-answers.yml"
    text = answers.read_text(encoding="utf-8").replace(str(template), "/home/ada/gone")
    answers.write_text(text, encoding="utf-8")
    repository.push("README.md", "mine\n")
    job = repository.run_job()
    assert job.failed
    (line,) = [line for line in job.log.splitlines() if line.startswith("::error::")]
    assert "/home/ada/gone" in line and "_src_path" in line and "URL" in line


def test_push_that_is_refused_names_the_secret(repository: Repository) -> None:
    refuse = repository.bare / "hooks" / "pre-receive"
    refuse.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    refuse.chmod(0o755)
    job = repository.run_job(**SMALL)
    assert job.failed
    assert len(re.findall(r"^::error::.*secret.*update\.yml", job.log, re.M)) == 1
    assert repository.branches == {"main"}
    assert repository.opened() == []


def test_pull_request_that_is_forbidden_leaves_no_branch(repository: Repository) -> None:
    job = repository.run_job(**SMALL, FORBIDDEN="1")
    assert job.failed
    assert len(re.findall(r"^::error::no pull request.*update\.yml", job.log, re.M)) == 1
    assert repository.branches == {"main"}
    # so that the next run, once it is allowed, begins anew
    assert not repository.run_job(**SMALL).failed
    assert repository.branches == {"main", BRANCH}


def test_branch_that_appears_meanwhile_is_not_overwritten(repository: Repository) -> None:
    git(repository.project, "switch", "--quiet", "--create", "theirs")
    commit(repository.project)
    git(repository.project, "push", "--quiet", "origin", "theirs")
    theirs = git(repository.bare, "rev-parse", "theirs")
    job = repository.run_job(**SMALL, THEIRS=f"origin/theirs:refs/heads/{BRANCH}")
    assert job.failed
    assert f"::error::{BRANCH} can not be pushed" in job.log
    assert git(repository.bare, "rev-parse", BRANCH) == theirs
    assert repository.opened() == []
