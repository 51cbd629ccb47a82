#!/usr/bin/env bash
# From films to a scored leaderboard submission:
#
#   bash run_all.sh                     the synthetic default cohort
#   bash run_all.sh DATA_DIR            a folder in the RA2-DREAM layout
#   SOURCE=NAME bash run_all.sh DATA_DIR    another layout: ram_h1200, hand_totals, scqm_joints (README, your own films)
#   PROFILE=smoke|demo|full bash run_all.sh [DATA_DIR]
#   bash run_all.sh --no-report [DATA_DIR]
#
# It ends in a report, one HTML file (data/work/<set>/stage3/<run>/report/), unless --no-report leaves it out.
# NAMES="total=SHS file=image" tells your names of a table's columns, role=name.
# BONEAGE_DIR names a folder in the RSNA Bone Age layout to pretrain on; by default generated growing hands serve.
# ZOO=1 then trains every system of the papers too (stage2_score/configs/<profile>/zoo) and prints the table of all of them.
# WANDB=1 mirrors the logs to Weights & Biases (offline unless WANDB_MODE says otherwise). What is finished is skipped.
set -euo pipefail
start=$SECONDS
PROFILE=${PROFILE:-demo}
case "$PROFILE" in smoke | demo | full) ;; *)
  echo "error: PROFILE=$PROFILE is not one of smoke, demo, full" >&2
  exit 2
  ;;
esac
report=yes words=()
for word in "$@"; do
  if [[ $word == --no-report ]]; then report=; else words+=("$word"); fi
done
set -- "${words[@]}"
SOURCE=${SOURCE:-$([[ -n ${1:-} ]] && echo ra2dream || echo phantom)}
case "$SOURCE" in ra2dream | ram_h1200 | hand_totals | scqm_joints | phantom) ;; *)
  echo "error: SOURCE=$SOURCE is not one of ra2dream, ram_h1200, hand_totals, scqm_joints, phantom" >&2
  exit 2
  ;;
