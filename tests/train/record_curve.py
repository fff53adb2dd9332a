#!/usr/bin/env python3
"""Records the losses that PyTorch reaches when it trains the small recorded checkpoint.

usage: tests/train/record_curve.py [OUT.json]        (Debian: apt install python3-torch)

An implementation of ZAYA1 and of its training for itself, from the equations of arXiv:2510.04476 and
arXiv:2605.05365: forward pass in PyTorch, gradients by autograd, AdamW and Muon written down here.
The model has the shape of tests/data/goldens/native, starts from what start() gives and takes the
documents that rule() gives; tests/train/curve_test.cpp does the same.
"""

import json
import math
import pathlib
import struct
import sys

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "data/goldens/native"
STEPS, DOCUMENTS, LENGTH = 200, 8, 33
RATE, FINAL_RATE, WARMUP = 2e-3, 2e-4, 10
WEIGHT_DECAY, BETA1, BETA2, EPS, MOMENTUM, CLIP = 0.1, 0.9, 0.95, 1e-8, 0.95, 1.0
BALANCE_RATE = 1e-3


def read_tensors(path):
  data = path.read_bytes()
  size = struct.unpack("<Q", data[:8])[0]
  header = json.loads(data[8:8 + size])
  out = {}
  for name, t in header.items():
    if name == "__metadata__":
      continue
    begin, end = t["data_offsets"]
    assert t["dtype"] == "F32"
    values = torch.frombuffer(bytearray(data[8 + size + begin:8 + size + end]), dtype=torch.float32)
    out[name] = values.reshape(t["shape"]).clone()
  return out


class Draws:
  """A linear congruential generator, easily written down in any language."""

  def __init__(self, seed):
    self.state = seed

  def next(self):
    self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
    return self.state >> 33


def start(shapes):
  """Weights uniform in +-0.06; scales, norms and temperatures 1, biases 0, the skip's -1."""
  out = {}
  for i, name in enumerate(sorted(shapes)):
    shape = shapes[name]
    if name.endswith("balancing_biases"):
      out[name] = torch.zeros(shape)
      out[name][-1] = -1
    elif name.endswith("bias"):
      out[name] = torch.zeros(shape)
    elif name.endswith(("_scale", "norm.weight", ".temp")):
      out[name] = torch.ones(shape)
    else:
      draws = Draws(i + 1)
      values = [0.06 * (draws.next() / 2**30 - 1) for _ in range(math.prod(shape))]
      out[name] = torch.tensor(values, dtype=torch.float64).float().reshape(shape)
  return out


def rule(step, vocab):
  """Documents of a step: walks through `vocab` tokens, with jumps."""
  draws = Draws(step * 7919 + 12345)

  def draw(n):
    return draws.next() % n

  documents = []
  for _ in range(DOCUMENTS):
    token, stride = draw(vocab), 1 + draw(2)
    document = []
    for _ in range(LENGTH):
      document.append(token)
      token = draw(vocab) if draw(10) == 0 else (token + stride) % vocab
    documents.append(document)
  return torch.tensor(documents)


