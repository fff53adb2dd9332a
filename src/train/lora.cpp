#include "train/lora.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/random.h"
#include "checkpoint/adapter_modules.h"

namespace zaya::train {
namespace {

std::vector<AdapterModule> targeted(const LoraOptions& options, const ModelConfig& model,
                                    Layout layout) {
  std::vector<AdapterModule> modules = adapter_modules(model, layout);
  std::erase_if(modules, [&](const AdapterModule& m) {
    return std::find(options.targets.begin(), options.targets.end(), m.projection) ==
           options.targets.end();
  });
  return modules;
}

/// y = scale x W^T, or x W: [rows, in] to [rows, rank].
template <class T>
std::vector<T> inner(Context<T>& context, const Gemm<T>& product, T scale) {
  std::vector<T> out(product.m * product.n);
  Gemm<T> g = product;
  g.c = out.data();
  g.c_stride = g.n;
  context.multiply({&g, 1});
  context.ops.scale_row(out.data(), scale, out.data(), out.size());
  return out;
}

}  // namespace

std::vector<TensorInfo> lora_layout(const LoraOptions& options, const ModelConfig& model,
                                    Layout layout) {
  std::vector<TensorInfo> out;
  std::size_t offset = 0;
  const auto add = [&](std::string name, std::size_t rows, std::size_t cols) {
    out.push_back({std::move(name), {rows, cols}, offset, rows * cols});
    offset += rows * cols;
  };
  for (const AdapterModule& m : targeted(options, model, layout)) {
    add(m.tensor_name('A'), options.rank, m.in);
    add(m.tensor_name('B'), m.out, options.rank);
  }
  return out;
}

template <class T>
std::vector<LoraTensors<T>> bind_lora(const LoraOptions& options, const ModelConfig& model,
                                      const std::vector<TensorInfo>& layout, T* arena) {
  std::vector<LoraTensors<T>> out(model.layers);
  auto tensor = layout.begin();
  // The names do not matter here, their order is that of layers and projections.
  for (const AdapterModule& m : targeted(options, model, Layout::native)) {
    LoraTensors<T>& layer = out[m.layer];
    layer.rank = options.rank;
    layer.scale = static_cast<std::remove_const_t<T>>(options.scale());
    T* a = arena + (tensor++)->offset;
    T* b = arena + (tensor++)->offset;
    layer.pairs[static_cast<std::size_t>(m.projection)] = {a, b};
  }
  return out;
}

template <class T>
void begin_lora(const std::vector<TensorInfo>& layout, std::uint64_t seed, T* arena) {
  for (const TensorInfo& t : layout) {
    const bool is_a = t.name.ends_with(".lora_A.weight");
    const double bound = 1 / std::sqrt(static_cast<double>(t.shape[1]));
    Random random(seed, t.offset);
    for (std::size_t i = 0; i < t.elements; ++i) {
      arena[t.offset + i] = is_a ? static_cast<T>(bound * (2 * random.uniform() - 1)) : T{0};
    }
  }
}

Json lora_config_json(const LoraOptions& options, const ModelConfig& model, Layout layout,
                      const std::string& base) {
  std::set<std::string> modules;
  for (const AdapterModule& m : targeted(options, model, layout)) {
    modules.insert(m.name.substr(m.name.rfind('.') + 1));
  }
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", base},
          {"r", options.rank},
          {"lora_alpha", options.alpha},
          {"target_modules", modules},
          {"lora_dropout", 0.0},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"init_lora_weights", true},
          {"use_rslora", false},
          {"use_dora", false},
          {"inference_mode", true}};
}

template <class T>
void lora_forward(Context<T>& context, const LoraTensors<const T>& w,
                  std::span<const LoraColumns> columns, Rows<const T> x, std::size_t rows,
                  std::size_t in, Rows<T> y) {
  if (w.rank == 0) return;
  for (const auto& [projection, at, width] : columns) {
    const auto& [a, b] = w.pairs[static_cast<std::size_t>(projection)];
    if (a == nullptr) continue;
    const std::vector<T> u =
        inner(context, linear<T>(x, a, {nullptr, 0}, rows, in, w.rank), w.scale);
    Gemm<T> outer = linear<T>({u.data(), w.rank}, b, {y.data + at, y.stride}, rows, w.rank, width);
    outer.add = true;
    context.multiply({&outer, 1});
  }
}

template <class T>
void lora_backward(Context<T>& context, const LoraTensors<const T>& w, const LoraTensors<T>& dw,
                   std::span<const LoraColumns> columns, Rows<const T> x, std::size_t rows,
                   std::size_t in, Rows<const T> dy, Rows<T> dx) {
  if (w.rank == 0) return;
  for (const auto& [projection, at, width] : columns) {
    const auto& [a, b] = w.pairs[static_cast<std::size_t>(projection)];
    if (a == nullptr) continue;
    const auto& [da, db] = dw.pairs[static_cast<std::size_t>(projection)];
    const Rows<const T> d{dy.data + at, dy.stride};
    const std::vector<T> u =
        inner(context, linear<T>(x, a, {nullptr, 0}, rows, in, w.rank), w.scale);
    const std::vector<T> g =
        inner(context, linear_input<T>(d, b, {nullptr, 0}, rows, w.rank, width, false), w.scale);
    const Gemm<T> products[] = {linear_weight<T>({u.data(), w.rank}, d, db, rows, w.rank, width),
                                linear_weight<T>(x, {g.data(), w.rank}, da, rows, in, w.rank),
                                linear_input<T>({g.data(), w.rank}, a, dx, rows, in, w.rank, true)};
    context.multiply(products);
  }
}

#define ZAYA_LORA(T)                                                                              \
  template std::vector<LoraTensors<T>> bind_lora(const LoraOptions&, const ModelConfig&,          \
                                                 const std::vector<TensorInfo>&, T*);             \
  template std::vector<LoraTensors<const T>> bind_lora(const LoraOptions&, const ModelConfig&,    \
                                                       const std::vector<TensorInfo>&, const T*); \
  template void begin_lora(const std::vector<TensorInfo>&, std::uint64_t, T*);                    \
  template void lora_forward(Context<T>&, const LoraTensors<const T>&,                            \
                             std::span<const LoraColumns>, Rows<const T>, std::size_t,            \
                             std::size_t, Rows<T>);                                               \
  template void lora_backward(Context<T>&, const LoraTensors<const T>&, const LoraTensors<T>&,    \
                              std::span<const LoraColumns>, Rows<const T>, std::size_t,           \
                              std::size_t, Rows<const T>, Rows<T>);
ZAYA_LORA(float)
ZAYA_LORA(double)
#undef ZAYA_LORA

}  // namespace zaya::train
