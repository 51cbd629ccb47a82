#!/usr/bin/env bash
# From films to a scored submission and a report:
#
#   bash run_all.sh                         the synthetic default cohort
#   bash run_all.sh DATA_DIR                a folder in the RA2-DREAM layout
#   SOURCE=NAME bash run_all.sh DATA_DIR    another layout: ram_h1200, hand_totals, scqm_joints (docs/data_formats.md)
#   bash run_all.sh --no-report [DATA_DIR]  without the report
#
# Settings, written before the command:
#   PROFILE=smoke|demo|full      size of every experiment (default demo, for two cores; full is for a GPU)
#   NAMES="total=SHS file=image" your names of a table's columns, role=name
#   BONEAGE_DIR=DIR              films to pretrain on, in the RSNA Bone Age layout (default: generated growing hands)
#   PAPERS=1                     afterwards train every system of the papers and print one table of all systems
#   WANDB=1                      also log to Weights & Biases (offline unless WANDB_MODE is set)
# Finished steps are skipped; a killed call resumes where it stopped.
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
explained=()
case "$SOURCE" in # task: a folder of configs/ with the experiments of each stage; stack: the run that makes the submission
  ra2dream | ram_h1200 | phantom) task=joints stack=blend explained=(configs/joints/members/{resnet,whole}.yaml) ;;
  hand_totals) task=hand_totals stack=totals ;;
  scqm_joints) task=joint_visits stack=visits ;;
  *)
    echo "error: SOURCE=$SOURCE is not one of ra2dream, ram_h1200, hand_totals, scqm_joints, phantom" >&2
    exit 2
    ;;
esac
if (($# > 1)) || [[ ${1:-} == -* || ($SOURCE != phantom && -z ${1:-}) ]]; then
  sed -n '2,16s/^# \{0,1\}//p' "$0"
  exit 2
fi
data_dir=${1:+$(realpath -m -- "$1")}
boneage_dir=${BONEAGE_DIR:+$(realpath -m -- "$BONEAGE_DIR")}
cd "$(dirname "$0")"
if [[ -n $data_dir && ! -d $data_dir ]]; then
  echo "error: $1 is not a folder; give the folder that holds the set (docs/data_formats.md)" >&2
  exit 2
fi
source setup.sh
raw=${RA_DATA:-data}/raw
work=${RA_DATA:-data}/work
size=(--profile "$PROFILE")
wandb=(${WANDB:+--wandb})

step() {
  printf '\n[%3d s] %s\n' $((SECONDS - start)) "$1"
  shift
  python -m "$@"
}

prepare_films() { # prepares DATA_DIR, or the generated cohort if there is none
  if [[ -z $data_dir ]]; then
    set=phantom-$PROFILE root=$raw/phantom-$PROFILE
    step "films: the synthetic cohort" data.phantom.make --config configs/phantom/cohort.yaml "${size[@]}" --only cohort
  else
    set=$(basename "$data_dir" | tr -c 'A-Za-z0-9_.\n-' _)-$PROFILE root=$data_dir
  fi
  local columns=() name folds
  folds=$([[ $PROFILE == full ]] && echo 5 || echo 3)
  for name in ${NAMES:-}; do columns+=(--column "$name"); done
  step "prepare $set" data.prepare --source "$SOURCE" --root "$root" --data "$set" --folds "$folds" "${columns[@]}"
}

prepare_growing_hands() { # prepares films of known bone age, on which the backbones are pretrained
  if [[ -z $boneage_dir ]]; then
    ages=boneage-$PROFILE boneage_dir=$raw/boneage-$PROFILE
    step "films: growing hands to pretrain on" data.phantom.make --config configs/phantom/cohort.yaml "${size[@]}" --only boneage
  else
    ages=$(basename "$boneage_dir" | tr -c 'A-Za-z0-9_.\n-' _)-ages
  fi
  step "prepare $ages" data.prepare --source rsna_boneage --root "$boneage_dir" --data "$ages"
}

train_task() { # TASK: runs every experiment of configs/TASK, stage by stage; a stage without a folder there is skipped
  local configs=configs/$1 sets=("$set") name
  [[ -d $configs/pretrain ]] && sets+=("$ages")
  if [[ -d $configs/detect ]]; then
    for name in "${sets[@]}"; do
      [[ $name != "$set" && -f $work/$name/boxes.parquet ]] && continue # the set came with joint boxes
      step "stage 1: joints of $name" stage1_detect.train $configs/detect --data "$name" "${size[@]}" "${wandb[@]}"
    done
  fi
  for name in "${sets[@]}"; do
    step "stage 2: pictures of $name" stage2_score.pictures $configs/pictures --data "$name" "${size[@]}"
  done
  if [[ -d $configs/pretrain ]]; then
    step "stage 2: pretraining" stage2_score.pretrain $configs/pretrain --data "$ages" "${size[@]}" "${wandb[@]}"
  fi
  step "stage 2: members" stage2_score.train $configs/members --data "$set" --bone-age "${ages:-none}" "${size[@]}" "${wandb[@]}"
  step "stage 3: stacks" stage3_stack.train $configs/stack --data "$set" "${size[@]}"
}

finish_stack() { # RUN: writes the intervals, submission, results and report of this stack
  step "stage 3: intervals" stage3_stack.intervals --data "$set" --run "$1"
  step "stage 3: submission" stage3_stack.submit --data "$set" --run "$1"
  step "results" evaluation.results --data "$set" --run "$1"
  if [[ -n $report ]]; then
    if ((${#explained[@]})); then step "report: explanations" stage2_score.explain "${explained[@]}" --data "$set" "${size[@]}"; fi
    step "report" report --data "$set" --run "$1" --if-changed
  fi
}

prepare_films
if [[ -d configs/$task/pretrain ]]; then prepare_growing_hands; fi
train_task $task
finish_stack $stack
if [[ -n ${PAPERS:-} && $task == joints ]]; then
  train_task papers
  step "papers: every system" evaluation.compare_papers --data "$set" --root "$root"
fi
printf '\nfinished in %d s: submissions/%s.csv\n' $((SECONDS - start)) "$set"
