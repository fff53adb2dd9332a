// The engine against an independent forward pass in double precision, on random models that cover
// everything a config can say. The reference itself is held to recorded outputs of the reference
// implementation, and every tensor to having an effect.
#include "tests/model/reference.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "checkpoint/layout.h"
#include "checkpoint/safetensors.h"
#include "tests/model/random_model.h"

namespace zaya {
namespace {

TEST(Reference, ReproducesTheRecordedOutputs) {
  for (const char* name : {"native", "legacy-sliding", "base-schema"}) {
    const auto folder = std::filesystem::path(ZAYA_TEST_DATA) / "goldens" / name;
    const Checkpoint checkpoint = Checkpoint::open(folder);
    const SafetensorsFile expected(folder / "expected.safetensors");
    const auto ids =
        read_json_file(folder / "expected.json")[0]["input_ids"].get<std::vector<TokenId>>();
    const auto* data = reinterpret_cast<const float*>(expected.tensor("case0.logits").data);
    const std::size_t vocab = checkpoint.config().vocab;
    LogitRows want;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      want.emplace_back(data + t * vocab, data + (t + 1) * vocab);
    }
    const ReferenceRun run = reference_forward(checkpoint.config(), read_weights(checkpoint), ids);
    EXPECT_LT(difference(run.logits, want), 1e-5) << name;
  }
}

// Were a tensor without effect, no comparison could tell whether it is read at all.
TEST(Reference, EveryTensorHasAnEffect) {
  ModelConfig config = small_config();
  config.attention_bias = config.expert_bias = config.head_bias = true;
  config.tied_head = false;
  config.experts = 2;
  RandomModel model(config, 9);
  const std::vector<TokenId> tokens = model.tokens(40);
  const LogitRows before = model.reference(tokens).logits;
  for (auto& [name, values] : model.weights) {
    const std::vector<double> kept = values;
    for (double& v : values) v = 1.25 * v + 0.125;
    EXPECT_GT(difference(model.reference(tokens).logits, before), 5 * kTolerance) << name;
    values = kept;
  }
}

/// A kind of model: what is changed in a small random one.
struct Kind {
  const char* name = "";
  std::function<void(ModelConfig&)> config = [](ModelConfig&) {};
  Layout layout = Layout::native;
  DType dtype = DType::f32;
  std::size_t tokens = 45;  // more than a page
  double skip_bias = 0;     ///< added to the skip class's, which wins about as often as others
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) {
  return out << kind.name;
}

std::vector<Kind> kinds() {
  using C = ModelConfig;
  const auto conv = [](std::size_t time0, std::size_t time1) {
    return [=](C& c) {
      c.conv_time0 = time0;
      c.conv_time1 = time1;
    };
  };
  const auto heads = [](std::size_t q, std::size_t kv, std::size_t dim, double rotated) {
    return [=](C& c) {
      c.heads = q;
      c.kv_heads = kv;
      c.head_dim = dim;
      c.rope.partial_rotary_factor = c.sliding_rope.partial_rotary_factor = rotated;
    };
  };
  const auto everything = [](C& c) {
    c.attention_bias = c.head_bias = c.expert_bias = c.clamp_temp = true;
    c.tied_head = false;
    c.conv_time0 = c.conv_time1 = 3;
    slide(c, {true, false, true}, 6);
  };
  const auto skip_adds_input = [](C& c) { c.skip_adds_input = true; };
  return {
      {.name = "plain"},
      {.name = "attention_bias", .config = [](C& c) { c.attention_bias = true; }},
      {.name = "head_bias", .config = [](C& c) { c.head_bias = true; }},
      {.name = "untied", .config = [](C& c) { c.tied_head = false; }},
      {.name = "untied_head_bias",
       .config =
           [](C& c) {
             c.tied_head = false;
             c.head_bias = true;
           }},
      {.name = "expert_bias", .config = [](C& c) { c.expert_bias = true; }},
      {.name = "no_eda", .config = [](C& c) { c.eda = false; }},
      {.name = "no_skip", .config = [](C& c) { c.skip_class = false; }},
      {.name = "skip_often", .skip_bias = 0.3},
      {.name = "skip_never", .skip_bias = -2},
      {.name = "clamp_temp", .config = [](C& c) { c.clamp_temp = true; }},
      {.name = "conv_3_2", .config = conv(3, 2)},
      {.name = "conv_2_3", .config = conv(2, 3)},
      {.name = "conv_3_3", .config = conv(3, 3)},
      {.name = "conv_1_1", .config = conv(1, 1)},
      {.name = "conv_5_1", .config = conv(5, 1)},
      {.name = "conv_1_4", .config = conv(1, 4)},
      {.name = "heads_1_1", .config = heads(1, 1, 8, 1.0)},
      {.name = "heads_4_1", .config = heads(4, 1, 20, 0.5)},
      {.name = "heads_4_4", .config = heads(4, 4, 32, 0.25)},
      {.name = "heads_8_4", .config = heads(8, 4, 8, 0.75)},
      {.name = "heads_6_2", .config = heads(6, 2, 20, 0.4)},
      {.name = "heads_2_2_of_2", .config = heads(2, 2, 2, 1.0)},
      {.name = "sliding",
       .config =
           [](C& c) {
             slide(c, {false, true, false}, 5);
             c.rope.partial_rotary_factor = 0.75;
           }},
      {.name = "sliding_all_1",
       .config =
           [](C& c) {
             slide(c, {true, true, true}, 1);
           }},
      {.name = "sliding_page",
       .config =
           [](C& c) {
             slide(c, {true, false, true}, 33);
           },
       .tokens = 80},
      {.name = "one_expert", .config = [](C& c) { c.experts = 1; }},
      {.name = "one_class",
       .config =
           [](C& c) {
             c.experts = 1;
             c.skip_class = false;
           }},
      {.name = "many_experts", .config = [](C& c) { c.experts = 16; }},
      {.name = "large_eps", .config = [](C& c) { c.norm_eps = 0.05; }},
      {.name = "everything", .config = everything},
      {.name = "stored_bf16", .config = everything, .dtype = DType::bf16},
      {.name = "stored_f16", .config = everything, .dtype = DType::f16},
      {.name = "legacy", .config = skip_adds_input, .layout = Layout::legacy, .skip_bias = 0.3},
      {.name = "legacy_everything",
       .config =
           [=](C& c) {
             everything(c);
             skip_adds_input(c);
           },
       .layout = Layout::legacy},
      {.name = "legacy_no_skip_no_eda",
       .config =
           [=](C& c) {
             skip_adds_input(c);
             c.skip_class = c.eda = false;
           },
       .layout = Layout::legacy},
  };
}

class EveryKind : public testing::TestWithParam<Kind> {
 protected:
  EveryKind() : model_(config(), 11) {
    model_.layout = GetParam().layout;
    for (std::size_t i = 0; model_.config.skip_class && i < model_.config.layers; ++i) {
      model_.at(i, "mlp.gate.balancing_biases").back() += GetParam().skip_bias;
    }
    model_.store_as(GetParam().dtype);
    tokens_ = model_.tokens(GetParam().tokens);
    want_ = model_.reference(tokens_);
  }

