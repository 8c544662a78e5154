#!/bin/sh
# sh tests/fuzz/run.sh [EXAMPLES [PYTEST OPTIONS]]: that many new inputs for each property
set -e
cd "$(dirname "$0")/../.."
FUZZ_EXAMPLES=${1:-2000}
export FUZZ_EXAMPLES
[ $# -eq 0 ] || shift
exec uv run pytest tests/fuzz -x "$@"
