#!/usr/bin/env bash
# What parts of ZAYA1 are worth in training, on models of two million parameters.
#
# usage: bench/training/experiments.sh balancing|attention OUT_DIR [STEPS [SEED]]  (default 400, 1)
#
# balancing: routers without balancing, with DeepSeek-V3's sign rule, with the controller, at
#   several rates, and with an auxiliary loss: steps until the load entropy (mean over layers and ten
#   steps) is 0.99, and the loss.
# attention: Compressed Convolutional Attention against attention that is only compressed, with each
#   of convolutions, means and value shift alone, and without each, at the same number of trained
#   parameters: held-out loss.
#
# Prints a table and draws OUT_DIR/EXPERIMENT.svg. Every run keeps its log in OUT_DIR/NAME/log.jsonl;
# one that was ended goes on where it was.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

(($# >= 2 && $# <= 4)) ||
  die "usage: bench/training/experiments.sh balancing|attention OUT_DIR [STEPS [SEED]]"
experiment=$1 out=$2 steps=${3:-400} seed=${4:-1}
zaya=${ZAYA:-$root/build/bin/zaya}
[[ -x $zaya ]] || die "build zaya first: ./run help"
recipe=$root/models/zaya-mini
mkdir -p "$out"
if [[ ! -e $out/data/held-out ]]; then
  python3 "$root/scripts/make_reasoning_tasks.py" "$out/tasks" --count 60000
  head -n 2000 "$out/tasks/text.jsonl" > "$out/tasks/evaluate.jsonl"
  tail -n +2001 "$out/tasks/text.jsonl" > "$out/tasks/learn.jsonl"
fi

# model NAME EXPERT_WIDTH WITHOUT...
model() {
  [[ -e $out/$1-start/config.json ]] && return
  python3 - "$recipe/config.json" "$out/$1.config.json" "$2" "${@:3}" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config.update(hidden_size=128, num_hidden_layers=4, layer_types=["hybrid"] * 4, head_dim=32,
              moe_intermediate_size=int(sys.argv[3]), router_hidden_size=32, initializer_range=0.088)
if sys.argv[4:]:
  config["zaya_cpp"] = {"attention_without": sys.argv[4:]}
json.dump(config, open(sys.argv[2], "w"))
PY
  rm -rf "$out/$1-start"
  "$zaya" init --config "$out/$1.config.json" --seed "$seed" --dtype f32 --text-from "$recipe" \
    -o "$out/$1-start" >/dev/null
}

# data: of any of the models, as they share their tokenizer.
data() {
  local name
  for name in learn evaluate; do
    "$zaya" prepare "$out/tasks/$name.jsonl" --model "$out/$1-start" -o "$out/data/$name" >/dev/null
  done
  touch "$out/data/held-out"
}

# train NAME MODEL BALANCING
train() {
  cat > "$out/$1.json" <<JSON
{"model": "$2-start", "out": "$1", "seed": $((seed - 1)), "steps": $steps, "context": 512, "batch_rows": 4096,
 "long_documents": "drop", "data": [{"path": "data/learn"}], "balancing": $3,
 "evaluation": {"data": [{"path": "data/evaluate"}], "every": 50, "rows": 65536},
 "optimizer": {"rate": 2e-3, "final_rate": 2e-4, "warmup": 20}}
JSON
  say "$1"
  "$zaya" train "$out/$1.json" >/dev/null
}

names=()
case $experiment in
  balancing)
    model plain 128
    data plain
    names=(none sign-1e-3 sign-1e-4 controller-3e-3 controller-1e-3 controller-3e-4 auxiliary-1e-2)
    for name in "${names[@]}"; do
      kind=${name%%-*} rate=${name#*-}
      case $kind in
        none) rule='"kind": "none"' ;;
        auxiliary) rule="\"kind\": \"none\", \"auxiliary_loss\": $rate" ;;
        *) rule="\"kind\": \"$kind\", \"rate\": $rate" ;;
      esac
      train "$name" plain "{$rule}"
    done
    ;;
  attention)
    # Convolutions are (2 + 1) + (2 x 32 + 1) numbers a channel, of 192: experts of 8 x 3 x 128
    # numbers a unit of width take their place where they are missing.
    model whole 128
    data whole
    model naive 132 convolutions means value_shift
    model convolutions-only 128 means value_shift
    model means-only 132 convolutions value_shift
    model value-shift-only 132 convolutions means
    model no-convolutions 132 convolutions
    model no-means 128 means
    model no-value-shift 128 value_shift
    names=(naive convolutions-only means-only value-shift-only no-convolutions no-means
      no-value-shift whole)
    for name in "${names[@]}"; do train "$name" "$name" '{"rate": 2e-3}'; done
    ;;
  *) die "there is no experiment '$experiment'" ;;
esac

python3 - "$out" "${names[@]}" <<'PY'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
print(f"{'run':18s} {'held-out loss':>13s} {'entropy at end':>15s} {'steps to 0.99':>14s}")
for name in sys.argv[2:]:
  log = [json.loads(line) for line in open(out / name / "log.jsonl")]
  entropy = [sum(l["load_entropy"]) / len(l["load_entropy"]) for l in log]
  # The mean of ten steps, so that one step does not decide.
  smooth = [sum(entropy[max(0, i - 9):i + 1]) / min(10, i + 1) for i in range(len(entropy))]
  reached = next((str(i + 1) for i, e in enumerate(smooth) if e >= 0.99), "never")
  loss = [l["evaluation_loss"] for l in log if "evaluation_loss" in l][-1]
  print(f"{name:18s} {loss:13.4f} {smooth[-1]:15.4f} {reached:>14s}")
PY

curve=(--y evaluation_loss --title "Held-out loss")
[[ $experiment == balancing ]] &&
  curve=(--y load_entropy --smooth 10 --title "Load entropy of the routers, mean of all layers")
logs=("${names[@]/%//log.jsonl}")
"$zaya" plot "${logs[@]/#/$out/}" "${curve[@]}" -o "$out/$experiment.svg"
