#!/bin/sh
# The GPU tests of rendered projects, in two steps, for a GPU machine that may have no network:
#   tests/gpu.sh render    where Copier is: renders every task into .gpu/
#   tests/gpu.sh           in a copy of this tree with .gpu/: needs torch >= 2.11, pytest and tqdm
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" = render ]; then
  rm -rf .gpu
  for task in template/tasks/*/; do
    name=$(basename "$task")
    uv run copier copy --trust --defaults --quiet --vcs-ref HEAD \
      --data "task=$name" --data package=trained --data parallel=ddp . ".gpu/$name"
  done
else
  failed=0
  for project in .gpu/*/; do
    (cd "$project" && python3 -m pytest -m gpu -rs tests) || failed=1
  done
  exit $failed
fi
