"""How often an update merges with what owners have changed: python benchmarks/updates.py [--help]

Renders each task with the newest release, or this tree until there is one, makes one edit of each
kind of tests/edits.py to it, or a random history of several commits, and updates to what a later
release might be (tests/later.py). Each update is also checked: the owner's files are as they were,
what was deleted stays so, no line of theirs is lost, and where nothing conflicts, each file is what
git's own three-way merge makes of it, and compiles.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

from pytest import MonkeyPatch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from edits import KINDS, Edit, NoPlaceError  # noqa: E402
from extensions.features import TASKS, owned  # noqa: E402
from releases import (  # noqa: E402
    NEXT,
    RELEASES,
    SINCE,
    answers_of,
    clone,
    commit,
    copy,
    files,
    git,
    output,
    render_once,
    update,
)

ANSWERS = {
    **{"project_name": "My Project", "user_name": "Ada Lovelace", "user_email": "ada@example.com"},
    **{"package": "my_project", "docker": True, "notebook": True, "parallel": "ddp"},
}
OWNER = {edit: owner for owner, edits in KINDS.items() for edit in edits}
BY_NAME = {edit.__name__: edit for edit in OWNER}
MARKERS = (b"<<<<<<< before updating", b">>>>>>> after updating")
DROPPED = "no longer the template's, and not left as it was"
Files = dict[str, bytes]


class Outcome(NamedTuple):
    """What became of one update."""

    version: str
    task: str
    edits: list[str]
    conflicts: list[str]  # files
    faults: list[str]  # in words; none is what is promised
    behind: list[str]  # files that the template changed, and their owner had moved


class Study:
    """Projects of one release and task, each rendered once."""

    def __init__(self, template: Path, folder: Path, version: str, task: str) -> None:
        self.template, self.folder, self.version, self.task = template, folder, version, task
        self.start = self.render(version, ANSWERS["package"])

    def render(self, version: str, package: str) -> Path:
        folder = self.folder / f"{version}-{package}"
        if not folder.exists():
            answers = ANSWERS | {"task": self.task, "package": package}
            copy(self.template, folder, version, **answers)
        return folder

    def try_update(self, project: Path, edits: list[Edit], rng: Random) -> Outcome | None:
        """Make these edits, a commit each, and update; None if the first finds no place."""
        shutil.copytree(self.start, project)
        made = []
        for edit in edits:
            try:
                edit(project, answers_of(project)["package"], rng)
            except NoPlaceError:
                continue
            commit(project, edit.__name__)
            made.append(edit.__name__)
        if not made:
            return None
        before, start = files(project), files(self.start)
        edited = [name for name in before if before[name] != start.get(name)]
        broken = [f"{name} did not compile before" for name in edited if not compiles(name, before)]
        with output() as told:
            update(project)
        after, answers = files(project), answers_of(project)
        base = files(self.render(self.version, answers["package"]))
        fresh = files(self.render(NEXT, answers["package"]))
        conflicts = git(project, "diff", "--name-only", "--diff-filter=U").splitlines()
        theirs = {path.removeprefix("/") for path in owned(answers)}
        said = told[0].split()
        found = check(base, before, fresh, after, theirs, conflicts)
        # what the template has no more is deleted, and named with the command that shows it
        named = {word.partition(":./")[2] for word in said if ":./" in word}
        lost = [f"{name}: {DROPPED}" for name in named if name not in after]
        faults = broken + [fault for fault in found if fault not in lost]
        faults += [f"{name} conflicts and is not listed" for name in conflicts if name not in said]
        moved = {name for name in base if name not in before and name.endswith("train.py")}
        behind = [name for name in moved if name in fresh and base[name] != fresh[name]]
        return Outcome(self.version, self.task, made, conflicts, faults, behind)


def check(
    base: Files, before: Files, fresh: Files, after: Files, owned: set[str], conflicts: list[str]
) -> list[str]:
    """Return what an update did and should not have done.

    `base` and `fresh` are renders of the release that the project had and of the one that it got.
    """
    faults = [f"{name}: a reject" for name in after if name.endswith(".rej")]
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if is_within(name, owned) or name not in base.keys() | fresh.keys():
            if old != new and not name.endswith(".rej"):
                faults.append(f"{name}: the owner's, and not as it was")
        elif old is None and name in base:
            if new is not None:
                faults.append(f"{name}: deleted, and there again")
        elif (new is not None and any(mark in new for mark in MARKERS)) != (name in conflicts):
            faults.append(f"{name}: its markers and git's list of conflicts differ")
        elif name not in fresh and old is not None:
            if new not in (old, None) or (new is None and unix(old) != unix(base[name])):
                faults.append(f"{name}: {DROPPED}")
        elif lost := lost_lines(base.get(name, b""), old or b"", new or b""):
            faults.append(f"{name}: lost {lost}")
        elif name not in conflicts and name != ".copier-answers.yml":
            faults += unlike_merge(name, base, before, fresh, after)
    return faults


def unlike_merge(name: str, base: Files, before: Files, fresh: Files, after: Files) -> list[str]:
    mine, start, theirs, now = (
        unix(content.get(name, b"")) for content in (before, base, fresh, after)
    )
    merged = mine if start == theirs else theirs if start == mine else merge(mine, start, theirs)
    if merged != now:
        return [f"{name}: not what git's three-way merge makes of it"]
    return [] if now in (mine, theirs) or compiles(name, after) else [f"{name}: does not compile"]


def merge(*versions: bytes) -> bytes | None:
    """Return git's three-way merge, or None where it conflicts."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(3)]
        for path, content in zip(paths, versions, strict=True):
            path.write_bytes(content)
        command = ["git", "merge-file", "--stdout", "--quiet", *paths]
        merged = subprocess.run(command, capture_output=True, check=False)
    return None if merged.returncode else merged.stdout


