#!/usr/bin/env bash
# Makes a small ZAYA1 model that reasons, from nothing: tasks, tokenizer, pre-training on worked
# solutions, then conversations with think blocks and aggregation prompts.
#
# usage: scripts/make_default_model.sh OUT_DIR [STEPS [TASKS]]
#
# STEPS (default 9000) are those of pre-training; fine-tuning takes half as many. TASKS (default
# 300000) are made. A run that was ended goes on where it was. The model is OUT_DIR/model.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# >= 1 && $# <= 3)) || die "usage: scripts/make_default_model.sh OUT_DIR [STEPS [TASKS]]"
out=$1 steps=${2:-9000} tasks=${3:-300000}
tuning=$((steps / 2))
zaya=${ZAYA:-$root/build/bin/zaya}
[[ -x $zaya ]] || die "build zaya first: ./run help"
mkdir -p "$out"

if [[ ! -e $out/tasks/done ]]; then
  python3 "$root/scripts/make_reasoning_tasks.py" "$out/tasks" --count "$tasks"
  mkdir -p "$out/recipe"
  cp "$root/models/random-tiny"/{generation_config,tokenizer_config}.json "$out/recipe"
  # The words repeat: a part of the tasks has them all.
  for name in train aggregate; do head -n 5000 "$out/tasks/$name.jsonl" > "$out/tasks/$name.words"; done
  python3 "$root/scripts/make_tiny_tokenizer.py" "$out/recipe/tokenizer.json" "$out/tasks"/*.words
  touch "$out/tasks/done"
fi
if [[ ! -e $out/start/config.json ]]; then
  python3 - "$root/models/random-tiny/config.json" "$out/config.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config.update(hidden_size=256, num_hidden_layers=6, layer_types=["hybrid"] * 6, head_dim=64,
              num_attention_heads=4, num_key_value_heads=2, num_experts=8,
              moe_intermediate_size=256, router_hidden_size=64, initializer_range=0.02,
              max_position_embeddings=2048, eos_token_id=[1, 106])
json.dump(config, open(sys.argv[2], "w"), indent=2)
PY
  rm -rf "$out/start"
  "$zaya" init --config "$out/config.json" --seed 1 --dtype f32 --text-from "$out/recipe" \
    -o "$out/start"
fi
for name in text train aggregate; do
  "$zaya" prepare "$out/tasks/$name.jsonl" --model "$out/start" --max-tokens 1536 \
    -o "$out/data/$name" >&2
done

optimizer() {
  printf '"optimizer": {"rate": %s, "final_rate": %s, "schedule": "wsd", "warmup": %d, "decay": %d}' \
    "$1" "$2" "$(($3 / 50 + 1))" "$(($3 / 5))"
}
sizes='"context": 1536, "batch_rows": 6144, "long_documents": "drop"'
cat > "$out/pretrain.json" <<JSON
{"model": "start", "out": "pretrain", "steps": $steps, $sizes,
 "data": [{"path": "data/text", "weight": 3}, {"path": "data/train", "weight": 1}],
 $(optimizer 2e-3 2e-4 "$steps"), "checkpoints": {"every": 200}}
JSON
"$zaya" train "$out/pretrain.json" >/dev/null
cat > "$out/tune.json" <<JSON
{"model": "$(printf 'pretrain/step-%08d' "$steps")", "out": "tune", "steps": $tuning, $sizes,
 "data": [{"path": "data/train", "weight": 2}, {"path": "data/aggregate", "weight": 1}],
 $(optimizer 1e-3 5e-5 "$tuning"), "checkpoints": {"every": 200}}
JSON
"$zaya" train "$out/tune.json" >/dev/null

rm -rf "$out/model"
"$zaya" convert "$out/$(printf 'tune/step-%08d' "$tuning")" --layout native -o "$out/model"
say "$out/model is ready; tasks it has not seen: $out/tasks/held-out.jsonl"
