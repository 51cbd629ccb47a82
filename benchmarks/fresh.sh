#!/usr/bin/env bash
# How good a finished run is on synthetic patients that no stage was trained on:
#
#   bash benchmarks/fresh.sh [SET]              SET: a set with a finished run (default phantom-demo, from bash run_all.sh)
#   PATIENTS=480 bash benchmarks/fresh.sh       number of sets of films to draw
#
# draws patients (configs/phantom/fresh.yaml: the default cohort's settings, other persons), scores them with bash score.sh,
# prints the coverage of the intervals, agreement, the challenge's scores and change over time, and writes the whole report.
# Finished steps are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
trained=${1:-phantom-demo} root=${RA_DATA:-data}/raw/phantom-fresh
if (($# > 1)) || [[ $trained == -* ]]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
if [[ ! -f ${RA_DATA:-data}/work/$trained/stage3/${RUN:-blend}/run.json ]]; then
  echo "error: $trained has no finished run ${RUN:-blend}; run bash run_all.sh first, or name another set" >&2
  exit 2
fi
source setup.sh
sets=(${PATIENTS:+--set "test=$PATIENTS"})
python -m data.phantom.make --config configs/phantom/fresh.yaml --only cohort "${sets[@]}"
export RA_SUBMISSIONS=${RA_DATA:-data}/work/phantom-fresh-scored/submissions # separate, because the ledger does not record benchmarks
SOURCE=phantom bash score.sh "$trained" "$root"
python -m benchmarks.fresh --trained "$trained" --data phantom-fresh-scored
