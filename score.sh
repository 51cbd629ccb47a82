#!/usr/bin/env bash
# New films scored by a run that is finished, without training anything:
#
#   bash score.sh SET DIR                what run_all.sh trained on SET, applied to the films of DIR
#   SOURCE=phantom bash score.sh SET DIR      generated films, which are what their names say
#   bash score.sh --no-report SET DIR
#
# SET is a prepared set with a finished run, as run_all.sh names it (phantom-demo). DIR holds test/<Patient_ID>-<LH|RH|LF|RF>.jpg
# (or PNG, BMP, TIFF, DICOM); test/template.csv, test/people.csv and gold/ where there are any (README, your own films).
# RUN names the stack (default blend). Ends in submissions/NAME.csv with its intervals and in a report; NAME is DIR's, and -scored.
# What is finished is skipped.
set -euo pipefail
start=$SECONDS
report=yes words=()
for word in "$@"; do
  if [[ $word == --no-report ]]; then report=; else words+=("$word"); fi
done
set -- "${words[@]}"
if (($# != 2)) || [[ $1 == -* || $2 == -* ]]; then
  sed -n '2,12s/^# \{0,1\}//p' "$0"
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
  "$@"
}

said() { # what a file of a finished run says: said FILE KEY
  python -c 'import sys, yaml; said = yaml.safe_load(open(sys.argv[1]))[sys.argv[2]]; print(*[said] if isinstance(said, str) else said)' "$@"
}

members=() pictures=()
for member in $(said "$stack/config.yaml" members); do
  members+=("$work/$trained/stage2/$member/config.yaml")
  pictures+=("$(said "${members[-1]}" crops)")
done
step "prepare $set" python -m data.prepare --source "$source" --root "$root" --data "$set"
for cut in $(printf '%s\n' "${pictures[@]}" | sort -u); do
  boxes=$(said "$work/$trained/stage2/$cut/run.json" boxes)
  step "stage 1: joints" python -m stage1_detect.predict --trained "$trained" --data "$set" --run "$boxes"
  step "stage 2: $cut" python -m stage2_score.crops "$work/$trained/stage2/$cut/config.yaml" --data "$set" --boxes "$boxes"
done
step "stage 2: members" python -m stage2_score.predict "${members[@]}" --trained "$trained" --data "$set"
step "stage 3: the stack" python -m stage3_stack.predict --trained "$trained" --data "$set" --run "$run"
step "stage 3: intervals" python -m stage3_stack.intervals --data "$set" --run "$run"
step "stage 3: submission" python -m stage3_stack.submit --data "$set" --run "$run"
if [[ -n $report ]]; then
  step "report" python -m report --if-changed --data "$set" --run "$run"
fi
printf '\nfinished in %d s: submissions/%s.csv\n' $((SECONDS - start)) "$set"
