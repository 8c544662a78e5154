"""Begins an update: names what it takes away although its owner has changed it.

Runs in the project, with the name of its answers file; nothing is written yet. Copier deletes what
the template no longer has, whatever stands in it.
"""

import os
import sys
from pathlib import Path

import yaml

sys.path[:0] = [str(Path(__file__).parent.parent)]

from migrations import template_files  # noqa: E402

TITLE = (
    "This update deletes files of the template's that you have changed; these show your changes:"
)


def main(answers_file: str) -> None:
    answers = yaml.safe_load(Path(answers_file).read_text(encoding="utf-8"))
    since = os.environ["VERSION_FROM"]
    gone = template_files.dropped(since, answers, answers_file)
    found = template_files.diffs(filter(os.path.exists, gone), since, answers)
    template_files.note().write_text("\n".join(found), encoding="utf-8")
    if found:
        print("", TITLE, *found, "", sep="\n", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:  # an update goes on without it
        print(
            f"Whether it deletes files that you have changed can't be told ({error!r}).", flush=True
        )
