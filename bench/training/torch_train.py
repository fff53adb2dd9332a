#!/usr/bin/env python3
"""Tokens a second that PyTorch trains a ZAYA1 model with, in bf16 (autocast) with AdamW.

usage: torch_train.py MODEL CONTEXT ROWS STEPS      The model is that of tests/train/record_curve.py.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/train"))

import json  # noqa: E402

import torch  # noqa: E402
from record_curve import Model, read_tensors  # noqa: E402


def main():
  folder, context, rows, steps = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
  config = json.loads((folder / "config.json").read_text())
  model = Model(config, read_tensors(folder / "model.safetensors"))
  trained = [t for t in model.w.values() if t.requires_grad]
  optimizer = torch.optim.AdamW(trained, lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, foreach=True)
  torch.manual_seed(0)
  ids = torch.randint(config["vocab_size"], (rows // context, context + 1))
  seconds = []
  for _ in range(steps):
    start = time.monotonic()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
      loss, _ = model.loss(ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    seconds.append(time.monotonic() - start)
  counted = seconds[3:]
  print(ids[:, 1:].numel() * len(counted) / sum(counted))


if __name__ == "__main__":
  main()
