#!/usr/bin/env bash
# How good a finished run is on synthetic patients that no stage was trained on:
#
#   bash benchmarks/fresh.sh [SET]              SET: phantom-demo, as bash run_all.sh leaves it, unless named
#   PATIENTS=480 bash benchmarks/fresh.sh       number of sets of films to draw
#
# draws the patients (configs/phantom/fresh.yaml: the default cohort's settings, other persons), scores them with bash score.sh,
# and prints coverage of the intervals, agreement, the challenge's scores and change over time; the whole report is written too.
# Finished steps are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
trained=${1:-phantom-demo} root=${RA_DATA:-data}/raw/phantom-fresh
if (($# > 1)) || [[ $trained == -* ]]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
source setup.sh
sets=(${PATIENTS:+--set "test=$PATIENTS"})
python -m data.phantom.make --config configs/phantom/fresh.yaml --only cohort "${sets[@]}"
export RA_SUBMISSIONS=${RA_DATA:-data}/work/phantom-fresh-scored/submissions # a benchmark, which the ledger does not record
SOURCE=phantom bash score.sh "$trained" "$root"
python -m benchmarks.fresh --trained "$trained" --data phantom-fresh-scored
