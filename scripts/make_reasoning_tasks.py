#!/usr/bin/env python3
"""Writes verifiable reasoning tasks with worked solutions: what the default model learns from.

usage: scripts/make_reasoning_tasks.py OUT_DIR [--count N] [--seed S] [--text SHARE] [--easy]

  OUT_DIR/train.jsonl        conversations: a task, thoughts in a think block, a boxed answer
  OUT_DIR/aggregate.jsonl    conversations: the prompt that Markovian RSA gives, with the thoughts of
                             several candidates, most with mistakes, and a solution without any
  OUT_DIR/text.jsonl         solutions as plain text, for pre-training
  OUT_DIR/held-out.jsonl     {"problem", "answer", "family", "level", "kind"}: tasks that are in none of these

Families: addition, subtraction, products, chain, sorting, operators, order. Levels 1 to 5, each as
often as the others, or easy ones more often. A task is made from (seed, number) alone, so files of any
size begin alike; the held-out ones are the same for every seed.
"""

import argparse
import itertools
import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What people may say after a task; zaya eval says the first.
ENDINGS = ["\n\nWork it out step by step, and put the final answer in \\boxed{}.",
           "\n\nThink step by step.", " Put the answer in \\boxed{}."]
NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"]


class Exact:
  """Steps as they should be."""

  def number(self, value):
    return value

  def items(self, values):
    return values


class Slips:
  """Steps of someone who errs: a number or a list comes out wrong at the given rate, and what
  follows builds on it."""

  def __init__(self, rng, rate):
    self.rng, self.rate = rng, rate

  def number(self, value):
    if self.rng.random() >= self.rate:
      return value
    digits = list(str(abs(value)))
    at = self.rng.randrange(len(digits))
    digits[at] = str((int(digits[at]) + self.rng.choice((1, 2, 5, 8, 9))) % 10)
    return int("".join(digits)) * (-1 if value < 0 else 1)

  def items(self, values):
    if len(values) < 2 or self.rng.random() >= self.rate:
      return values
    i, j = self.rng.sample(range(len(values)), 2)
    values = list(values)
    values[i], values[j] = values[j], values[i]
    return values


# A family makes, from a generator of random numbers and a level, a task and work(slips): the lines of
# thought, of which the last is the result, and the answer that they lead to.


