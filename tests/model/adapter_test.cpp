// LoRA adapters in the forward pass: held to the independent reference with merged weights
// W + scale B A, and to the promise that a row's bits depend on its own adapter alone.
#include "model/adapter.h"

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/checkpoint/adapter_files.h"
#include "tests/checkpoint/helpers.h"
#include "tests/model/random_model.h"

namespace zaya {
namespace {

const std::vector<Projection> kAll{Projection::q, Projection::k, Projection::v_current,
                                   Projection::v_delayed, Projection::o};
constexpr double kScale = 1.5;  // of AdapterFiles

/// The model with W + scale B A in place of W.
RandomModel merged(RandomModel model, const AdapterFiles& files) {
  const std::vector<StoredTensor> table = tensor_table(model.config, model.layout);
  for (const StoredTensor& t : table) {
    const auto module = "base_model.model." + t.name.substr(0, t.name.rfind('.'));
    const auto a = files.tensors.find(module + ".lora_A.weight");
    if (a == files.tensors.end() || !t.name.ends_with(".weight")) continue;
    const auto& b = files.tensors.at(module + ".lora_B.weight");
    std::vector<double>& w = model.weights.at(t.parts.front());
    const std::size_t rank = b.shape[1];
    const std::size_t in = a->second.shape[1];
    for (std::size_t i = 0; i < w.size(); ++i) {
      for (std::size_t r = 0; r < rank; ++r) {
        w[i] += kScale * static_cast<double>(b.values[i / in * rank + r]) *
                static_cast<double>(a->second.values[r * in + i % in]);
      }
    }
  }
  return model;
}

class AdapterTest : public FolderTest {
 protected:
  static AdapterFiles files(const RandomModel& model, const std::vector<Projection>& projections,
                            std::uint64_t seed = 1) {
    AdapterFiles out;
    out.config["target_modules"] = nullptr;
    for (std::size_t i = 0; i < model.config.layers; ++i) {
      out.add_layer(model.config, model.layout, i, projections, seed);
    }
    return out;
  }
  std::shared_ptr<const Adapter> load(const Runner& runner, const AdapterFiles& of) {
    of.write(folder_);
    return std::make_shared<const Adapter>(runner.model().load_adapter(folder_));
  }
  static LogitRows run(Runner& runner, const std::shared_ptr<const Adapter>& adapter,
                       std::span<const TokenId> tokens, std::size_t chunk = 1U << 20) {
    Sequence sequence = runner.new_sequence(adapter);
    return feed_all(runner, sequence, tokens, chunk);
  }
};

/// Runs `body` once with each instruction set of the host.
void on_every_isa(const std::function<void()>& body) {
  for (const Isa isa : host_isas()) {
    SCOPED_TRACE(std::string(isa_name(isa)));
    ::setenv("ZAYA_ISA", std::string(isa_name(isa)).c_str(), 1);
    body();
  }
  ::unsetenv("ZAYA_ISA");
}

using AdapterPass = AdapterTest;

ModelConfig everything() {
  ModelConfig c = small_config();
  c.attention_bias = c.head_bias = c.expert_bias = c.clamp_temp = true;
  c.conv_time0 = c.conv_time1 = 3;
  slide(c, {true, false, true}, 6);
  return c;
}

TEST_F(AdapterPass, GivesTheLogitsOfMergedWeightsOnEveryIsa) {
  for (const Layout layout : {Layout::native, Layout::legacy}) {
    for (const ModelConfig& config : {small_config(), everything()}) {
      RandomModel model(config, 11);
      model.layout = layout;
      if (layout == Layout::legacy) model.config.skip_adds_input = true;
      const std::vector<TokenId> tokens = model.tokens(45);
      const AdapterFiles adapter = files(model, kAll);
      const ReferenceRun want = merged(model, adapter).reference(tokens);
      ASSERT_GT(want.margin, 1e-5);
      EXPECT_GT(difference(model.reference(tokens).logits, want.logits), 0.05) << "it does a lot";
      on_every_isa([&] {
        const auto runner = model.open(Compute::f32, 2);
        const auto loaded = load(*runner, adapter);
        EXPECT_LT(difference(run(*runner, loaded, tokens), want.logits), kTolerance);
        EXPECT_LT(difference(run(*runner, loaded, tokens, 7), want.logits), kTolerance);
      });
    }
  }
}

TEST_F(AdapterPass, OfEachProjectionAlone) {
  const RandomModel model(everything(), 3);
  const std::vector<TokenId> tokens = model.tokens(45);
  const LogitRows base = model.reference(tokens).logits;
  const auto runner = model.open();
  for (const Projection p : kAll) {
    const AdapterFiles adapter = files(model, {p});
    const ReferenceRun want = merged(model, adapter).reference(tokens);
    ASSERT_GT(want.margin, 1e-5);
    EXPECT_GT(difference(base, want.logits), 50 * kTolerance);
    EXPECT_LT(difference(run(*runner, load(*runner, adapter), tokens), want.logits), kTolerance)
        << static_cast<int>(p);
  }
}

// Every token is sent to one expert, so that rounding changes no route.
TEST_F(AdapterPass, FastComputeStaysAsCloseAsItIsWithout) {
  RandomModel model(small_config(), 11);
  for (std::size_t i = 0; i < model.config.layers; ++i) model.force_class(i, i);
  model.store_as(DType::bf16);
  const std::vector<TokenId> tokens = model.tokens(45);
  const LogitRows base = model.reference(tokens).logits;
  const AdapterFiles adapter = files(model, kAll);
  const LogitRows want = merged(model, adapter).reference(tokens).logits;
  EXPECT_GT(difference(base, want), 0.1);
  on_every_isa([&] {
    const auto runner = model.open(Compute::fast, 2);
    const double without = difference(run(*runner, nullptr, tokens), base);
    EXPECT_LT(difference(run(*runner, load(*runner, adapter), tokens), want), 2 * without + 0.005);
  });
}

TEST_F(AdapterPass, ARowsBitsDependOnItsOwnAdapterAlone) {
  for (const Compute compute : {Compute::f32, Compute::fast}) {
    const RandomModel model(everything(), 11);
    on_every_isa([&] {
      const auto alone = model.open(compute, 1);
      const auto together = model.open(compute, 3);
      // Adapters of all, of some and of no layers in common; two sequences of one of them.
      const std::vector<std::vector<Projection>> parts{
          kAll, {Projection::o}, {Projection::k, Projection::v_delayed}};
      std::vector<std::shared_ptr<const Adapter>> adapters{nullptr};
      for (std::size_t i = 0; i < parts.size(); ++i) {
        adapters.push_back(load(*alone, files(model, parts[i], i)));
      }
      adapters.push_back(adapters[1]);
      adapters.push_back(nullptr);
      std::vector<std::vector<TokenId>> tokens;
      std::vector<LogitRows> want;
      std::vector<Sequence> sequences;
      for (std::size_t i = 0; i < adapters.size(); ++i) {
        tokens.push_back(model.tokens(20 + 9 * i, i));
        want.push_back(run(*alone, adapters[i], tokens[i]));
        sequences.push_back(together->new_sequence(adapters[i]));
      }
      std::vector<LogitRows> got(adapters.size());
      for (bool more = true; more;) {
        std::vector<Runner::Item> items;
        std::vector<std::size_t> which;
        for (std::size_t i = 0; i < adapters.size(); ++i) {
          const std::size_t at = sequences[i].length();
          const std::size_t n = std::min<std::size_t>(tokens[i].size() - at, 1 + 7 * i % 20);
          if (n == 0) continue;
          items.push_back({sequences[i], std::span(tokens[i]).subspan(at, n), Logits::all});
          which.insert(which.end(), n, i);
        }
        more = !items.empty();
        if (!more) break;
        const auto logits = together->step(items);
        const std::size_t vocab = model.config.vocab;
        for (std::size_t r = 0; r < which.size(); ++r) {
          const auto row = logits.subspan(r * vocab, vocab);
          got[which[r]].emplace_back(row.begin(), row.end());
        }
      }
      for (std::size_t i = 0; i < adapters.size(); ++i) EXPECT_EQ(got[i], want[i]) << i;
    });
  }
}

TEST_F(AdapterPass, ForksAndRollBacksKeepTheAdapter) {
  const RandomModel model(everything(), 11);
  const auto runner = model.open(Compute::fast);
  const auto adapter = load(*runner, files(model, kAll));
  const std::vector<TokenId> tokens = model.tokens(60);
  const LogitRows want = run(*runner, adapter, tokens);
  Sequence straight = runner->new_sequence(adapter);
  feed_all(*runner, straight, tokens);
  for (const std::size_t kept : {0, 1, 5, 33, 59}) {
    Sequence sequence = straight.fork();
    EXPECT_EQ(sequence.adapter(), adapter);
    runner->rollback(sequence, tokens.size() - kept);
    EXPECT_EQ(feed_all(*runner, sequence, std::span(tokens).subspan(kept)),
              LogitRows(want.begin() + static_cast<long>(kept), want.end()))
        << kept;
  }
}

TEST_F(AdapterPass, KnowsTheFirstLayerWhoseKeysAndValuesItChanges) {
  const RandomModel model(small_config(), 1);
  const auto runner = model.open();
  const auto first = [&](const std::vector<std::pair<std::size_t, Projection>>& parts) {
    AdapterFiles f;
    f.config["target_modules"] = nullptr;
    for (const auto& [layer, p] : parts) f.add_layer(model.config, Layout::native, layer, {p}, 1);
    return load(*runner, f)->first_changed_kv();
  };
  for (const Projection p :
       {Projection::q, Projection::k, Projection::v_current, Projection::v_delayed}) {
    EXPECT_EQ(first({{0, p}}), 0U);
    EXPECT_EQ(first({{2, p}}), 2U);
    EXPECT_EQ(first({{1, Projection::o}, {2, p}}), 2U);
    EXPECT_EQ(first({{0, Projection::o}, {2, p}}), 1U);
  }
  EXPECT_EQ(first({{2, Projection::o}}), 3U) << "the last layer's o changes logits only";
}

TEST_F(AdapterPass, AnUntrainedAdapterChangesNoBit) {
  const RandomModel model(small_config(), 11);
  const auto runner = model.open(Compute::fast);
  AdapterFiles untrained = files(model, kAll);
  for (auto& [name, t] : untrained.tensors) {
    if (name.find("lora_B") != std::string::npos) t.values.assign(t.values.size(), 0);
  }
  const std::vector<TokenId> tokens = model.tokens(30);
  const auto adapter = load(*runner, untrained);
  EXPECT_EQ(run(*runner, adapter, tokens), run(*runner, nullptr, tokens));
  EXPECT_EQ(adapter->first_changed_kv(), model.config.layers);
}

}  // namespace
}  // namespace zaya
