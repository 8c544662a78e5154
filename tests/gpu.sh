#!/bin/sh
# All tasks on one GPU, within ten minutes; that machine may have no network:
#   sh tests/gpu.sh render        where Copier is: renders every task into .gpu/
#   sh tests/gpu.sh               in a copy of this tree with .gpu/; each project's dependencies
#                                 and pytest have to be there
#   sh tests/gpu.sh --device cpu --toy    two of the tasks on the CPU, each step in five times as
#                                 long; nothing is compiled
set -eu
cd "$(dirname "$0")/.."
here=$PWD
if [ "${1:-}" = render ]; then
  rm -rf .gpu
  for task in template/tasks/*/; do
    name=$(basename "$task")
    uv run copier copy --trust --defaults --quiet --vcs-ref HEAD --data "task=$name" \
      --data package=project --data parallel=ddp --data "logger=[csv]" . ".gpu/$name"
  done
  exit
fi

device=cuda tests=gpu projects=$(ls .gpu 2>/dev/null || true) at_once=12 times=1
if [ "$*" = "--device cpu --toy" ]; then
  device=cpu tests="not gpu" projects="language_modeling image_generation" at_once=1 times=5
elif [ $# -gt 0 ]; then
  echo "usage: sh tests/gpu.sh [render | --device cpu --toy]" >&2
  exit 2
elif ! python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "tests/gpu.sh: this machine's PyTorch sees no CUDA device" >&2
  exit 1
fi
if [ -z "$projects" ]; then
  echo "tests/gpu.sh: nothing in .gpu/; sh tests/gpu.sh render makes it, where Copier is" >&2
  exit 1
fi

export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TORCHINDUCTOR_COMPILE_THREADS=4 PYTHONUNBUFFERED=1
export device tests here
logs=$(mktemp -d)
failed=0
# a line, seconds, a project and a command in it, whose output is shown if it fails
step() {
  what=$1 seconds=$2 project=$3
  shift 3
  log=$logs/$what.$project
  code=0
  (cd ".gpu/$project" && PYTHONPATH=. timeout -k 5 $((seconds * times)) "$@") >"$log" 2>&1 || code=$?
  echo "$what, $project: code $code; $(tail -n 1 "$log")"
  if [ $code != 0 ]; then tail -n 40 "$log"; fi
  return $code
}
pytest() {
  what=$1 seconds=$2 project=$3
  shift 3
  step "$what" "$seconds" "$project" python3 -m pytest -q --tb=short -p no:cacheprovider \
    -c /dev/null --noconftest "$here/tests/engine/test_gpu.py" -m "$tests" "$@"
}
# the seconds of all steps, one after the other, are under 600
in_all() {
  running=0 jobs=""
  for project in $projects; do
    "$@" "$project" & jobs="$jobs $!" running=$((running + 1))
    if [ $running = $at_once ]; then
      for job in $jobs; do wait "$job" || failed=1; done
      running=0 jobs=""
    fi
  done
  for job in $jobs; do wait "$job" || failed=1; done
}
scripts() { pytest scripts 230 "$1" -k "trains_and_the or resumed or diverges"; }
waits() {
  step waits 60 "$1" python3 "$here/tests/gpu/waits.py" train.py --device $device --max-steps 40 \
    --log-every 20 --batch-size 16 --eval-batches 1 --run-dir "$logs/run-$1"
  sed -n 's/^ *[0-9]* [a-z_]*\.py:.*/  &/p' "$logs/waits.$1"
}

step nccl 40 language_modeling python3 "$here/tests/gpu/nccl.py" $device || failed=1
pytest engine 60 language_modeling -k "waits or left_out or prefetched" || failed=1
in_all scripts
in_all waits
step two 60 language_modeling python3 -m torch.distributed.run --standalone --nproc-per-node=2 \
  "$here/tests/gpu/two_on_one.py" train.py --device $device --max-steps 20 --eval-every 10 \
  --eval-batches 4 --accumulate 2 --run-dir "$logs/run-two" || failed=1
if [ $device = cuda ]; then
  pytest compiled 100 image_classification -k compiled || failed=1
fi
rm -rf "$logs"
exit $failed