def addition(rng, level):
  a, b = (rng.randrange(10 ** (2 * level - 2), 10 ** (2 * level)) for _ in range(2))

  def work(slips):
    lines, carry, digits = [], 0, ""
    x, y = str(a)[::-1], str(b)[::-1]
    for i in range(max(len(x), len(y))):
      p, q = (int(s[i]) if i < len(s) else 0 for s in (x, y))
      total = slips.number(p + q + carry)
      lines.append(f"{p}+{q}+{carry}={total}")
      digits = str(total % 10) + digits
      carry = min(total // 10, 1)
    digits = ("1" if carry else "") + digits
    return lines + [digits], digits

  return f"What is {a} + {b}?", work


def subtraction(rng, level):
  a, b = sorted((rng.randrange(10 ** (2 * level - 2), 10 ** (2 * level)) for _ in range(2)),
                reverse=True)

  def work(slips):
    lines, borrow, digits = [], 0, ""
    x, y = str(a)[::-1], str(b)[::-1].ljust(len(str(a)), "0")
    for p, q in zip(map(int, x), map(int, y)):
      less = p - borrow < q
      left = slips.number(p + 10 * less - q - borrow)
      lines.append(f"{p + 10 * less}-{q}-{borrow}={left}")
      digits = str(left % 10) + digits
      borrow = int(less)
    digits = str(int(digits))
    return lines + [digits], digits

  return f"What is {a} - {b}?", work


def products(rng, level):
  """Products in the head, then their sum: parts that do not depend on one another."""
  largest = 100 if level < 3 else 1000
  terms = [(rng.randrange(11, largest), rng.randrange(2, 10)) for _ in range(level + 1)]

  def work(slips):
    parts = [slips.number(a * b) for a, b in terms]
    lines = [f"{a}*{b}={part}" for (a, b), part in zip(terms, parts)]
    total = parts[0]
    for part in parts[1:]:
      last, total = total, slips.number(total + part)
      lines.append(f"{last}+{part}={total}")
    return lines + [str(total)], str(total)

  return f"What is {' + '.join(f'{a} * {b}' for a, b in terms)}?", work


def chain(rng, level):
  """Each step needs the one before."""
  start, steps, value = rng.randrange(2, 100), [], 0
  value = start
  for _ in range(2 * level):
    symbol = rng.choice([s for s in "+-*" if s != "*" or value < 200])
    n = rng.randrange(2, 5) if symbol == "*" else rng.randrange(2, 100 if symbol == "+" else
                                                                max(3, min(99, value)))
    value = value + n if symbol == "+" else value - n if symbol == "-" else value * n
    steps.append((symbol, n))
  words = {"+": "add {}", "-": "take away {}", "*": "times {}"}

  def work(slips):
    now, lines = start, []
    for symbol, n in steps:
      last = now
      now = slips.number(now + n if symbol == "+" else now - n if symbol == "-" else now * n)
      lines.append(f"{last}{symbol}{n}={now}")
    return lines + [str(now)], str(now)

  told = ", ".join(words[symbol].format(n) for symbol, n in steps)
  return f"Start with {start}: {told}. What is the result?", work


def sorting(rng, level):
  """Sorted in threes, then merged."""
  numbers = rng.sample(range(100), 2 * level + 1)

  def work(slips):
    parts, lines = [], []
    for i in range(0, len(numbers), 3):
      parts.append(slips.items(sorted(numbers[i:i + 3])))
      lines.append(f"{' '.join(map(str, numbers[i:i + 3]))}: {' '.join(map(str, parts[-1]))}")
    merged, left = [], [list(p) for p in parts]
    while any(left):  # as a merge does, even of parts that are not sorted
      least = min((p for p in left if p), key=lambda p: p[0])
      merged.append(least.pop(0))
    answer = ", ".join(map(str, slips.items(merged)))
    return lines + [answer], answer

  return f"Sort these numbers, the least first: {' '.join(map(str, numbers))}", work


def from_left(numbers, symbols):
  value, seen = numbers[0], [numbers[0]]
  for n, symbol in zip(numbers[1:], symbols):
    value = value + n if symbol == "+" else value - n if symbol == "-" else value * n
    seen.append(value)
  return value, seen


def operators(rng, level):
  """A search: which of the symbols make the value, where only one choice does."""
  count = level + 2 if level < 4 else level + 1
  while True:
    numbers = [rng.randrange(2, 10) for _ in range(count)]
    found = {}
    for symbols in itertools.product("+-*", repeat=count - 1):
      found.setdefault(from_left(numbers, symbols)[0], []).append(symbols)
    alone = [(v, s[0]) for v, s in found.items() if len(s) == 1 and 0 <= v < 500]
    if alone:
      break
  value, right = alone[rng.randrange(len(alone))]

  def work(slips, tries=None, unfinished=False):
    lines = []
    for _ in range(rng.randrange(4) if tries is None else tries):
      symbols = tuple(rng.choice("+-*") for _ in range(count - 1))
      if symbols != right:
        lines.append(tried(numbers, symbols))
    if unfinished:
      return lines or [tried(numbers, ("+",) * (count - 1))], None
    answer = ", ".join(right)
    return lines + [tried(numbers, right), answer], answer

  def tried(numbers, symbols):
    _, seen = from_left(numbers, symbols)
    text = str(numbers[0])
    for n, symbol, now in zip(numbers[1:], symbols, seen[1:]):
      text += f"{symbol}{n}={now}"
    return text

  task = f"Put +, - or * between the numbers {' '.join(map(str, numbers))}, counting from the left, to make {value}."
  return task, work


def order(rng, level):
  people = rng.sample(NAMES, level + 2)
  facts = [f"{a} is before {b}" for a, b in zip(people, people[1:])]
  rng.shuffle(facts)
  place = rng.randrange(len(people))

  def work(slips):
    known = slips.items(people)
    return [" ".join(known), f"{place + 1} is {known[place]}"], known[place]

  return f"{'. '.join(facts)}. Who is number {place + 1}?", work


FAMILIES = {"addition": addition, "subtraction": subtraction, "products": products, "chain": chain,
            "sorting": sorting, "operators": operators, "order": order}


HELD_OUT = 1000  # the first tasks of seed 1


def make(seed, number, easy=False):
  rng = random.Random(f"{seed} {number}")
  family = rng.choice(list(FAMILIES))
  level = rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 4, 5)) if easy else rng.randrange(1, 6)
  return (family, level) + FAMILIES[family](rng, level) + (rng,)


