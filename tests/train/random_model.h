#pragma once

#include <memory>
#include <vector>

#include "base/random.h"
#include "train/model.h"
#include "train/shard.h"

namespace zaya::train {

/// Two query heads a kv head, EDA over three layers, one of them sliding, a head of its own.
inline ModelConfig small_config(bool tied = false) {
  ModelConfig c;
  c.vocab = 29;
  c.hidden = 20;
  c.layers = 3;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.experts = 3;
  c.expert_width = 12;
  c.router_hidden = 6;
  c.max_positions = 64;
  c.sliding = {false, true, false};
  c.window = 4;
  c.sliding_rope.theta = 100;
  c.tied_head = tied;
  return c;
}

/// Every parameter random: scales and norms around 1, the rest around 0; balancing biases that give
/// every class, the skip too, some tokens.
template <class T>
void randomize(Model<T>& model, std::uint64_t seed) {
  for (const TensorInfo& t : model.layout()) {
    Random random(seed, t.offset);
    const bool around_one =
        t.name.ends_with("_scale") || t.name.ends_with("norm.weight") || t.name.ends_with(".temp");
    const double deviation = t.balancing() ? 0.2 : 0.3;
    for (std::size_t i = 0; i < t.elements; ++i) {
      model.parameters()[t.offset + i] =
          static_cast<T>((around_one ? 1 : 0) + deviation * random.normal());
    }
  }
}

inline std::vector<std::vector<TokenId>> random_documents(const std::vector<std::size_t>& lengths,
                                                          std::size_t vocab, std::uint64_t seed) {
  std::vector<std::vector<TokenId>> out;
  Random random(seed);
  for (const std::size_t n : lengths) {
    out.emplace_back();
    for (std::size_t i = 0; i < n; ++i) {
      out.back().push_back(static_cast<TokenId>(random.next() % vocab));
    }
  }
  return out;
}

/// Sequences that count up by three from a random start: easy to learn, not at once.
inline Examples counting_examples(std::size_t count, TokenId vocab) {
  Examples examples;
  Random random(1);
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<TokenId> tokens(random.next() % 20 + 4);
    tokens[0] = static_cast<TokenId>(random.next() % static_cast<std::uint64_t>(vocab));
    for (std::size_t j = 1; j < tokens.size(); ++j) tokens[j] = (tokens[j - 1] + 3) % vocab;
    examples.add(tokens, std::vector<std::uint8_t>(tokens.size(), 1));
  }
  return examples;
}

inline PackedBatch pack(const std::vector<std::vector<TokenId>>& documents) {
  PackedBatch batch;
  for (const auto& document : documents) batch.add(document);
  return batch;
}

}  // namespace zaya::train