  static ModelConfig config() {
    ModelConfig c = small_config();
    GetParam().config(c);
    return c;
  }

  LogitRows want(std::size_t first, std::size_t last) const {
    return {want_.logits.begin() + static_cast<std::ptrdiff_t>(first),
            want_.logits.begin() + static_cast<std::ptrdiff_t>(last)};
  }

  RandomModel model_;
  std::vector<TokenId> tokens_;
  ReferenceRun want_;
};

TEST_P(EveryKind, CanTell) {
  // Single precision and this one agree on every route: no position needs to be left out.
  EXPECT_GT(want_.margin, 1e-5);
  std::set<std::size_t> seen;
  for (const auto& layer : want_.classes) seen.insert(layer.begin(), layer.end());
  EXPECT_GE(seen.size(), std::min<std::size_t>(model_.config.classes(), 4));
  if (GetParam().skip_bias != 0) {
    EXPECT_EQ(seen.contains(model_.config.experts), GetParam().skip_bias > 0);
  }
}

TEST_P(EveryKind, InOnePass) {
  EXPECT_LT(difference(run_all(*model_.open(), tokens_), want_.logits), kTolerance);
}

TEST_P(EveryKind, InChunks) {
  const auto runner = model_.open(Compute::f32, 2);
  for (const std::size_t chunk : {1, 2, 7, 32}) {
    EXPECT_LT(difference(run_all(*runner, tokens_, chunk), want_.logits), kTolerance) << chunk;
  }
}

TEST_P(EveryKind, InABatch) {
  const auto runner = model_.open(Compute::f32, 2);
  const std::vector<TokenId> other = model_.tokens(9, 2);
  const LogitRows other_want = model_.reference(other).logits;
  const std::span<const TokenId> tokens = tokens_;
  const std::span<const TokenId> rest = other;
  Sequence decoding = runner->new_sequence();
  Sequence prefilling = runner->new_sequence();
  feed_all(*runner, decoding, tokens.first(40));
  Sequence forked = decoding.fork();
  const std::vector<Runner::Item> items{{decoding, tokens.subspan(40, 1), Logits::last},
                                        {prefilling, rest, Logits::all},
                                        {forked, tokens.subspan(40), Logits::all}};
  const auto got = runner->step(items);
  LogitRows rows;
  for (std::size_t r = 0; r < got.size(); r += model_.config.vocab) {
    rows.emplace_back(got.begin() + static_cast<std::ptrdiff_t>(r),
                      got.begin() + static_cast<std::ptrdiff_t>(r + model_.config.vocab));
  }
  LogitRows expected = want(40, 41);
  expected.insert(expected.end(), other_want.begin(), other_want.end());
  const LogitRows tail = want(40, tokens.size());
  expected.insert(expected.end(), tail.begin(), tail.end());
  EXPECT_LT(difference(rows, expected), kTolerance);
}

// Held to a run without the roll-back, far closer than to the reference: what a stale row of the
// convolution state does to the next token is small.
TEST_P(EveryKind, AfterARollback) {
  const auto runner = model_.open();
  const std::span<const TokenId> tokens = tokens_;
  for (const std::size_t kept : {0, 1, 3, 20, 34}) {
    Sequence straight = runner->new_sequence();
    Sequence detour = runner->new_sequence();
    feed_all(*runner, straight, tokens.first(kept));
    feed_all(*runner, detour, tokens.first(kept));
    feed_all(*runner, detour, model_.tokens(6, 5));
    runner->rollback(detour, 6);
    EXPECT_LT(difference(feed_all(*runner, detour, tokens.subspan(kept)),
                         feed_all(*runner, straight, tokens.subspan(kept))),
              1e-7)
        << kept;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryKind, testing::ValuesIn(kinds()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace zaya