class Model:
  def __init__(self, config, weights):
    self.c = config
    self.w = weights
    for name, t in weights.items():
      t.requires_grad_(not name.endswith("balancing_biases"))

  def norm(self, x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c["rms_norm_eps"]) * w

  def rotate(self, x, theta):
    half = int(self.c["head_dim"] * 0.5) // 2
    inverse = theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[1], dtype=torch.float32)[:, None] * inverse.float()
    cos, sin = angle.cos()[None, :, None], angle.sin()[None, :, None]
    a, b, rest = x[..., :half], x[..., half:2 * half], x[..., 2 * half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)

  def attention(self, n, p):
    c, w = self.c, self.w
    B, T, _ = n.shape
    nq, nk, d = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    q = n @ w[p + "qkv_proj.q_proj.weight"].T
    k = n @ w[p + "qkv_proj.k_proj.weight"].T
    z = F.pad(torch.cat([q, k], -1).transpose(1, 2), (2, 0))
    u = F.conv1d(z, w[p + "qkv_proj.conv_qk_depthwise.weight"],
                 w[p + "qkv_proj.conv_qk_depthwise.bias"], groups=z.shape[1])
    s = F.conv1d(u, w[p + "qkv_proj.conv_qk_grouped.weight"],
                 w[p + "qkv_proj.conv_qk_grouped.bias"], groups=nq + nk).transpose(1, 2)
    q, k = q.view(B, T, nk, nq // nk, d), k.view(B, T, nk, 1, d)
    m = (q + k) / 2
    Q = s[..., :nq * d].reshape(B, T, nq, d) + m.reshape(B, T, nq, d)
    K = s[..., nq * d:].reshape(B, T, nk, d) + m.mean(3)
    unit = lambda x: x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + 1e-12) * math.sqrt(d)
    theta = c["rope_parameters"]["hybrid"]["rope_theta"]
    Q = self.rotate(unit(Q), theta)
    K = self.rotate(unit(K) * w[p + "qk_norm.temp"][:, None], theta)
    v1 = n @ w[p + "qkv_proj.v_proj_current.weight"].T
    v2 = F.pad(n, (0, 0, 1, 0))[:, :-1] @ w[p + "qkv_proj.v_proj_delayed.weight"].T
    V = torch.cat([v1, v2], -1).view(B, T, nk, d)
    K, V = (x.repeat_interleave(nq // nk, 2) for x in (K, V))
    scores = torch.einsum("bihd,bjhd->bhij", Q, K) / math.sqrt(d)
    scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
    o = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), V)
    return o.reshape(B, T, nq * d) @ w[p + "o_proj.weight"].T

  def experts(self, m, p, carried):
    c, w = self.c, self.w
    m = m.reshape(-1, m.shape[-1])
    r = m @ w[p + "gate.down_proj.weight"].T + w[p + "gate.down_proj.bias"]
    if carried is not None:
      r = r + carried * w[p + "gate.router_states_scale"]
    h = self.norm(r, w[p + "gate.router_mlp.norm.weight"])
    h = F.gelu(h @ w[p + "gate.router_mlp.fc1.weight"].T + w[p + "gate.router_mlp.fc1.bias"])
    h = F.gelu(h @ w[p + "gate.router_mlp.fc2.weight"].T + w[p + "gate.router_mlp.fc2.bias"])
    prob = (h @ w[p + "gate.router_mlp.out_proj.weight"].T).softmax(-1)
    choice = (prob.detach() + w[p + "gate.balancing_biases"]).argmax(-1)
    out = torch.zeros_like(m)
    for e in range(c["num_experts"]):
      rows = (choice == e).nonzero()[:, 0]
      if len(rows) == 0:
        continue
      gate, up = (m[rows] @ w[p + "experts.gate_up_proj"][e].T).chunk(2, -1)
      y = (F.silu(gate) * up) @ w[p + "experts.down_proj"][e].T
      out = out.index_add(0, rows, (y * prob[rows, e, None]).to(out.dtype))
    load = torch.bincount(choice, minlength=c["num_experts"] + 1)
    return out, r, load

  def merge(self, o, x, p):
    w = self.w
    return ((o + w[p + "hidden_states_bias"]) * w[p + "hidden_states_scale"] +
            (x + w[p + "residual_bias"]) * w[p + "residual_scale"])

  def loss(self, ids):
    w = self.w
    inputs, targets = ids[:, :-1], ids[:, 1:]
    x = (w["model.embed_tokens.weight"][inputs] + w["model.input_hidden_states_bias"]
         ) * w["model.input_hidden_states_scale"]
    carried, loads = None, []
    for i in range(self.c["num_hidden_layers"]):
      p = f"model.layers.{i}."
      x = self.merge(self.attention(self.norm(x, w[p + "input_layernorm.weight"]), p + "self_attn."),
                     x, p + "post_attention_residual_scale.")
      o, carried, load = self.experts(self.norm(x, w[p + "post_attention_layernorm.weight"]),
                                      p + "mlp.", carried)
      x = self.merge(o.view_as(x), x, p + "post_mlp_residual_scale.")
      loads.append(load)
    logits = self.norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), loads


