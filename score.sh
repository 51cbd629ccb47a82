#!/usr/bin/env bash
# Score new films with a finished run, without training anything:
#
#   bash score.sh SET DIR                  the run that run_all.sh trained on SET, applied to the films of DIR
#   SOURCE=phantom bash score.sh SET DIR   generated films, which need no screening
#   bash score.sh --no-report SET DIR      without the report
#
# SET is a prepared set with a finished run, as run_all.sh names it (phantom-demo). DIR holds test/<Patient_ID>-<LH|RH|LF|RF>.jpg
# (or PNG, BMP, TIFF, DICOM), and optionally test/template.csv, test/people.csv and gold/ (docs/data_formats.md).
# RUN names the stack (default blend). The result is submissions/<DIR's name>-scored.csv with its intervals, and a report.
# Finished steps are skipped.
set -euo pipefail
start=$SECONDS
report=yes words=()
for word in "$@"; do
  if [[ $word == --no-report ]]; then report=; else words+=("$word"); fi
done
set -- "${words[@]}"
if (($# != 2)) || [[ $1 == -* || $2 == -* ]]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit 2
fi
trained=$1 run=${RUN:-blend} source=${SOURCE:-ra2dream} root=$(realpath -m -- "$2")
case "$source" in ra2dream | phantom) ;; *)
  echo "error: SOURCE=$source is not one of ra2dream, phantom" >&2
  exit 2
  ;;
esac
cd "$(dirname "$0")"
if [[ ! -d $root ]]; then
  echo "error: $2 is not a folder; give the folder that holds test/ with the films" >&2
  exit 2
fi
if [[ ! -d $root/test ]]; then
  echo "error: $2 holds no folder named test; put the films into it, <Patient_ID>-<LH|RH|LF|RF>.jpg and so on" >&2
  exit 2
fi
work=${RA_DATA:-data}/work
stack=$work/$trained/stage3/$run
if [[ ! -f $stack/run.json ]]; then
  echo "error: $stack is not finished; train it first (bash run_all.sh), or name another set or RUN" >&2
  exit 2
fi
source setup.sh
set=$(basename "$root" | tr -c 'A-Za-z0-9_.\n-' _)-scored

step() {
  printf '\n[%3d s] %s\n' $((SECONDS - start)) "$1"
  shift
  python -m "$@"
}

members=() pictures=()
for member in $(python -m ra.config_value "$stack/config.yaml" members); do
  members+=("$work/$trained/stage2/$member/config.yaml")
  pictures+=("$(python -m ra.config_value "${members[-1]}" pictures)")
done
step "prepare $set" data.prepare --source "$source" --root "$root" --data "$set"
for name in $(printf '%s\n' "${pictures[@]}" | sort -u); do
  boxes=$(python -m ra.config_value "$work/$trained/stage2/$name/config.yaml" boxes)
  step "stage 1: joints" stage1_detect.predict --trained "$trained" --data "$set" --run "$boxes"
  step "stage 2: $name" stage2_score.pictures "$work/$trained/stage2/$name/config.yaml" --data "$set"
done
step "stage 2: members" stage2_score.predict "${members[@]}" --trained "$trained" --data "$set"
step "stage 3: the stack" stage3_stack.predict --trained "$trained" --data "$set" --run "$run"
step "stage 3: intervals" stage3_stack.intervals --data "$set" --run "$run"
step "stage 3: submission" stage3_stack.submit --data "$set" --run "$run"
if [[ -n $report ]]; then
  step "report" report --data "$set" --run "$run" --if-changed
fi
printf '\nfinished in %d s: submissions/%s.csv\n' $((SECONDS - start)) "$set"
