#!/usr/bin/env bash
# Sets up like run_all.sh, then runs the tests, two files at a time: bash run_tests.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")"
source setup.sh
export OMP_NUM_THREADS=1 # one core for each of the two processes
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
