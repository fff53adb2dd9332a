#!/usr/bin/env python3
"""Aggregation prompts with a model's own attempts, so that it learns from the mistakes it makes.

usage: scripts/make_aggregation_tasks.py problems OUT.jsonl [--count N]
       zaya eval MODEL OUT.jsonl --single 5 --journal JOURNAL ...
       scripts/make_aggregation_tasks.py conversations OUT.jsonl JOURNAL CONVERSATIONS.jsonl

The first writes tasks that are in none of the files of make_reasoning_tasks.py, more hard ones than easy
ones; the last writes conversations: the prompt that Markovian RSA gives for four of the attempts, and a
solution without a mistake.
"""

import argparse
import collections
import json

from make_reasoning_tasks import (ENDINGS, HELD_OUT, Exact, aggregated, aggregation_prompt,
                                  conversation, make)

SEED = 3


def problems(args):
  held_out = {make(1, number)[2] for number in range(HELD_OUT)}
  with open(args.out, "w", encoding="utf-8") as out:
    written = number = 0
    while written < args.count:
      family, level, task, work, rng = make(SEED, number)
      if task not in held_out and rng.random() < (0.15 if family == "order" else level / 5):
        out.write(json.dumps({"id": str(number), "problem": task, "answer": work(Exact())[1]}) + "\n")
        written += 1
      number += 1


def conversations(args):
  with open(args.problems, encoding="utf-8") as file:
    numbers = [int(json.loads(line)["id"]) for line in file]
  attempts = collections.defaultdict(list)
  with open(args.journal, encoding="utf-8") as file:
    for line in file:
      entry = json.loads(line)
      if entry.get("output", {}).get("reasoning", "").strip():
        attempts[entry["problem"]].append(entry["output"]["reasoning"].strip())
  with open(args.out, "w", encoding="utf-8") as out:
    for index, own in sorted(attempts.items()):
      if len(own) < 4:
        continue
      family, _, task, work, rng = make(SEED, numbers[index])
      for _ in range(4):
        shown = rng.sample(own, 4)
        lines, answer = aggregated(rng, family, work, shown)
        right = sum(text.endswith(lines[-1]) for text in shown)
        if right == 4 and rng.random() < 0.8:  # it teaches little
          continue
        asked = task + (ENDINGS[0] if rng.random() < 0.5 else "")
        out.write(json.dumps(conversation(aggregation_prompt(asked, shown), lines, answer)) + "\n")


def main():
  parser = argparse.ArgumentParser()
  commands = parser.add_subparsers(required=True)
  one = commands.add_parser("problems")
  one.add_argument("out")
  one.add_argument("--count", type=int, default=3200)
  one.set_defaults(run=problems)
  two = commands.add_parser("conversations")
  for name in ("problems", "journal", "out"):
    two.add_argument(name)
  two.set_defaults(run=conversations)
  args = parser.parse_args()
  args.run(args)


if __name__ == "__main__":
  main()
