// LoRA adapters: their gradients, their files, and that the engine computes what was trained.
#include "train/lora.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/convert.h"
#include "checkpoint/output_folder.h"
#include "checkpoint/quantize.h"
#include "engine/runner.h"
#include "tests/train/finite_differences.h"
#include "tests/train/random_model.h"
#include "tests/train/thread_ranks.h"
#include "train/shard.h"
#include "train/trainer.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

/// Rows of 32: what int4 asks for.
ModelConfig lora_config(bool tied) {
  ModelConfig c = small_config(tied);
  c.vocab = 64;
  c.hidden = 32;
  c.expert_width = 32;
  c.eos = {1};
  return c;
}

class LoraTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("zaya-lora-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "data");
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// A checkpoint of random weights, and the model that they are.
  std::shared_ptr<const Checkpoint> base(const ModelConfig& config, const std::string& name,
                                         std::vector<float>* weights = nullptr) {
    Model<float> model(config, {}, kernels_of(Isa::scalar), GemmKind::f32, pool_);
    randomize(model, 5);
    std::vector<TensorSpec> specs;
    for (const TensorInfo& t : model.layout()) specs.push_back({t.name, DType::f32, t.shape});
    OutputFolder out(folder_ / name);
    out.write_tensors(
        specs, kDefaultShardBytes, [&](const TensorSpec& spec, SafetensorsWriter& writer) {
          for (const TensorInfo& t : model.layout()) {
            if (t.name != spec.name) continue;
            writer.append(
                std::as_bytes(std::span(model.parameters()).subspan(t.offset, t.elements)));
          }
        });
    write_file(out.staging() / "config.json", native_config_json(config, "float32").dump());
    out.commit();
    if (weights != nullptr) *weights = model.parameters();
    return std::make_shared<const Checkpoint>(Checkpoint::open(folder_ / name));
  }

  void write_data() const {
    write_shard(folder_ / "data/0.tokens", counting_examples(200, 64), {});
  }
  Json json(const std::string& model, const std::string& out, std::uint64_t steps) const {
    return {{"model", model},
            {"out", out},
            {"steps", steps},
            {"data", {{{"path", "data"}}}},
            {"context", 32},
            {"batch_rows", 64},
            {"accumulate", 2},
            {"precision", "f32"},
            {"lora", {{"rank", 4}, {"alpha", 8}}},
            {"optimizer", {{"rate", 0.01}}},
            {"checkpoints", {{"every", 5}}}};
  }
  /// Runs it, and returns losses and norms.
  std::vector<double> train(const Json& json, std::uint64_t stop = 0, std::size_t count = 1) {
    std::vector<double> seen;
    ThreadRanks::run(count, [&](Communicator& ranks) {
      ThreadPool pool(1);
      Trainer t(parse_run_config(json, "test", folder_), kernels_of(selected_isa()), pool, ranks);
      t.run([&](const StepReport& r) {
        if (ranks.rank() == 0) seen.insert(seen.end(), {r.loss, r.norm});
        return r.step != stop;
      });
    });
    return seen;
  }
  std::string refusal(const std::function<void(Json&)>& change) {
    Json j = json("model", "out", 5);
    change(j);
    try {
      train(j);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  fs::path folder_;
  ThreadPool pool_{2};
};

LoraOptions every_target() {
  return {.rank = 3, .alpha = 5};
}

/// All of the adapter random: B too, which begins as zero.
template <class T>
void fill_adapter(Model<T>& model) {
  Random random(9);
  for (T& v : model.parameters()) v = static_cast<T>(0.2 * random.normal());
}

TEST_F(LoraTest, GradientsMatchFiniteDifferencesAndTheMergedModel) {
  for (const bool tied : {true, false}) {
    std::vector<float> weights;
    const ModelConfig config = lora_config(tied);
    const auto checkpoint = base(config, tied ? "tied" : "own", &weights);
    const LoraOptions options = every_target();
    for (const bool recompute : {false, true}) {
      Model<double> lora(checkpoint, options, 1, {.recompute = recompute}, kernels_of(Isa::scalar),
                         GemmKind::f32, pool_);
      fill_adapter(lora);
      PackedBatch batch = pack(random_documents({9, 2, 7}, config.vocab, 1));
      batch.targets[3] = PackedBatch::kNoTarget;
      const double sum = lora.forward_backward(batch, 0.3);
      const Doubles gradients = lora.gradients();
      EXPECT_NEAR(lora.evaluate(batch), sum, 1e-9);

      // A full model with W + scale B A.
      Model<double> merged(config, {}, kernels_of(Isa::scalar), GemmKind::f32, pool_);
      std::copy(weights.begin(), weights.end(), merged.parameters().begin());
      const auto each_pair = [&](auto&& f) {
        for (std::size_t i = 0; i < lora.layout().size(); i += 2) {
          const TensorInfo& a = lora.layout()[i];
          const std::string prefix = "base_model.model.";
          const std::string name =
              a.name.substr(prefix.size(), a.name.find(".lora_A") - prefix.size()) + ".weight";
          for (const TensorInfo& t : merged.layout()) {
            if (t.name == name) f(a, lora.layout()[i + 1], t);
          }
        }
      };
      std::size_t pairs = 0;
      each_pair([&](const TensorInfo& a, const TensorInfo& b, const TensorInfo& w) {
        ++pairs;
        for (std::size_t i = 0; i < w.elements; ++i) {
          for (std::size_t r = 0; r < 3; ++r) {
            merged.parameters()[w.offset + i] +=
                5.0 / 3 * lora.parameters()[b.offset + i / w.shape[1] * 3 + r] *
                lora.parameters()[a.offset + r * w.shape[1] + i % w.shape[1]];
          }
        }
      });
      EXPECT_EQ(pairs, 15U);
      EXPECT_NEAR(merged.forward_backward(batch, 0.3), sum, 1e-9);
      EXPECT_EQ(merged.loads(), lora.loads());
      // dA = scale B^T dW, dB = scale dW A^T.
      each_pair([&](const TensorInfo& a, const TensorInfo& b, const TensorInfo& w) {
        const double* dw = merged.gradients().data() + w.offset;
        const std::size_t in = w.shape[1];
        for (std::size_t r = 0; r < 3; ++r) {
          for (std::size_t j = 0; j < in; ++j) {
            double want = 0;
            for (std::size_t i = 0; i < w.shape[0]; ++i) {
              want += 5.0 / 3 * lora.parameters()[b.offset + i * 3 + r] * dw[i * in + j];
            }
            ASSERT_NEAR(gradients[a.offset + r * in + j], want, 1e-10) << a.name;
          }
          for (std::size_t i = 0; i < w.shape[0]; ++i) {
            double want = 0;
            for (std::size_t j = 0; j < in; ++j) {
              want += 5.0 / 3 * lora.parameters()[a.offset + r * in + j] * dw[i * in + j];
            }
            ASSERT_NEAR(gradients[b.offset + i * 3 + r], want, 1e-10) << b.name;
          }
        }
      });
      const auto loss = [&] { return 0.3 * lora.evaluate(batch); };
      for (const TensorInfo& t : lora.layout()) {
        expect_gradient(t.name.c_str(), lora.parameters().data() + t.offset, t.elements,
                        gradients.data() + t.offset, loss, 6);
      }
    }
  }
}

TEST_F(LoraTest, BeginsAsTheBase) {
  const ModelConfig config = lora_config(true);
  std::vector<float> weights;
  const auto checkpoint = base(config, "model", &weights);
  Model<float> full(config, {}, kernels_of(selected_isa()), GemmKind::f32, pool_);
  std::copy(weights.begin(), weights.end(), full.parameters().begin());
  Model<float> lora(checkpoint, every_target(), 1, {}, kernels_of(selected_isa()), GemmKind::f32,
                    pool_);
  const PackedBatch batch = pack(random_documents({30, 40}, config.vocab, 1));
  EXPECT_NEAR(lora.evaluate(batch), full.evaluate(batch), 1e-4 * full.evaluate(batch));
  EXPECT_EQ(lora.parameters().size(), arena_size(lora.layout()));
  EXPECT_LT(lora.parameters().size(), full.parameters().size() / 2);
}

// A vocabulary of more than one block.
TEST_F(LoraTest, FrozenHeadIsTheHead) {
  ModelConfig config = lora_config(false);
  config.vocab = 9000;
  config.hidden = 8;
  std::vector<float> weights;
  const auto checkpoint = base(config, "wide", &weights);
  Context<double> context(kernels_of(Isa::scalar), GemmKind::f32, pool_);
  FrozenBase<double> frozen(checkpoint, kernels_of(Isa::scalar), pool_);
  const std::vector<TensorInfo> layout = arena_layout(config);
  const Doubles parameters(weights.begin(), weights.end());
  const auto tensors = bind_tensors<const double>(config, layout, parameters.data());
  PackedBatch batch = pack(random_documents({34, 3}, config.vocab, 1));
  batch.targets[5] = PackedBatch::kNoTarget;
  const Doubles x = random_doubles(batch.rows() * 8, 2);
  Doubles want(x.size()), got(x.size()), dnorm(8), dhead(config.vocab * 8);
  const double loss =
      Head<double>(config).loss(context, tensors.final_norm, tensors.head, batch, x.data(), 0.5,
                                want.data(), dnorm.data(), dhead.data());
  FrozenHead<double> head(config);
  EXPECT_NEAR(head.loss(context, frozen, batch, x.data(), 0.5, got.data()), loss, 1e-9 * loss);
  EXPECT_NEAR(head.loss(context, frozen, batch, x.data(), 0, nullptr), loss, 1e-9 * loss);
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-10) << i;
}

TEST_F(LoraTest, TheEngineComputesWhatWasTrained) {
  write_data();
  quantize(*base(lora_config(true), "model"), quantize_preset("q4"), folder_ / "q4");
  base(lora_config(false), "own");
  for (const std::string name : {"own", "q4"}) {
    Json j = json(name, "out-" + name, 25);
    if (name == "own") j["lora"]["targets"] = {"k_proj", "o_proj"};
    const RunConfig c = parse_run_config(j, "test", folder_);
    Trainer t(c, kernels_of(selected_isa()), pool_);
    const auto document = random_documents({50}, 64, 3)[0];
    const double before = t.model().evaluate(pack({document}));
    std::vector<double> losses;
    t.run([&](const StepReport& r) {
      losses.push_back(r.loss);
      return true;
    });
    EXPECT_LT(losses.back(), losses.front());
    const double trained = t.model().evaluate(pack({document}));
    EXPECT_GT(std::abs(trained - before), 1);

    const auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(folder_ / name));
    EXPECT_EQ(checkpoint->is_quantized(), name == "q4");
    Runner runner(checkpoint, {.compute = Compute::f32, .threads = 1});
    const auto cross_entropy = [&](std::shared_ptr<const Adapter> adapter) {
      Sequence sequence = runner.new_sequence(std::move(adapter));
      const Runner::Item item{sequence, document, Logits::all};
      const auto logits = runner.step({&item, 1});
      double sum = 0;
      for (std::size_t i = 0; i + 1 < document.size(); ++i) {
        double total = 0;
        for (std::size_t v = 0; v < 64; ++v) {
          total += std::exp(static_cast<double>(logits[i * 64 + v]));
        }
        sum += std::log(total) -
               static_cast<double>(logits[i * 64 + static_cast<std::size_t>(document[i + 1])]);
      }
      return sum;
    };
    const auto adapter =
        std::make_shared<const Adapter>(runner.model().load_adapter(c.out / "step-00000025"));
    EXPECT_NEAR(cross_entropy(adapter), trained, 1e-4 * trained) << name;
    EXPECT_NEAR(cross_entropy(nullptr), before, 1e-4 * before) << name;
  }
}

