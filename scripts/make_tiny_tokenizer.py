#!/usr/bin/env python3
"""Writes a small tokenizer.json: a BPE of Gemma 3's kind, with ZAYA1's tokens.

usage: scripts/make_tiny_tokenizer.py [OUT.json [TEXTS.jsonl...]]
       (default: models/random-tiny/tokenizer.json)

The special tokens have the ids they have in ZAYA1. All 256 byte tokens are there, so every text can
be encoded. The pieces are learned from the words of the texts (all strings in them), as often as they
occur; without texts from the words below, as if each occurred in proportion to 1 / rank. Only letters
are joined: digits and marks stay tokens of their own, which is what arithmetic needs.
"""

import json
import pathlib
import re
import sys
from collections import Counter

VOCAB = 1024
SPACE = "\u2581"  # stands for a space inside the vocabulary
HEAD = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]  # ids 0..4
TURNS = [  # ids 101..106
    "<zyphra_tool_call>", "</zyphra_tool_call>",
    "<zyphra_tool_response>", "</zyphra_tool_response>",
    "<|im_start|>", "<|im_end|>",
]
THINK = ["<think>", "</think>"]  # the last two ids
SPECIAL = set(HEAD[:4] + ["<|im_start|>", "<|im_end|>"])
CHARACTERS = ["\n", SPACE] + [chr(c) for c in range(0x21, 0x7F)]  # 96: ids 5..100
BYTES = [f"<0x{b:02X}>" for b in range(256)]

WORDS = """
the and of to a in is was that it he for she they with on his her as had at but be all said you were
not this there have from one by what so when out up little then would could like them very him we day
are no time do if into about see went will who or down back saw big came old made just way how get
then over after some upon can good never did an once know two more look again their been has other
your than where before only asked happy little too got its home now long mother tree took friend
found here first found made man us away put thought wanted right people boy girl play think come
something small work still house every any even told eyes head hand under must water night turn new
great place world through years three another many much because does part such also make most well
should while last might us own these each those both number answer question problem means give given
find show let since follow equal sum step total therefore between point value line side first second
third case true false left right start end word letter name list order same different next model
computer language token light dark river mountain forest garden sun moon star sky rain wind snow
summer winter spring morning evening animal dog cat bird fish horse rabbit bear fox king queen prince
castle door window table chair book story song music color red blue green yellow white black bread
apple cake milk tea warm cold fast slow high low deep kind brave quiet loud soft hard easy clever
strong young beautiful wonderful together always sometimes almost around against during without
within behind below above inside outside across along toward until though although however perhaps
really maybe enough nothing everything someone everyone anything themselves himself herself walked
looked jumped laughed smiled cried called opened closed turned started stopped helped played lived
loved learned listened watched waited shouted whispered running walking looking singing talking
playing helping making taking going coming being having doing saying thing things friend friends
child children family father sister brother baby woman city town village country street school
teacher student state government system program information example result reason change power
business company market money price service group member history science nature energy force
"""


def builtin_words():
  """Forms of WORDS and their weights."""
  forms = {}
  for rank, word in enumerate(dict.fromkeys(WORDS.split()), start=1):
    # A word stands mostly inside a sentence, sometimes first in one.
    for form, share in ((SPACE + word, 0.85), (word, 0.10), (word.capitalize(), 0.05)):
      forms[form] = share / rank
  return forms


def strings_of(value):
  if isinstance(value, str):
    yield value
  elif isinstance(value, (list, dict)):
    for item in value.values() if isinstance(value, dict) else value:
      yield from strings_of(item)


def words_of(files):
  """Forms of the words in the strings of JSONL files, and how often they occur."""
  forms = Counter()
  for file in files:
    for line in pathlib.Path(file).read_text(encoding="utf-8").splitlines():
      for text in strings_of(json.loads(line)):
        forms.update(word.replace(" ", SPACE) for word in re.findall(" ?[A-Za-z]+", text))
  return forms


def learn_pieces(forms, count):
  """The `count` most useful merges over weighted words, in the order they are found."""
  words = {form: (list(form), weight) for form, weight in forms.items()}
  merges = []
  while len(merges) < count:
    pairs = Counter()
    for parts, weight in words.values():
      for pair in zip(parts, parts[1:]):
        pairs[pair] += weight
    if not pairs:
      break  # every word is one piece
    best = max(pairs, key=lambda pair: (pairs[pair], pair))
    merges.append(best)
    for parts, _ in words.values():
      i = 0
      while i + 1 < len(parts):
        if (parts[i], parts[i + 1]) == best:
          parts[i:i + 2] = ["".join(best)]
        i += 1
  return merges


def template(*parts):
  return [{"Sequence" if part in "AB" else "SpecialToken": {"id": part, "type_id": kind}}
          for part, kind in parts]


def tokenizer(forms):
  fixed = HEAD + CHARACTERS + TURNS + BYTES
  merges = learn_pieces(forms, VOCAB - len(fixed) - len(THINK))
  vocab = fixed + ["".join(pair) for pair in merges]
  assert len(set(vocab)) == len(vocab) <= VOCAB - len(THINK)
  assert [vocab.index(token) for token in TURNS] == list(range(101, 107))
  ids = {token: i for i, token in enumerate(vocab + THINK)}
  single = [("<bos>", 0), ("A", 0), ("<|im_end|>", 0)]
  return {
      "version": "1.0",
      "truncation": None,
      "padding": None,
      "added_tokens": [
          {"id": ids[token], "content": token, "single_word": False, "lstrip": False,
           "rstrip": False, "normalized": False, "special": token in SPECIAL}
          for token in HEAD + TURNS + THINK
      ],
      "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
      "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                        "behavior": "MergedWithPrevious", "invert": False},
      "post_processor": {
          "type": "TemplateProcessing",
          "single": template(*single),
          "pair": template(*single, ("<bos>", 1), ("B", 1), ("<|im_end|>", 1)),
          "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]}
                             for token in ("<bos>", "<|im_end|>")},
      },
      "decoder": {"type": "Sequence", "decoders": [
          {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
          {"type": "ByteFallback"},
          {"type": "Fuse"},
      ]},
      "model": {
          "type": "BPE",
          "dropout": None,
          "unk_token": "<unk>",
          "continuing_subword_prefix": None,
          "end_of_word_suffix": None,
          "fuse_unk": True,
          "byte_fallback": True,
          "ignore_merges": False,
          "vocab": {token: i for i, token in enumerate(vocab)},
          "merges": [list(pair) for pair in merges],
      },
  }


def main():
  root = pathlib.Path(__file__).resolve().parent.parent
  out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "models/random-tiny/tokenizer.json"
  forms = words_of(sys.argv[2:]) if len(sys.argv) > 2 else builtin_words()
  text = json.dumps(tokenizer(forms), ensure_ascii=False, indent=1)
  # One merge a line reads better than four.
  lines = text.split("\n")
  at = next(i for i, line in enumerate(lines) if '"merges"' in line) + 1
  pairs, closing = lines[at:-3], lines[-3:]
  rows = ["   " + "".join(part.strip() + (" " if part.endswith('",') else "")
                          for part in pairs[i:i + 4]) for i in range(0, len(pairs), 4)]
  out.write_text("\n".join(lines[:at] + rows + closing) + "\n", encoding="utf-8")


if __name__ == "__main__":
  main()
