#!/usr/bin/env bash
# Makes models/zaya-mini, a small ZAYA1 model that reasons, from nothing: tasks, tokenizer, then
# four phases of training: solutions as text and as conversations; practice on more and easier tasks;
# fine-tuning, most of it on the aggregation prompts of Markovian RSA; aggregation of its own attempts.
#
# usage: scripts/make_default_model.sh OUT_DIR [SHARE]
#
# SHARE (default 1) of the tasks and steps: 0.01 tries it out. A run that was ended goes on where it
# was. The model is OUT_DIR/model.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# >= 1 && $# <= 2)) || die "usage: scripts/make_default_model.sh OUT_DIR [SHARE]"
out=$1 share=${2:-1}
zaya=${ZAYA:-$root/build/bin/zaya}
[[ -x $zaya ]] || die "build zaya first: ./run help"
recipe=$root/models/zaya-mini
mkdir -p "$out"

of() { awk -v n="$1" -v s="$share" 'BEGIN { n = int(n * s); print (n > 2 ? n : 2) }'; }

# tasks NAME COUNT OPTIONS...
tasks() {
  [[ -e $out/$1/done ]] && return
  say "making $2 tasks"
  python3 "$root/scripts/make_reasoning_tasks.py" "$out/$1" --count "$2" "${@:3}"
  touch "$out/$1/done"
}
tasks tasks "$(of 300000)"
tasks practice "$(of 250000)" --seed 2 --text 0 --easy
if [[ ! -e $out/start/config.json ]]; then
  mkdir -p "$out/recipe"
  cp "$recipe"/{generation_config.json,tokenizer_config.json,chat_template.jinja} "$out/recipe"
  # The words repeat: a part of the tasks has them all.
  for name in train aggregate; do head -n 5000 "$out/tasks/$name.jsonl" > "$out/$name.words"; done
  python3 "$root/scripts/make_tiny_tokenizer.py" "$out/recipe/tokenizer.json" \
    "$out/aggregate.words" "$out/train.words"
  rm -rf "$out/start"
  "$zaya" init --config "$recipe/config.json" --seed 1 --dtype f32 --text-from "$out/recipe" \
    -o "$out/start"
fi

# phase NAME MODEL STEPS OPTIMIZER BALANCING_RATE SOURCE WEIGHT...
phase() {
  local name data=''
  local -a sources=("${@:6}")
  for ((i = 0; i < ${#sources[@]}; i += 2)); do
    name=${sources[i]}
    "$zaya" prepare "$out/$name.jsonl" --model "$out/start" --max-tokens 1536 \
      -o "$out/data/$name" >&2
    data+="${data:+, }{\"path\": \"data/$name\", \"weight\": ${sources[i + 1]}}"
  done
  cat > "$out/$1.json" <<JSON
{"model": "$2", "out": "$1", "steps": $3,
 "context": 1536, "batch_rows": 6144, "long_documents": "drop",
 "data": [$data],
 "optimizer": {$4},
 "balancing": {"rate": $5}, "checkpoints": {"every": 200}}
JSON
  "$zaya" train "$out/$1.json" >/dev/null
}
last() { printf '%s/step-%08d' "$1" "$2"; }

first=$(of 832) second=$(of 1500) third=$(of 1000) fourth=$(of 800)
phase pretrain start "$first" \
  '"rate": 4e-3, "final_rate": 4e-3, "schedule": "constant", "warmup": 57' 2e-3 \
  tasks/text 6 tasks/train 3 tasks/aggregate 3
phase practice-run "$(last pretrain "$first")" "$second" \
  "\"rate\": 4e-3, \"final_rate\": 1e-3, \"schedule\": \"wsd\", \"warmup\": 20, \"decay\": $((second / 2))" 5e-3 \
  practice/train 2 practice/aggregate 1
phase tune "$(last practice-run "$second")" "$third" \
  '"rate": 1.5e-3, "final_rate": 2e-5, "schedule": "linear", "warmup": 10' 2e-3 \
  tasks/train 1 tasks/aggregate 2

if [[ ! -e $out/own.jsonl ]]; then
  say "attempts of its own"
  aggregation=$root/scripts/make_aggregation_tasks.py
  python3 "$aggregation" problems "$out/own-problems.jsonl" --count "$(of 3200)"
  keep=--journal
  [[ -e $out/own.journal ]] && keep=--resume
  "$zaya" eval "$out/$(last tune "$third")" "$out/own-problems.jsonl" --single 5 --seed 1 \
    --final-tokens 320 "$keep" "$out/own.journal" >/dev/null
  python3 "$aggregation" conversations "$out/own-problems.jsonl" "$out/own.journal" \
    "$out/own.part.jsonl"
  mv "$out/own.part.jsonl" "$out/own.jsonl"
fi
phase aggregate "$(last tune "$third")" "$fourth" \
  '"rate": 1e-3, "final_rate": 2e-5, "schedule": "linear", "warmup": 10' 2e-3 \
  own 4 tasks/aggregate 1 tasks/train 1

"$zaya" plot "$out"/{pretrain,practice-run,tune,aggregate}/log.jsonl --log-y --smooth 20 \
  --title "Loss of the four phases" -o "$out/loss.svg"
rm -rf "$out/model"
"$zaya" convert "$out/$(last aggregate "$fourth")" --layout native -o "$out/model"
say "$out/model is ready; tasks it has not seen: $out/tasks/held-out.jsonl"
