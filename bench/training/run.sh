#!/usr/bin/env bash
# Training speed of a 20M-parameter model: zaya train beside Debian's PyTorch (python3-torch, which
# is not in packages.txt), both in bf16 on the same tokens, with AdamW. Prints tokens a second of
# each, MFU of zaya, and the ratio.
#
# usage: bench/training/run.sh [STEPS]     (default 20; the first three are not counted)
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

steps=${1:-20} context=512 rows=4096
here=$root/bench/training
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
zaya=$root/build/bin/zaya
[[ -x $zaya ]] || die "build zaya first: ./run help"

"$zaya" init --config "$here/config.json" --seed 1 --dtype f32 --text-from "$root/models/random-tiny" \
  -o "$work/model"
# Words of a small dictionary: the tokens matter little, their number does.
awk -v n=4000 'BEGIN { srand(1); split("the cat and dog number seven over under question answer", w, " ");
  for (i = 0; i < n; ++i) { s = ""; for (j = 0; j < 600; ++j) s = s w[int(rand() * 10) + 1] " ";
  print "{\"text\": \"" s "\"}" } }' > "$work/text.jsonl"
"$zaya" prepare "$work/text.jsonl" --model "$work/model" -o "$work/data" >&2
cat > "$work/run.json" <<JSON
{"model": "model", "out": "out", "data": [{"path": "data"}], "steps": $steps, "context": $context,
 "batch_rows": $rows, "optimizer": {"kind": "adamw"}}
JSON
"$zaya" train "$work/run.json" >/dev/null
ours=$(python3 - "$work/out/log.jsonl" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])][3:]
print(sum(l["rows"] for l in lines) / sum(l["seconds"] for l in lines))
PY
)
printf 'zaya     %8.0f tokens/s\n' "$ours"
torch_python=
for python in /usr/bin/python3 python3; do
  "$python" -c 'import torch' 2>/dev/null && torch_python=$python && break
done
if [[ -z $torch_python ]]; then
  say "PyTorch is not installed (apt install python3-torch): nothing to compare with"
  exit
fi
theirs=$("$torch_python" "$here/torch_train.py" "$work/model" "$context" "$rows" "$steps")
printf 'PyTorch  %8.0f tokens/s\n' "$theirs"
awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "ratio    %8.1f\n", a / b }'