TEST_F(LoraTest, GoesOnToTheBit) {
  write_data();
  base(lora_config(true), "model");
  const std::vector<double> whole = train(json("model", "whole", 20));
  std::vector<double> parts;
  for (const std::uint64_t stop : {3, 10, 0}) {
    const auto part = train(json("model", "parts", 20), stop);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);
  for (const char* file : {"adapter_model.safetensors", "adapter_config.json"}) {
    EXPECT_EQ(read_file(folder_ / "parts/step-00000020" / file),
              read_file(folder_ / "whole/step-00000020" / file));
  }
  EXPECT_FALSE(fs::exists(folder_ / "parts/step-00000020/model.safetensors"));
  // Two ranks.
  const std::vector<double> two = train(json("model", "two", 20), 0, 2);
  ASSERT_EQ(two.size(), whole.size());
  for (std::size_t i = 0; i < two.size(); ++i) EXPECT_NEAR(two[i], whole[i], 2e-3 * whole[i]) << i;
}

TEST_F(LoraTest, SaysWhatDoesNotFit) {
  write_data();
  base(lora_config(true), "model");
  train(json("model", "out", 2));
  const auto names = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  // The same number of parameters, and other modules.
  names(refusal([](Json& j) { j["lora"]["alpha"] = 9; }), "is of another adapter");
  names(refusal([](Json& j) { j.erase("lora"); }), "config.json");
  names(refusal([](Json& j) { j["lora"]["targets"] = {"experts"}; }), "q_proj");
  names(refusal([](Json& j) { j["lora"]["rank"] = 0; }), "rank");
  names(refusal([](Json& j) { j["lora"]["dropout"] = 0; }), "dropout");
  names(refusal([](Json& j) { j["balancing"] = Json::object(); }), "the model stays as it is");
  names(refusal([](Json& j) { j["rope_theta"] = 1e4; }), "the model stays as it is");
}

}  // namespace
}  // namespace zaya::train