def boxed(answer):
  return f"\\boxed{{{answer}}}"


def aggregation_prompt(task, candidates):
  """What src/rsa/prompts/mathematics.jinja renders for several candidates."""
  template = (ROOT / "src/rsa/prompts/mathematics.jinja").read_text(encoding="utf-8")
  first, last = (template.split(mark)[1].split("{% else %}")[0].strip("\n")
                 for mark in ("length > 1 %}\n", "{% endfor %}\n"))
  first = first.replace("{{ candidates | length }}", str(len(candidates)))
  shown = "\n".join(f"---- Solution {i} ----\n{text}" for i, text in enumerate(candidates, 1))
  return (f"{first}\n\n[[ Problem ]]:\n{task}\n\n[[ Candidate solutions (may contain mistakes) ]]:\n"
          f"{shown}\n\n{last.strip()}")


def candidates_of(rng, family, work):
  """Thoughts of four candidates for one task. A tail may lack its beginning."""
  rate = rng.choice((0.03, 0.1, 0.2, 0.3))
  thoughts = []
  for _ in range(4):
    if family == "operators" and rng.random() < 0.6:
      lines, _ = work(Exact(), tries=3 + rng.randrange(4), unfinished=True)
    else:
      lines, _ = work(Slips(rng, rate))
    if rng.random() < 0.05:
      lines = lines[rng.randrange(len(lines)):]
    thoughts.append("\n".join(lines))
  return thoughts


def aggregated(rng, family, work, shown):
  """The solution that follows the shown candidates, and its answer. A search that one of them ended
  is not repeated; one that all left open goes on for longer than theirs."""
  lines, answer = work(Exact())
  if family != "operators":
    return lines, answer
  if any(lines[-2] in text for text in shown):
    return lines[-2:], answer
  return work(Exact(), tries=2 + rng.randrange(6))


def direct(task, lines, answer):
  """Without a think block."""
  return {"messages": [{"role": "user", "content": task},
                       {"role": "assistant", "content": "\n".join([*lines, boxed(answer)])}]}


def conversation(task, thoughts, answer):
  return {"messages": [{"role": "user", "content": task},
                       {"role": "assistant", "reasoning_content": "\n".join(thoughts),
                        "content": boxed(answer)}]}


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("out", type=pathlib.Path)
  parser.add_argument("--count", type=int, default=20000)
  parser.add_argument("--seed", type=int, default=1)
  parser.add_argument("--text", type=float, default=0.5)
  parser.add_argument("--easy", action="store_true")
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  opened = {name: (args.out / f"{name}.jsonl").open("w", encoding="utf-8")
            for name in ("train", "aggregate", "text", "held-out")}

  def write(name, value):
    opened[name].write(json.dumps(value) + "\n")

  asked = set()
  for number in range(HELD_OUT):
    family, level, task, work, _ = make(1, number)
    if task not in asked:
      asked.add(task)
      # As mathematics a list is the same in any order.
      write("held-out", {"problem": task, "answer": work(Exact())[1], "family": family,
                         "level": level, "kind": "text" if family == "sorting" else "mathematics"})
  for number in range(HELD_OUT, HELD_OUT + args.count):
    family, _, task, work, rng = make(args.seed, number, args.easy)
    if task in asked:
      continue
    lines, answer = work(Exact())
    if rng.random() < 0.4:
      task += rng.choice(ENDINGS)
    # Each task once as text or as a conversation: others are made as easily.
    if rng.random() < args.text:
      write("text", {"text": "\n".join([task, *lines, boxed(answer)])})
    elif rng.random() < 0.6:
      write("train", (direct if rng.random() < 0.05 else conversation)(task, lines, answer))
    else:
      shown = candidates_of(rng, family, work)
      lines, answer = aggregated(rng, family, work, shown)
      write("aggregate", conversation(aggregation_prompt(task, shown), lines, answer))
  for file in opened.values():
    file.close()


if __name__ == "__main__":
  main()
