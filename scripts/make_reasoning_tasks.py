#!/usr/bin/env python3
"""Writes verifiable reasoning tasks with worked solutions: what the default model learns from.

usage: scripts/make_reasoning_tasks.py OUT_DIR [--count N] [--held-out N] [--seed S]

  OUT_DIR/train.jsonl        conversations: a task, thoughts in a think block, a boxed answer
  OUT_DIR/aggregate.jsonl    conversations: the prompt that Markovian RSA gives, with tails of several
                             solutions, right and wrong ones, and a solution made of them
  OUT_DIR/text.jsonl         the same kind of solutions as plain text, for pre-training
  OUT_DIR/held-out.jsonl     {"problem", "answer", "family", "level"}: tasks that are in none of these

Families: addition, subtraction, multiplication, sorting, countdown, order. Levels 1 to 5. A task is
made from (seed, number) alone, so files of any size begin alike.
"""

import argparse
import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"]


def spaced(number):
  return " ".join(str(number))


def addition(rng, level):
  a, b = (rng.randrange(10 ** (level - 1), 10**level) for _ in range(2))
  return f"What is {a} + {b}?", add_steps(a, b), str(a + b)


def add_steps(a, b):
  """Columns from the right, with their carries."""
  lines, carry, digits = [], 0, []
  x, y = str(a)[::-1], str(b)[::-1]
  for i in range(max(len(x), len(y))):
    p, q = (int(s[i]) if i < len(s) else 0 for s in (x, y))
    total = p + q + carry
    lines.append(f"{p}+{q}+{carry}={total}: write {total % 10} carry {total // 10}")
    digits.append(str(total % 10))
    carry = total // 10
  if carry:
    digits.append(str(carry))
    lines.append(f"write {carry}")
  lines.append(f"read {' '.join(digits[::-1])}")
  return lines


def subtraction(rng, level):
  a, b = sorted((rng.randrange(10 ** (level - 1), 10**level) for _ in range(2)), reverse=True)
  lines, borrow, digits = [], 0, []
  x, y = str(a)[::-1], str(b)[::-1].ljust(len(str(a)), "0")
  for p, q in zip(map(int, x), map(int, y)):
    left = p - q - borrow
    lines.append(f"{p}-{q}-{borrow}={left}: write {left % 10} borrow {int(left < 0)}")
    digits.append(str(left % 10))
    borrow = int(left < 0)
  lines.append(f"read {' '.join(digits[::-1])}")
  return f"What is {a} - {b}?", lines, str(a - b)


def multiplication(rng, level):
  a = rng.randrange(10 ** (level - 1), 10**level)
  b = rng.randrange(2, 10) if level < 3 else rng.randrange(11, 100)
  lines, total = [], 0
  for place, digit in enumerate(map(int, str(b)[::-1])):
    carry, out = 0, []
    for d in map(int, str(a)[::-1]):
      product = d * digit + carry
      lines.append(f"{d}*{digit}+{carry}={product}: write {product % 10} carry {product // 10}")
      out.append(str(product % 10))
      carry = product // 10
    if carry:
      out += list(str(carry)[::-1])
    part = a * digit * 10**place
    lines.append(f"part {spaced(part)}")
    if place:
      lines += add_steps(total, part)
    total += part
  return f"What is {a} * {b}?", lines, str(a * b)


def sorting(rng, level):
  numbers = [rng.randrange(100) for _ in range(2 * level + 1)]
  lines, left = [], list(numbers)
  while len(left) > 1:
    least = min(left)
    left.remove(least)
    lines.append(f"least {least}, left {' '.join(map(str, left))}")
  lines.append(f"last {left[0]}")
  task = f"Sort these numbers, the least first: {' '.join(map(str, numbers))}"
  return task, lines, " ".join(map(str, sorted(numbers)))


OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


def attempt(rng, numbers):
  """One random way to join all numbers: steps, value and expression."""
  left = [(n, str(n)) for n in numbers]
  steps = []
  while len(left) > 1:
    (a, x), (b, y) = (left.pop(rng.randrange(len(left))) for _ in range(2))
    if a < b:
      (a, x), (b, y) = (b, y), (a, x)
    symbol = rng.choice("++-*")
    value = OPERATIONS[symbol](a, b)
    steps.append(f"{a}{symbol}{b}={value}")
    left.append((value, f"({x} {symbol} {y})"))
  value, text = left[0]
  return steps, value, text[1:-1] if text.startswith("(") else text


