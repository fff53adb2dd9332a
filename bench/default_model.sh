#!/usr/bin/env bash
# What the default model scores on tasks that it has not seen: single outputs and their majority, and
# Markovian RSA with N=8, C=4, T=2, which generates about as many tokens as 24 outputs.
#
# usage: bench/default_model.sh HELD_OUT.jsonl OUT_DIR [PROBLEMS [MODEL]]
#        (default: 300, models/zaya-mini; HELD_OUT.jsonl is one of scripts/make_reasoning_tasks.py)
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

(($# >= 2 && $# <= 4)) || die "usage: bench/default_model.sh HELD_OUT.jsonl OUT_DIR [PROBLEMS [MODEL]]"
tasks=$1 out=$2 problems=${3:-300} model=${4:-$root/models/zaya-mini}
zaya=${ZAYA:-$root/build/bin/zaya}
[[ -x $zaya ]] || die "build zaya first: ./run help"
mkdir -p "$out"
common=("$model" "$tasks" --limit "$problems" --seed 1 --final-tokens 320)
[[ -e $out/majority/results.json ]] ||
  "$zaya" eval "${common[@]}" --single 24 --out "$out/majority" >/dev/null
[[ -e $out/rsa/results.json ]] ||
  "$zaya" eval "${common[@]}" -T 2 -N 8 -C 4 --beta 320 --tau 320 --out "$out/rsa" >/dev/null

# Answers are compared as text: zaya eval takes lists for sets, and the order is half of a sorted one.
python3 - "$tasks" "$out" <<'PY'
import collections, json, math, random, sys

tasks = [json.loads(line) for line in open(sys.argv[1])]
out = sys.argv[2]


def answers(problem):
  """What each candidate of the last stage answered, where it did."""
  return {c: v["answer"] for v in problem["votes"] for c in v["candidates"]}


def voted(chosen, right):
  votes = collections.Counter(chosen[c] for c in sorted(chosen))
  return float(bool(votes) and votes.most_common(1)[0][0] == right)


def mean(problem, right):
  return sum(a == right for a in answers(problem).values()) / problem["candidates"]


rows = []  # task, one output, majority, one candidate of RSA, RSA's vote
runs = {name: json.load(open(f"{out}/{name}/results.json"))["problems"] for name in ("majority", "rsa")}
for single, rsa in zip(runs["majority"], runs["rsa"]):
  task = tasks[int(single["id"]) - 1]
  right = task["answer"]
  rows.append((task, mean(single, right), voted(answers(single), right), mean(rsa, right),
               voted(answers(rsa), right)))
tokens = {name: sum(p["usage"]["output_tokens"] for p in problems) / len(problems)
          for name, problems in runs.items()}


def interval(values):
  middle = sum(values) / len(values)
  half = 1.96 * math.sqrt(sum((v - middle) ** 2 for v in values) / len(values) / (len(values) - 1))
  return f"{100 * middle:.1f} ({100 * (middle - half):.1f} to {100 * (middle + half):.1f})"


def percent(values):
  return f"{100 * sum(values) / len(values):.0f}" if values else "-"


print("| | right, percent | tokens a task |\n|---|---|---|")
for name, column, cost in (("one output (mean of 24)", 1, tokens["majority"] / 24),
                           ("majority of 24 outputs", 2, tokens["majority"]),
                           ("Markovian RSA, one candidate of the last stage", 3, tokens["rsa"]),
                           ("Markovian RSA, its vote", 4, tokens["rsa"])):
  print(f"| {name} | {interval([r[column] for r in rows])} | {cost:.0f} |")

random.seed(1)
print("\n| k of the 24 outputs | majority right, percent | any right | tokens a task |\n|---|---|---|---|")
curves = {name: open(f"{out}/{name}.jsonl", "w") for name in ("majority", "best")}
for k in (1, 2, 3, 4, 6, 8, 12, 16, 20, 24):
  sums = dict.fromkeys(curves, 0)
  for problem, row in zip(runs["majority"], rows):
    given = answers(problem)
    for _ in range(200):
      chosen = {c: given[c] for c in random.sample(range(24), k) if c in given}
      sums["majority"] += voted(chosen, row[0]["answer"])
      sums["best"] += row[0]["answer"] in chosen.values()
  shares = {name: right / 200 / len(rows) for name, right in sums.items()}
  cost = k * tokens["majority"] / 24
  print(f"| {k} | {100 * shares['majority']:.1f} | {100 * shares['best']:.1f} | {cost:.0f} |")
  for name, file in curves.items():
    file.write(json.dumps({"tokens": cost, "accuracy": shares[name]}) + "\n")
for file in curves.values():
  file.close()
for name, column in (("candidate", 3), ("vote", 4)):
  with open(f"{out}/rsa-{name}.jsonl", "w") as file:
    file.write(json.dumps({"tokens": tokens["rsa"],
                           "accuracy": sum(r[column] for r in rows) / len(rows)}) + "\n")

print("\n| family | tasks | one output | majority of 24 | Markovian RSA | one output, level 1 to 5 |")
print("|---|---|---|---|---|---|")
groups = collections.defaultdict(list)
for row in rows:
  groups[row[0]["family"]].append(row)
for family, own in sorted(groups.items(), key=lambda g: -sum(r[1] for r in g[1]) / len(g[1])):
  levels = " ".join(percent([r[1] for r in own if r[0]["level"] == level]) for level in range(1, 6))
  print(f"| {family} | {len(own)} | {percent([r[1] for r in own])} | {percent([r[2] for r in own])} | "
        f"{percent([r[4] for r in own])} | {levels} |")
PY
"$zaya" plot "$out"/{majority,best,rsa-vote,rsa-candidate}.jsonl --x tokens --y accuracy \
  --name "majority of 1 to 24 outputs" --name "best of as many, by an oracle" --name "Markovian RSA, vote" --name "Markovian RSA, one candidate" \
  -o "$out/accuracy.svg"
