#include "checkpoint/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "checkpoint/adapter_modules.h"
#include "checkpoint/layout.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::uint64_t kMaxConfig = 256U << 10;
constexpr std::string_view kPrefix = "base_model.model.";

constexpr std::array<const char*, kProjections> kNames{
    "self_attn.qkv_proj.q_proj", "self_attn.qkv_proj.k_proj", "self_attn.qkv_proj.v_proj_current",
    "self_attn.qkv_proj.v_proj_delayed", "self_attn.o_proj"};

class Finder {
 public:
  Finder(const AdapterConfig& config, const std::map<std::string, TensorView>& tensors,
         const std::string& where)
      : config_(config), tensors_(tensors), where_(where) {}

  /// Tensors whose module is one of those.
  std::size_t known(const std::vector<AdapterModule>& modules) const {
    std::size_t n = 0;
    for (const AdapterModule& m : modules) {
      for (const char half : {'A', 'B'}) n += tensors_.count(m.tensor_name(half));
    }
    return n;
  }

  std::vector<AdapterPair> take(const std::vector<AdapterModule>& modules) const {
    std::vector<AdapterPair> out;
    for (const AdapterModule& module : modules) {
      const auto a = tensors_.find(module.tensor_name('A'));
      const auto b = tensors_.find(module.tensor_name('B'));
      const bool have_a = a != tensors_.end();
      const bool have_b = b != tensors_.end();
      const AdapterConfig::Target target = config_.target(module.name);
      if (!have_a && !have_b) {
        if (target == AdapterConfig::Target::yes) {
          fail(module.tensor_name('A'), "tensor is missing, and the config names its module");
        }
        continue;
      }
      if (!have_a || !have_b)
        fail(module.tensor_name(have_a ? 'B' : 'A'), "half a pair is missing");
      if (target == AdapterConfig::Target::no) {
        fail(a->first, "the config does not name this module");
      }
      const std::size_t rank = config_.rank(module.name);
      check(a->first, a->second, {rank, module.in});
      check(b->first, b->second, {module.out, rank});
      out.push_back({.layer = module.layer,
                     .projection = module.projection,
                     .a = a->second,
                     .b = b->second,
                     .scale = config_.scale(module.name)});
    }
    return out;
  }

  /// Throws for the first tensor that is in none of the modules.
  [[noreturn]] void refuse_unknown(const std::vector<AdapterModule>& modules) const {
    std::map<std::string, int> names;
    for (const AdapterModule& m : modules) {
      for (const char half : {'A', 'B'}) names[m.tensor_name(half)] = 0;
    }
    for (const auto& [name, view] : tensors_) {
      if (!names.contains(name)) fail(name, problem_of(name), kExpected);
    }
    fail("", "no tensor is an adapter's", kExpected);
  }

 private:
  static constexpr const char* kExpected = "lora_A and lora_B of q, k, v and o projections only";

  static std::string problem_of(const std::string& name) {
    const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
    if (has("experts")) return "adapters of experts are not supported";
    if (has("mlp.gate") || has("router")) return "adapters of the router are not supported";
    if (has("embed_tokens") || has("lora_embedding")) {
      return "adapters of the embedding are not supported";
    }
    if (has("lm_head")) return "adapters of the head are not supported";
    if (has("lora_magnitude_vector")) return "DoRA is not supported";
    if (has("conv_qk")) return "adapters of convolutions are not supported";
    if (name.ends_with("bias")) return "trained biases are not supported";
    return "not a tensor of an adapter for this model";
  }

  [[noreturn]] void fail(const std::string& tensor, std::string what, std::string expected = {},
                         std::string found = {}) const {
    throw Error(
        {.where = tensor.empty() ? where_ : fmt::format("{}: {}", where_, shown_name(tensor)),
         .what = std::move(what),
         .expected = std::move(expected),
         .found = std::move(found)});
  }

  void check(const std::string& name, const TensorView& view,
             const std::vector<std::size_t>& shape) const {
    if (view.shape != shape) {
      fail(name, "wrong shape", shape_text(shape), shape_text(view.shape));
    }
    if (view.dtype != DType::f32 && view.dtype != DType::bf16 && view.dtype != DType::f16) {
      fail(name, "wrong type", "F32, BF16 or F16", std::string(dtype_name(view.dtype)));
    }
    const std::vector<float> values = to_floats(view);
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
      fail(name, "a value is not a finite number");
    }
  }

  const AdapterConfig& config_;
  const std::map<std::string, TensorView>& tensors_;
  const std::string& where_;
};

SafetensorsFile open_tensors(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / AdapterFile::kTensors;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored) &&
      std::filesystem::exists(folder / "adapter_model.bin", ignored)) {
    throw Error({.where = folder.string(),
                 .what = "the adapter is stored as adapter_model.bin; save it again as safetensors",
                 .expected = AdapterFile::kTensors});
  }
  return SafetensorsFile(path);
}

}  // namespace

std::string AdapterModule::tensor_name(char half) const {
  return fmt::format("{}{}.lora_{}.weight", kPrefix, name, half);
}

std::vector<AdapterModule> adapter_modules(const ModelConfig& model, Layout layout) {
  std::map<std::string, StoredTensor> by_native;
  for (StoredTensor& t : tensor_table(model, layout)) {
    if (t.parts.size() == 1) by_native.emplace(t.parts.front(), std::move(t));
  }
  std::vector<AdapterModule> out;
  for (std::size_t i = 0; i < model.layers; ++i) {
    for (std::size_t p = 0; p < kProjections; ++p) {
      const StoredTensor& t = by_native.at(fmt::format("model.layers.{}.{}.weight", i, kNames[p]));
      out.push_back({.layer = i,
                     .projection = static_cast<Projection>(p),
                     .out = t.shape[0],
                     .in = t.shape[1],
                     .name = t.name.substr(0, t.name.size() - std::string_view(".weight").size())});
    }
  }
  return out;
}

std::vector<AdapterPair> find_adapter_pairs(const AdapterConfig& config, const ModelConfig& model,
                                            Layout own,
                                            const std::map<std::string, TensorView>& tensors,
                                            const std::string& where) {
  const Finder finder(config, tensors, where);
  const std::vector<AdapterModule> native = adapter_modules(model, Layout::native);
  const std::vector<AdapterModule> legacy = adapter_modules(model, Layout::legacy);
  const auto& [first, second] =
      own == Layout::native ? std::tie(native, legacy) : std::tie(legacy, native);
  const std::size_t in_first = finder.known(first);
  const std::size_t in_second = finder.known(second);
  const std::vector<AdapterModule>& modules = in_first >= in_second ? first : second;
  if (tensors.empty() || std::max(in_first, in_second) != tensors.size()) {
    finder.refuse_unknown(modules);
  }
  return finder.take(modules);
}

AdapterFile::AdapterFile(const std::filesystem::path& folder, const ModelConfig& model, Layout own)
    : file_(open_tensors(folder)) {
  const std::filesystem::path path = folder / kConfig;
  const AdapterConfig config =
      AdapterConfig::parse(read_json_file(path, kMaxConfig), path.string());
  std::map<std::string, TensorView> tensors;
  for (const std::string& name : file_.names()) tensors.emplace(name, file_.tensor(name));
  pairs_ = find_adapter_pairs(config, model, own, tensors, file_.path().string());
}

}  // namespace zaya
