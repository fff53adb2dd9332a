#!/usr/bin/env bash
# Makes models/zaya-mini, a small ZAYA1 model that reasons, from nothing: tasks, tokenizer,
# pre-training on worked solutions, then conversations with think blocks and aggregation prompts.
#
# usage: scripts/make_default_model.sh OUT_DIR [STEPS [TASKS]]
#
# STEPS (default 2600) are those of pre-training; fine-tuning takes half as many. TASKS (default
# 300000) are made. A run that was ended goes on where it was. The model is OUT_DIR/model.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# >= 1 && $# <= 3)) || die "usage: scripts/make_default_model.sh OUT_DIR [STEPS [TASKS]]"
out=$1 steps=${2:-2600} tasks=${3:-300000}
tuning=$((steps / 2))
zaya=${ZAYA:-$root/build/bin/zaya}
[[ -x $zaya ]] || die "build zaya first: ./run help"
recipe=$root/models/zaya-mini
mkdir -p "$out"

if [[ ! -e $out/tasks/done ]]; then
  say "making $tasks tasks"
  python3 "$root/scripts/make_reasoning_tasks.py" "$out/tasks" --count "$tasks"
  mkdir -p "$out/recipe"
  cp "$recipe"/{generation_config.json,tokenizer_config.json,chat_template.jinja} "$out/recipe"
  # The words repeat: a part of the tasks has them all.
  for name in train aggregate; do head -n 5000 "$out/tasks/$name.jsonl" > "$out/tasks/$name.words"; done
  python3 "$root/scripts/make_tiny_tokenizer.py" "$out/recipe/tokenizer.json" "$out/tasks"/*.words
  touch "$out/tasks/done"
fi
if [[ ! -e $out/start/config.json ]]; then
  rm -rf "$out/start"
  "$zaya" init --config "$recipe/config.json" --seed 1 --dtype f32 --text-from "$out/recipe" \
    -o "$out/start"
fi
for name in text train aggregate; do
  "$zaya" prepare "$out/tasks/$name.jsonl" --model "$out/start" --max-tokens 1536 \
    -o "$out/data/$name" >&2
done

# phase NAME MODEL STEPS RATE FINAL_RATE WEIGHTS...: of text, train and aggregate.
phase() {
  cat > "$out/$1.json" <<JSON
{"model": "$2", "out": "$1", "steps": $3,
 "context": 1536, "batch_rows": 6144, "long_documents": "drop",
 "data": [{"path": "data/text", "weight": $6}, {"path": "data/train", "weight": $7},
          {"path": "data/aggregate", "weight": $8}],
 "optimizer": {"rate": $4, "final_rate": $5, "schedule": "wsd", "warmup": $(($3 / 50 + 1)),
               "decay": $(($3 / 4))},
 "checkpoints": {"every": 200}}
JSON
  "$zaya" train "$out/$1.json" >/dev/null
}
phase pretrain start "$steps" 2e-3 5e-4 6 3 3
phase tune "$(printf 'pretrain/step-%08d' "$steps")" "$tuning" 1e-3 2e-5 1 4 8

rm -rf "$out/model"
"$zaya" convert "$out/$(printf 'tune/step-%08d' "$tuning")" --layout native -o "$out/model"
say "$out/model is ready; tasks it has not seen: $out/tasks/held-out.jsonl"