def lost_lines(base: bytes, before: bytes, after: bytes) -> list[str]:
    """Return lines that the owner had added and that are gone."""
    if before == base:
        return []
    added = Counter(lines(before)) - Counter(lines(base))
    return [line for line, count in added.items() if line and lines(after).count(line) < count]


def lines(content: bytes) -> list[str]:
    return [line.strip() for line in content.decode().splitlines()]


def unix(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def is_within(name: str, paths: set[str]) -> bool:
    return any(name == path or name.startswith(f"{path}/") for path in paths)


def compiles(name: str, content: Files) -> bool:
    try:
        return not name.endswith(".py") or bool(compile(content.get(name, b""), name, "exec"))
    except SyntaxError:
        return False


def history(rng: Random, edits: list[Edit]) -> list[Edit]:
    """Return one to six edits of different kinds; rarely one that touches all of a project."""
    often = [edit for edit in edits if OWNER[edit] != "all"]
    found = rng.sample(often, min(len(often), rng.randint(1, 6)))
    rare = [edit for edit in edits if OWNER[edit] == "all"]
    if rare and rng.random() < 0.1:
        found[rng.randrange(len(found))] = rng.choice(rare)
    return found


def study(
    template: Path,
    version: str,
    task: str,
    names: list[str],
    counts: tuple[int, int, int | None],
    keep: Path,
) -> list[Outcome]:
    """Try each kind of edit, and histories of them, on the projects of a release and a task."""
    repeats, histories, updates = counts
    edits = [BY_NAME[name] for name in names]
    plans = [(f"{edit.__name__}-{n}", [edit]) for edit in edits for n in range(repeats)]
    for number in range(histories):
        plans.append((f"history-{number}", history(Random(f"{task} {number}"), edits)))
    if updates is not None:
        plans = Random(f"{version} {task}").sample(plans, min(updates, len(plans)))
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        these = Study(template, Path(temporary), version, task)
        for name, plan in plans:
            project = Path(temporary, name)
            outcome = these.try_update(project, plan, Random(f"{task} {name}"))
            if outcome:
                outcomes.append(outcome)
                if outcome.conflicts or outcome.faults:
                    shutil.copytree(project, keep / f"{version}-{task}-{name}", symlinks=True)
            shutil.rmtree(project)
    return outcomes


def share(outcomes: list[Outcome]) -> str:
    clean = sum(not outcome.conflicts for outcome in outcomes)
    return f"{len(outcomes)} | {clean / len(outcomes):.1%}"


def report(outcomes: list[Outcome]) -> None:
    print("\n| edits in files that are | updates | without conflict |\n|---|---|---|")
    single = [outcome for outcome in outcomes if len(outcome.edits) == 1]
    rows = {
        f"{owner}": [*filter(lambda o: o.edits[0] in kinds_of(owner), single)] for owner in KINDS
    }
    rows["histories of 2 to 6 edits"] = [outcome for outcome in outcomes if len(outcome.edits) > 1]
    for label, found in rows.items():
        if found:
            print(f"| {label} | {share(found)} |")

    print("\n| kind of edit | in files that are | updates | without conflict | conflicts in |")
    print("|---|---|---|---|---|")
    for edit, owner in OWNER.items():
        if found := [outcome for outcome in single if outcome.edits == [edit.__name__]]:
            where = Counter(Path(name).name for outcome in found for name in outcome.conflicts)
            text = ", ".join(f"`{name}` {count}" for name, count in where.most_common(4))
            kind = edit.__name__.replace("_", " ")
            print(f"| {kind} | {owner} | {share(found)} | {text} |")

    for outcome in outcomes:
        for fault in outcome.faults:
            start = f"{outcome.version} {outcome.task} {'+'.join(outcome.edits)}"
            print(f"FAULT {start}: {fault}")
    behind = Counter(name for outcome in outcomes for name in outcome.behind)
    print(f"\n{sum(bool(outcome.faults) for outcome in outcomes)} updates with faults")
    print(f"changed by the template where the owner had moved the file: {dict(behind)}")


def kinds_of(owner: str) -> set[str]:
    return {edit.__name__ for edit in KINDS[owner]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    add = parser.add_argument
    add("--releases", nargs="*", default=[SINCE], metavar="VERSION", help="to start from")
    add("--from", nargs="*", default=[], dest="commits", metavar="COMMIT", help="and these")
    add("--tasks", nargs="+", default=list(TASKS), metavar="TASK", help="by default all")
    add("--kinds", nargs="+", default=list(BY_NAME), metavar="KIND", help="of edits")
    add("--repeats", type=int, default=1, help="of each kind, each with other random choices")
    add("--histories", type=int, default=10, help="of random edits, for each release and task")
    add("--updates", type=int, help="so many of each release and task, drawn from these; else all")
    add("--processes", type=int, default=2, help="at once")
    add("--keep", type=Path, help="a new folder for the projects with a conflict or a fault")
    args = parser.parse_args()
    for flag, known in (("releases", [*RELEASES, SINCE]), ("tasks", TASKS), ("kinds", BY_NAME)):
        if unknown := set(getattr(args, flag)) - set(known):
            sys.exit(f"--{flag} {' '.join(sorted(unknown))}: use {', '.join(known)}")
    if args.keep and args.keep.exists():
        sys.exit(f"--keep {args.keep}: exists; name a new folder")
    with tempfile.TemporaryDirectory() as temporary:
        template, keep = Path(temporary, "template"), args.keep or Path(temporary, "kept")
        keep.mkdir(parents=True)
        clone(template)
        versions = list(args.releases)
        for number, its_commit in enumerate(args.commits, 1):
            versions.append(f"1.0.0.dev{number}")
            git(template, "tag", f"v{versions[-1]}", its_commit)
            print(f"{versions[-1]} stands for {its_commit}", file=sys.stderr)
        git(template, "gc", "--quiet")  # it is cloned often
        outcomes: list[Outcome] = []
        with ProcessPoolExecutor(
            args.processes, None, render_once, (Path(temporary), MonkeyPatch())
        ) as pool:
            counts = args.repeats, args.histories, args.updates
            running = {
                pool.submit(study, template, version, task, args.kinds, counts, keep): (
                    f"{version} {task}"
                )
                for version in versions
                for task in args.tasks
            }
            for future, name in running.items():
                found = future.result()
                clean = sum(not outcome.conflicts for outcome in found)
                print(f"{name}: {clean} of {len(found)} without conflict", file=sys.stderr)
                outcomes += found
    report(outcomes)


if __name__ == "__main__":
    main()