esac
if (($# > 1)) || [[ ${1:-} == -* || ($SOURCE != phantom && -z ${1:-}) ]]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0"
  exit 2
fi
data_dir=${1:+$(realpath -m -- "$1")}
boneage_dir=${BONEAGE_DIR:+$(realpath -m -- "$BONEAGE_DIR")}
cd "$(dirname "$0")"
if [[ -n $data_dir && ! -d $data_dir ]]; then
  echo "error: $1 is not a folder; give the folder that holds the set (README, your own films)" >&2
  exit 2
fi
source setup.sh
flags=(${WANDB:+--wandb})
raw=${RA_DATA:-data}/raw
work=${RA_DATA:-data}/work
folds=$([[ $PROFILE == full ]] && echo 5 || echo 3)

step() {
  printf '\n[%3d s] %s\n' $((SECONDS - start)) "$1"
  shift
  "$@"
}

films() { # the set's own films, or the generated cohort
  if [[ -z $data_dir ]]; then
    set=phantom-$PROFILE root=$raw/phantom-$PROFILE
    step "films: the synthetic cohort" python -m data.phantom.make --config data/phantom/configs/$PROFILE.yaml --only cohort
  else
    set=$(basename "$data_dir" | tr -c 'A-Za-z0-9_.\n-' _)-$PROFILE root=$data_dir
  fi
  local columns=() name
  for name in ${NAMES:-}; do columns+=(--column "$name"); done
  step "prepare $set" python -m data.prepare --source $SOURCE --root "$root" --data "$set" --folds "$folds" "${columns[@]}"
}

growing_hands() { # what the backbones pretrain on
  if [[ -z $boneage_dir ]]; then
    ages=boneage-$PROFILE boneage_dir=$raw/boneage-$PROFILE
    step "films: growing hands to pretrain on" python -m data.phantom.make --config data/phantom/configs/$PROFILE.yaml --only boneage
  else
    ages=$(basename "$boneage_dir" | tr -c 'A-Za-z0-9_.\n-' _)-ages
  fi
  step "prepare $ages" python -m data.prepare --source rsna_boneage --root "$boneage_dir" --data "$ages"
}

from_joints() { # films -> boxes -> joint scores -> the challenge's submission
  step "stage 1: joints" python -m stage1_detect.train --data "$set" --config $one/yolo.yaml "${flags[@]}"
  if [[ ! -f $work/$ages/boxes.parquet ]]; then
    step "stage 1: joints of the growing hands" python -m stage1_detect.train --data "$ages" --config $one/yolo.yaml "${flags[@]}"
  fi
  step "stage 2: crops" python -m stage2_score.crops $two/crops.yaml --data "$set" --boxes yolo
  step "stage 2: crops of the growing hands" python -m stage2_score.crops $two/crops.yaml --data "$ages" --boxes yolo
  step "stage 2: pretraining" python -m stage2_score.pretrain $two/age_*.yaml --data "$ages" "${flags[@]}"
  local members
  members=$(ls $two/*.yaml | grep -v -e /crops -e /films -e /age_)
  step "stage 2: members" python -m stage2_score.train $members --data "$set" --bone-age "$ages" "${flags[@]}"
  step "stage 3: the stack" python -m stage3_stack.train --data "$set" --config $three/blend.yaml
  step "stage 3: intervals" python -m stage3_stack.intervals --data "$set" --config $three/blend.yaml
  step "stage 3: submission" python -m stage3_stack.submit --data "$set" --config $three/blend.yaml
  step "results" python -m evaluation.results --data "$set" --config $three/blend.yaml
  if [[ -n $report ]]; then
    step "report: looking" python -m stage2_score.explain $two/{resnet,whole}.yaml --data "$set"
    step "report" python -m report --if-changed --data "$set" --config $three/blend.yaml
  fi
}

from_hand_totals() { # both hands at once -> their total (Bo et al. 2024)
  step "stage 2: both hands" python -m stage2_score.whole_films $two/films.yaml --data "$set"
  step "stage 2: growing hands" python -m stage2_score.whole_films $two/films.yaml --data "$ages"
  step "stage 2: pretraining" python -m stage2_score.pretrain $two/zoo/ages.yaml --data "$ages" "${flags[@]}"
  step "stage 2: members" python -m stage2_score.train $two/sources/hand_totals.yaml --data "$set" --bone-age "$ages" "${flags[@]}"
  step "stage 3: the ensemble" python -m stage3_stack.hands --data "$set" --config $three/sources/hand_totals.yaml
  step "stage 3: intervals" python -m stage3_stack.intervals --data "$set" --config $three/sources/hand_totals.yaml
  step "stage 3: submission" python -m stage3_stack.totals --data "$set" --config $three/sources/hand_totals.yaml
  if [[ -n $report ]]; then step "report" python -m report --if-changed --data "$set" --config $three/sources/hand_totals.yaml; fi
}

from_joint_crops() { # crops -> Ratingen grades, Rau score, DAS28 (Rohrbach et al. 2019)
  step "stage 2: crops" python -m stage2_score.crops $two/crops_box.yaml --data "$set" --boxes truth
  step "stage 2: members" python -m stage2_score.train $two/sources/scqm_joints.yaml --data "$set" "${flags[@]}"
  step "stage 3: submission" python -m stage3_stack.visits --data "$set" --config $three/sources/scqm_joints.yaml
  if [[ -n $report ]]; then step "report" python -m report --if-changed --data "$set" --config $three/sources/scqm_joints.yaml; fi
}

zoo() { # every system of the papers, on the same films and folds
  step "zoo: whole films" python -m stage2_score.whole_films $two/films.yaml --data "$set"
  step "zoo: whole films of the growing hands" python -m stage2_score.whole_films $two/films.yaml --data "$ages"
  step "zoo: joint boxes" python -m stage2_score.crops $two/crops_box.yaml --data "$set" --boxes yolo
  step "zoo: joint boxes of the growing hands" python -m stage2_score.crops $two/crops_box.yaml --data "$ages" --boxes yolo
  step "zoo: pretraining" python -m stage2_score.pretrain $two/zoo/ages*.yaml --data "$ages" "${flags[@]}"
  local systems stack
  systems=$(ls $two/zoo/*.yaml | grep -v /ages)
  if [[ ! -f $work/$set/ratingen.parquet ]]; then
    echo "$set has no Ratingen scores (train/ratingen.csv): the systems that learn them are left out"
    systems=$(ls $two/zoo/*.yaml | grep -v -e /ages -e /rohrbach)
  fi
  step "zoo: systems" python -m stage2_score.train $systems --data "$set" --bone-age "$ages" "${flags[@]}"
  step "zoo: Bo's ensembles" python -m stage3_stack.hands --data "$set" --config $three/hands.yaml
  for stack in $(ls $three/*.yaml | grep -v -e /blend -e /hands); do
    step "zoo: stack $stack" python -m stage3_stack.train --data "$set" --config "$stack"
  done
  step "zoo: every system" python -m evaluation.compare_papers --data "$set" --config stage3_stack/configs/systems.yaml --root "$root"
}

one=stage1_detect/configs/$PROFILE two=stage2_score/configs/$PROFILE three=stage3_stack/configs/$PROFILE
films
case "$SOURCE" in
  scqm_joints) from_joint_crops ;;
  hand_totals)
    growing_hands
    from_hand_totals
    ;;
  *)
    growing_hands
    from_joints
    if [[ -n ${ZOO:-} ]]; then zoo; fi
    ;;
esac
printf '\nfinished in %d s: submissions/%s.csv\n' $((SECONDS - start)) "$set"
