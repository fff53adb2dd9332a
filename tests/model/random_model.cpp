#include "tests/model/random_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/layout.h"
#include "checkpoint/safetensors.h"
#include "zaya/error.h"

namespace zaya {
namespace {

/// To nearest; numbers too small for a normal half become 0.
std::uint16_t to_f16_bits(float value) {
  auto u = std::bit_cast<std::uint32_t>(value);
  u += 0xfffU + ((u >> 13) & 1U);
  const std::uint32_t sign = (u >> 16) & 0x8000U;
  const int exponent = static_cast<int>((u >> 23) & 0xffU) - 112;
  if (exponent <= 0) return static_cast<std::uint16_t>(sign);
  return static_cast<std::uint16_t>(sign | (static_cast<std::uint32_t>(exponent) << 10) |
                                    ((u >> 13) & 0x3ffU));
}

double rounded(double value, DType type) {
  const auto single = static_cast<float>(value);
  if (type == DType::bf16) return to_float(to_bf16(single));
  if (type == DType::f16) return f16_to_float(to_f16_bits(single));
  return single;
}

std::vector<std::byte> stored_bytes(const std::vector<double>& values, DType type) {
  std::vector<std::byte> out;
  for (const double value : values) {
    const auto single = static_cast<float>(value);
    const std::uint16_t half = type == DType::bf16 ? to_bf16(single).bits : to_f16_bits(single);
    const auto bytes = type == DType::f32 ? std::as_bytes(std::span(&single, 1))
                                          : std::as_bytes(std::span(&half, 1));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

/// How the entries of a tensor are spread.
struct Spread {
  double mean = 0;
  double deviation = 1;
};

Spread spread_of(const ModelConfig& config, const std::string& name, std::size_t inputs) {
  const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
  const double fan_in = 1 / std::sqrt(static_cast<double>(inputs));
  if (is("embed_tokens")) return {0, 1};
  if (is(".temp")) return config.clamp_temp ? Spread{1, 1.5} : Spread{1.5, 0.5};
  if (is("balancing_biases")) return {0, 0.02};
  if (is("norm.weight") || is("_scale")) return {1, 0.3};
  if (is("bias")) return {0, is("gate.") ? 0.1 : 0.3};
  if (is("depthwise")) return {0, 0.7};
  if (is("gate.router_mlp.out_proj")) return {0, 3 * fan_in};
  if (is("gate.")) return {0, 2 * fan_in};
  return {0, fan_in};
}

/// A new folder, removed with all it holds at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "zaya-model-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Error({.where = pattern, .what = "no folder"});
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

ModelConfig small_config() {
  ModelConfig c;
  c.vocab = 53;
  c.hidden = 37;
  c.layers = 3;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.experts = 5;
  c.expert_width = 13;
  c.router_hidden = 11;
  c.max_positions = 256;
  c.sliding.assign(c.layers, false);
  c.rope = {.theta = 100, .partial_rotary_factor = 0.5};
  c.sliding_rope = c.rope;
  c.eos = {1};
  return c;
}

void slide(ModelConfig& config, std::vector<bool> sliding, std::size_t window) {
  config.sliding = std::move(sliding);
  config.window = window;
  config.sliding_rope.theta = 7;
}

RandomModel::RandomModel(ModelConfig c, std::uint64_t seed) : config(std::move(c)) {
  Random random(seed);
  for (const StoredTensor& t : tensor_table(config, Layout::native)) {
    const std::size_t inputs = t.stacked ? t.shape.back() : t.elements() / t.shape.front();
    const Spread spread = spread_of(config, t.name, inputs);
    for (const std::string& part : t.parts) {
      std::vector<double>& values = weights[part];
      values.resize(t.elements() / t.parts.size());
      for (double& v : values) v = spread.mean + spread.deviation * random.normal();
    }
  }
  balance();
  store_as(DType::f32);
}

void RandomModel::balance() {
  for (std::size_t i = 0; i < config.layers; ++i) {
    // The layers above are balanced already: their routing moves what this one sees.
    const auto probabilities = reference(tokens(16, 3)).probabilities[i];
    std::vector<double>& biases = at(i, "mlp.gate.balancing_biases");
    for (const std::vector<double>& p : probabilities) {
      for (std::size_t j = 0; j < p.size(); ++j) {
        biases[j] -= p[j] / static_cast<double>(probabilities.size());
      }
    }
  }
}

std::vector<double>& RandomModel::at(std::size_t layer, const std::string& name) {
  return weights.at(fmt::format("model.layers.{}.{}", layer, name));
}

void RandomModel::fill(const std::string& name, double value) {
  for (std::size_t i = 0; i < config.layers; ++i) {
    std::fill(at(i, name).begin(), at(i, name).end(), value);
  }
}

void RandomModel::force_class(std::size_t layer, std::size_t index) {
  std::vector<double>& biases = at(layer, "mlp.gate.balancing_biases");
  std::fill(biases.begin(), biases.end(), 0.0);
  biases[index] = 2;  // above any difference of two probabilities
}

void RandomModel::store_as(DType type) {
  stored_ = type;
  for (auto& [name, values] : weights) {
    for (double& v : values) v = rounded(v, type);
  }
}

std::unique_ptr<Runner> RandomModel::open(Compute compute, int threads) const {
  const TemporaryFolder folder;
  const Json json = layout == Layout::native
                        ? native_config_json(config, std::string(dtype_name(stored_)))
                        : legacy_config_json(config, std::string(dtype_name(stored_)));
  write_file(folder.path() / "config.json", json.dump());

  const std::vector<StoredTensor> table = tensor_table(config, layout);
  std::vector<TensorSpec> specs;
  specs.reserve(table.size());
  for (const StoredTensor& t : table) {
    specs.push_back({.name = t.name, .dtype = stored_, .shape = t.shape});
  }
  SafetensorsWriter writer(folder.path() / "model.safetensors", specs);
  for (const TensorSpec& spec : writer.tensors()) {
    const auto t = std::find_if(table.begin(), table.end(),
                                [&](const StoredTensor& of) { return of.name == spec.name; });
    for (const std::string& part : t->parts) writer.append(stored_bytes(weights.at(part), stored_));
  }
  writer.commit();
  // The mapping outlives the files.
  return std::make_unique<Runner>(
      std::make_shared<const Checkpoint>(Checkpoint::open(folder.path())),
      RunnerOptions{.compute = compute, .threads = threads, .deterministic = true});
}

std::vector<TokenId> RandomModel::tokens(std::size_t count, std::uint64_t seed) const {
  Random random(seed, 7);
  std::vector<TokenId> out(count);
  for (TokenId& id : out) id = static_cast<TokenId>(random.next() % config.vocab);
  return out;
}

LogitRows feed_all(Runner& runner, Sequence& sequence, std::span<const TokenId> tokens,
                   std::size_t chunk) {
  const std::size_t vocab = runner.config().vocab;
  LogitRows out;
  for (std::size_t i = 0; i < tokens.size(); i += chunk) {
    const Runner::Item item{sequence, tokens.subspan(i, std::min(chunk, tokens.size() - i)),
                            Logits::all};
    const auto part = runner.step({&item, 1});
    for (std::size_t r = 0; r < part.size(); r += vocab) {
      out.emplace_back(part.begin() + static_cast<std::ptrdiff_t>(r),
                       part.begin() + static_cast<std::ptrdiff_t>(r + vocab));
    }
  }
  return out;
}

LogitRows run_all(Runner& runner, std::span<const TokenId> tokens, std::size_t chunk) {
  Sequence sequence = runner.new_sequence();
  return feed_all(runner, sequence, tokens, chunk);
}

double difference(const LogitRows& got, const LogitRows& want) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (got.size() != want.size()) return kInfinite;
  double scale = 0;
  double worst = 0;
  for (std::size_t t = 0; t < want.size(); ++t) {
    if (got[t].size() != want[t].size()) return kInfinite;
    for (std::size_t i = 0; i < want[t].size(); ++i) {
      if (!std::isfinite(got[t][i]) || !std::isfinite(want[t][i])) return kInfinite;
      scale = std::max(scale, std::abs(want[t][i]));
      worst = std::max(worst, std::abs(got[t][i] - want[t][i]));
    }
  }
  return worst / scale;
}

}  // namespace zaya
