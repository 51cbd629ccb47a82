#!/usr/bin/env bash
# What a finished run is worth on patients whom no stage has seen:
#
#   bash benchmarks/fresh.sh [SET]              SET: phantom-demo, as bash run_all.sh leaves it, unless named
#   PATIENTS=480 bash benchmarks/fresh.sh       sets of films to draw
#
# draws them (data/phantom/configs/fresh.yaml: the default cohort's settings, other persons), scores them with bash score.sh,
# and prints coverage of the intervals, agreement, the challenge's scores and change over time; the whole report is beside them.
# What is finished is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
trained=${1:-phantom-demo} root=${RA_DATA:-data}/raw/phantom-fresh
if (($# > 1)) || [[ $trained == -* ]]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
source setup.sh
sets=(${PATIENTS:+--set "test=$PATIENTS"})
python -m data.phantom.make --config data/phantom/configs/fresh.yaml --only cohort "${sets[@]}"
export RA_SUBMISSIONS=${RA_DATA:-data}/work/phantom-fresh-scored/submissions # no submission of anybody's: not for the ledger
SOURCE=phantom bash score.sh "$trained" "$root"
python -m benchmarks.fresh --trained "$trained" --data phantom-fresh-scored
