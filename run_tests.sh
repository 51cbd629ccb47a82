#!/usr/bin/env bash
# Sets up like run_all.sh, then runs the tests: bash run_tests.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")"
source setup.sh
exec python -m pytest "$@"