def countdown(rng, level):
  numbers = [rng.randrange(1, 10 + 3 * level) for _ in range(2 + (level + 1) // 2)]
  goal, expression, steps = None, None, None
  while goal is None or not 0 < goal < 200:
    steps, goal, expression = attempt(rng, numbers)
  lines = []
  for _ in range(rng.randrange(6)):
    tried, value, _ = attempt(rng, numbers)
    if value != goal:
      lines.append(f"{', '.join(tried)}: not {goal}")
  lines.append(f"{', '.join(steps)}: yes")
  task = f"Use each of the numbers {' '.join(map(str, numbers))} once with +, - and * to make {goal}."
  return task, lines, expression


def order(rng, level):
  people = rng.sample(NAMES, level + 2)
  facts = [f"{a} is before {b}" for a, b in zip(people, people[1:])]
  rng.shuffle(facts)
  place = rng.randrange(len(people))
  lines, known = [], [people[0]]
  while len(known) < len(people):
    known.append(people[len(known)])
    lines.append(f"{known[-2]} is before {known[-1]}: {' '.join(known)}")
  lines.append(f"place {place + 1} is {people[place]}")
  return f"{'. '.join(facts)}. Who is in place {place + 1} of all?", lines, people[place]


FAMILIES = {"addition": addition, "subtraction": subtraction, "multiplication": multiplication,
            "sorting": sorting, "countdown": countdown, "order": order}


def make(seed, number):
  rng = random.Random(f"{seed} {number}")
  family = rng.choice(list(FAMILIES))
  level = rng.randrange(1, 6)
  return (family, level) + FAMILIES[family](rng, level) + (rng,)


def boxed(answer):
  return f"The answer is \\boxed{{{answer}}}"


def spoil(rng, lines):
  """A solution with a mistake: a digit of a line changes, and what follows is cut now and then."""
  lines = list(lines)
  at = rng.randrange(len(lines))
  digits = [i for i, c in enumerate(lines[at]) if c.isdigit()]
  if digits:
    i = digits[-1]
    lines[at] = lines[at][:i] + str((int(lines[at][i]) + rng.randrange(1, 10)) % 10) + lines[at][i + 1:]
  return lines[:at + 1 + rng.randrange(3)]


def aggregation_prompt(task, candidates):
  """What src/rsa/prompts/mathematics.jinja renders for several candidates."""
  template = (ROOT / "src/rsa/prompts/mathematics.jinja").read_text(encoding="utf-8")
  first, last = (template.split(mark)[1].split("{% else %}")[0].strip("\n")
                 for mark in ("length > 1 %}\n", "{% endfor %}\n"))
  first = first.replace("{{ candidates | length }}", str(len(candidates)))
  shown = "\n".join(f"---- Solution {i} ----\n{text}" for i, text in enumerate(candidates, 1))
  return (f"{first}\n\n[[ Problem ]]:\n{task}\n\n[[ Candidate solutions (may contain mistakes) ]]:\n"
          f"{shown}\n\n{last.strip()}")


def tail(rng, lines):
  """The end of a solution, as a limit of tokens cuts it."""
  return "\n".join(lines[rng.randrange(max(1, len(lines) // 2)):])


def conversation(task, thoughts, answer):
  return {"messages": [{"role": "user", "content": task},
                       {"role": "assistant", "reasoning_content": "\n".join(thoughts),
                        "content": boxed(answer)}]}


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("out", type=pathlib.Path)
  parser.add_argument("--count", type=int, default=20000)
  parser.add_argument("--held-out", type=int, default=1000)
  parser.add_argument("--seed", type=int, default=1)
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  opened = {name: (args.out / f"{name}.jsonl").open("w", encoding="utf-8")
            for name in ("train", "aggregate", "text", "held-out")}

  def write(name, value):
    opened[name].write(json.dumps(value) + "\n")

  asked = set()
  for number in range(args.held_out):
    family, level, task, _, answer, _ = make(args.seed, number)
    if task not in asked:
      asked.add(task)
      write("held-out", {"problem": task, "answer": answer, "family": family, "level": level})
  for number in range(args.held_out, args.held_out + args.count):
    _, _, task, lines, answer, rng = make(args.seed, number)
    if task in asked:
      continue
    write("train", conversation(task, lines, answer))
    write("text", {"text": "\n".join([task, *lines, boxed(answer)])})
    if rng.random() < 0.3:
      wrong = rng.randrange(4)
      solutions = [spoil(rng, lines) if i < wrong else lines for i in range(4)]
      rng.shuffle(solutions)
      prompt = aggregation_prompt(task, [tail(rng, s) for s in solutions])
      write("aggregate", conversation(prompt, lines, answer))
  for file in opened.values():
    file.close()


if __name__ == "__main__":
  main()
