#include "checkpoint/init.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/layout.h"
#include "checkpoint/output_folder.h"
#include "compute/thread_pool.h"

namespace zaya {
namespace {

constexpr int kTableBits = 12;
constexpr std::size_t kTableSize = std::size_t{1} << kTableBits;
// Where a last step that is linear too has the variance of the tail it stands for.
constexpr double kLargestDraw = 4.0;
constexpr float kConvDeviation = 0.02F;

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

/// The normal distribution's quantiles at i / kTableSize, cut at kLargestDraw.
std::array<float, kTableSize + 1> quantile_table() {
  std::array<float, kTableSize + 1> table{};
  for (std::size_t i = 0; i <= kTableSize; ++i) {
    const double p = static_cast<double>(i) / static_cast<double>(kTableSize);
    double low = -kLargestDraw;
    double high = kLargestDraw;
    for (int step = 0; step < 60; ++step) {
      const double middle = (low + high) / 2;
      (normal_cdf(middle) < p ? low : high) = middle;
    }
    table[i] = static_cast<float>((low + high) / 2);
  }
  return table;
}

/// FNV-1a: names the random stream of a tensor.
std::uint64_t stream_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

/// How the elements of one tensor start out.
struct Start {
  bool random = false;
  float value = 0;  ///< deviation when random
};

Start start_of(const std::string& name, const ModelConfig& config) {
  const auto ends = [&](std::string_view suffix) { return name.ends_with(suffix); };
  if (ends("bias") || ends(".balancing_biases")) return {};
  // Clamped temperatures are logarithms.
  if (ends(".temp")) return {.random = false, .value = config.clamp_temp ? 0.0F : 1.0F};
  if (ends("_scale") || ends("norm.weight")) return {.random = false, .value = 1};
  if (name.find(".conv_qk_") != std::string::npos) return {.random = true, .value = kConvDeviation};
  return {.random = true, .value = static_cast<float>(config.initializer_range)};
}

/// Fills piece after piece on all cores and hands it to the writer.
class PieceWriter {
 public:
  PieceWriter(const InitOptions& options, std::uint64_t total, const Progress& progress)
      : options_(options), total_(total), progress_(progress) {
    report(progress_, 0, total_);
  }

  void write(const std::string& name, Start start, std::uint64_t elements,
             SafetensorsWriter& writer) {
    for (std::uint64_t first = 0; first < elements; first += kPiece) {
      const std::size_t n = std::min<std::uint64_t>(kPiece, elements - first);
      bytes_.resize(n * dtype_size(options_.dtype));
      pool_.run((n + kBlock - 1) / kBlock, [&](std::size_t block) {
        const std::size_t at = block * kBlock;
        fill(name, start, first + at, std::min(kBlock, n - at),
             bytes_.data() + at * dtype_size(options_.dtype));
      });
      writer.append(bytes_);
      report(progress_, done_ += bytes_.size(), total_);
    }
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{4} << 20;
  static constexpr std::size_t kBlock = std::size_t{1} << 12;

  void fill(const std::string& name, Start start, std::uint64_t first, std::size_t n,
            std::byte* out) const {
    std::array<float, kBlock> values;
    if (start.random) {
      draw_normal(options_.seed, name, first, start.value, {values.data(), n});
    } else {
      std::fill_n(values.begin(), n, start.value);
    }
    if (options_.dtype == DType::f32) {
      std::memcpy(out, values.data(), n * sizeof(float));
      return;
    }
    std::array<bf16, kBlock> rounded;
    for (std::size_t i = 0; i < n; ++i) rounded[i] = to_bf16(values[i]);
    std::memcpy(out, rounded.data(), n * sizeof(bf16));
  }

  ThreadPool pool_;
  const InitOptions& options_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  const Progress& progress_;
  std::vector<std::byte> bytes_;
};

void write_balancing(const ModelConfig& config, SafetensorsWriter& writer) {
  std::vector<float> biases(config.classes(), 0.0F);
  if (config.skip_class) biases.back() = -1;
  writer.append(std::as_bytes(std::span(biases)));
}

}  // namespace

void draw_normal(std::uint64_t seed, std::string_view name, std::uint64_t first, float deviation,
                 std::span<float> out) {
  static const auto kTable = quantile_table();
  constexpr std::uint32_t kFraction = (1U << (32 - kTableBits)) - 1;
  constexpr float kUnit = 1.0F / (kFraction + 1.0F);
  const auto draw = [deviation](std::uint32_t bits) {
    const std::uint32_t i = bits >> (32 - kTableBits);
    const float low = kTable[i];
    const float z = low + (kTable[i + 1] - low) * (static_cast<float>(bits & kFraction) * kUnit);
    return deviation * z;
  };
  // One 64-bit number makes two draws, the lower half the even one.
  Random random(seed, stream_of(name), first / 2);
  std::size_t i = 0;
  if (first % 2 != 0 && !out.empty())
    out[i++] = draw(static_cast<std::uint32_t>(random.next() >> 32));
  for (; i + 2 <= out.size(); i += 2) {
    const std::uint64_t bits = random.next();
    out[i] = draw(static_cast<std::uint32_t>(bits));
    out[i + 1] = draw(static_cast<std::uint32_t>(bits >> 32));
  }
  if (i < out.size()) out[i] = draw(static_cast<std::uint32_t>(random.next()));
}

void init_checkpoint(const ModelConfig& config, const std::filesystem::path& folder,
                     const InitOptions& options, const Progress& progress) {
  std::unordered_map<std::string, StoredTensor> table;
  std::vector<TensorSpec> specs;
  std::uint64_t total = 0;
  for (StoredTensor& stored : tensor_table(config, Layout::native)) {
    const bool balancing = stored.name.ends_with(".balancing_biases");
    specs.push_back({stored.name, balancing ? DType::f32 : options.dtype, stored.shape});
    total += specs.back().bytes();
    table.emplace(stored.name, std::move(stored));
  }
  OutputFolder out(folder);
  PieceWriter pieces(options, total, progress);
  out.write_tensors(specs, options.max_shard_bytes,
                    [&](const TensorSpec& spec, SafetensorsWriter& writer) {
                      if (spec.name.ends_with(".balancing_biases")) {
                        write_balancing(config, writer);
                        return;
                      }
                      const StoredTensor& stored = table.at(spec.name);
                      const std::uint64_t elements = stored.elements() / stored.parts.size();
                      for (const std::string& part : stored.parts) {
                        pieces.write(part, start_of(part, config), elements, writer);
                      }
                    });
  if (!options.text_from.empty()) out.copy_texts(options.text_from);
  const Json json =
      native_config_json(config, options.dtype == DType::f32 ? "float32" : "bfloat16");
  write_file(out.staging() / "config.json", json.dump(2) + "\n");
  out.commit();
}

}  // namespace zaya
