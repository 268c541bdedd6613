#!/usr/bin/env bash
# Trains the checkpoints of the leaderboard, several at a time, on a GPU.
#
#   train_all.sh TRAIN OUT [FAMILY/MODEL...]     default: all of the list
#
# TRAIN is the program //tools:train; OUT gets a folder for each run. A run
# that is already finished is left alone; an interrupted one is resumed, so the
# same command continues where it stopped. Environment:
#   LIST       the list of runs (list.txt)
#   JOBS       runs at a time on each GPU (6)
#   GPUS       their number (1)
#   DEVICE     cuda or cpu (cuda)
#   SECONDS_LIMIT  end every run, as it is then, after that long (none)
#   EXPORT     folder that gets FAMILY/MODEL/{config.json, model.safetensors,
#              log.jsonl} of every run that is finished
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
train="$1"
out="$2"
shift 2
jobs="${JOBS:-6}"
gpus="${GPUS:-1}"
export device="${DEVICE:-cuda}" train out here
export limit="${SECONDS_LIMIT:-100000000}" begin="$SECONDS" start_time
start_time="$(date +%s)"

one() { # gpu-slot family/model overrides...
  local slot="$1" run="$2"
  shift 2
  local family="${run%/*}" model="${run#*/}" folder="$out/$run"
  [ ! -e "$folder/final/config.json" ] || return 0
  local left=$((limit - ($(date +%s) - start_time)))
  [ "$left" -gt 0 ] || return 0
  mkdir -p "$folder"
  local sets=("--set" "name=$model") assignment
  for assignment in "$@"; do sets+=("--set" "$assignment"); done
  local resume=()
  [ ! -e "$folder/last" ] || resume=(--resume)
  CUDA_VISIBLE_DEVICES="$slot" "$train" --time_limit="$left" --config="$here/$family.json" --out="$folder" --threads=1 \
    --device="$device" "${resume[@]}" "${sets[@]}" \
    >>"$folder/output.txt" 2>&1
  echo "$run: exit $? $(grep -a -E 'evaluation|solved' "$folder/output.txt" |
    tail -n 1)"
}
export -f one

# The list: FAMILY/MODEL and its --set assignments, one run a line.
list="$here/${LIST:-list.txt}"
selected() {
  if [ $# -eq 0 ]; then
    grep -v -e '^#' -e '^$' "$list"
  else
    local run
    for run in "$@"; do grep "^$run\( \|$\)" "$list"; done
  fi
}
number=0
selected "$@" | while read -r line; do
  echo "$((number++ % gpus)) $line"
done | xargs -P "$((jobs * gpus))" -I{} bash -c 'one {}'

if [ -n "${EXPORT:-}" ]; then
  for final in "$out"/*/*/final; do
    run="${final%/final}"
    to="$EXPORT/${run#"$out/"}"
    mkdir -p "$to"
    cp "$final/config.json" "$final/model.safetensors" "$to/"
    cp "$run/log.jsonl" "$to/"
  done
fi