def is_matrix(name, t):
  return t.dim() >= 2 and "conv_qk" not in name and "embed_tokens" not in name


def orthogonal(g):
  a, b, c = 3.4445, -4.7750, 2.0315
  x = g.T if g.shape[0] > g.shape[1] else g
  x = x / (x.norm() + 1e-7)
  for _ in range(5):
    s = x @ x.T
    x = a * x + (b * s + c * s @ s) @ x
  return x.T if g.shape[0] > g.shape[1] else x


def rate_of(step):
  if step < WARMUP:
    return RATE * (step + 1) / WARMUP
  done = (step - WARMUP) / (STEPS - 1 - WARMUP)
  return FINAL_RATE + (RATE - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def train(muon):
  config = json.loads((GOLDEN / "config.json").read_text())
  shapes = {name: tuple(t.shape) for name, t in read_tensors(GOLDEN / "model.safetensors").items()}
  model = Model(config, start(shapes))
  trained = {name: t for name, t in model.w.items() if t.requires_grad}
  first = {name: torch.zeros_like(t) for name, t in trained.items()}
  second = {name: torch.zeros_like(t) for name, t in trained.items()}
  balance = [(torch.zeros(config["num_experts"]), torch.zeros(config["num_experts"]))
             for _ in range(config["num_hidden_layers"])]
  losses = []
  for step in range(STEPS):
    for t in trained.values():
      t.grad = None
    loss, loads = model.loss(rule(step, config["vocab_size"] // 8))
    loss.backward()
    losses.append(round(loss.item(), 4))
    rate, n = rate_of(step), step + 1
    with torch.no_grad():
      grads = {name: t.grad if t.grad is not None else torch.zeros_like(t)
               for name, t in trained.items()}
      norm = math.sqrt(sum(g.double().pow(2).sum().item() for g in grads.values()))
      clip = min(1.0, CLIP / norm)
      for name, t in trained.items():
        g = grads[name] * clip
        decay = WEIGHT_DECAY if is_matrix(name, t) else 0.0
        if muon and is_matrix(name, t):
          first[name].mul_(MOMENTUM).add_(g)
          u = g + MOMENTUM * first[name]
          slices = u.reshape(-1, u.shape[-2], u.shape[-1])
          u = torch.stack([orthogonal(s) for s in slices]).view_as(t)
          t.mul_(1 - rate * decay).sub_(u * rate * 0.2 * math.sqrt(max(t.shape[-2:])))
        else:
          first[name].mul_(BETA1).add_(g * (1 - BETA1))
          second[name].mul_(BETA2).add_(g * g * (1 - BETA2))
          m, v = first[name] / (1 - BETA1**n), second[name] / (1 - BETA2**n)
          t.sub_(rate * (m / (v.sqrt() + EPS) + decay * t))
      for i, load in enumerate(loads):
        load = load[:-1].float()
        error = load / load.sum() - 1 / len(load)
        m, v = balance[i]
        m.mul_(0.9).add_(error * 0.1)
        v.mul_(0.999).add_(error * error * 0.001)
        bias = model.w[f"model.layers.{i}.mlp.gate.balancing_biases"]
        bias[:-1] -= BALANCE_RATE * (m / (1 - 0.9**n)) / ((v / (1 - 0.999**n)).sqrt() + 1e-8)
    print(f"{'muon' if muon else 'adamw'} step {n} loss {losses[-1]:.4f}", file=sys.stderr)
  return losses


def main():
  torch.manual_seed(0)
  out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data/training/curve.json"
  record = {"torch": torch.__version__, "steps": STEPS, "documents": DOCUMENTS, "length": LENGTH,
            "rate": RATE, "final_rate": FINAL_RATE, "warmup": WARMUP,
            "weight_decay": WEIGHT_DECAY, "balance_rate": BALANCE_RATE,
            "adamw": train(False), "muon": train(True)}
  out.parent.mkdir(parents=True, exist_ok=True)
  out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
  main()
