#pragma once

#include <bit>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "checkpoint/adapter.h"
#include "checkpoint/layout.h"
#include "checkpoint/safetensors.h"

namespace zaya {

/// The files of a LoRA adapter as PEFT 0.18 writes them, to be stored, or spoilt first.
struct AdapterFiles {
  struct Tensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;
    DType dtype = DType::f32;
  };

  Json config = Json::parse(R"({
    "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null,
    "auto_mapping": null, "base_model_name_or_path": "Zyphra/ZAYA1-8B", "bias": "none",
    "corda_config": null, "ensure_weight_tying": false, "eva_config": null,
    "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
    "init_lora_weights": true, "layer_replication": null, "layers_pattern": null,
    "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 6, "lora_bias": false,
    "lora_dropout": 0.05, "megatron_config": null, "megatron_core": "megatron.core",
    "modules_to_save": null, "peft_type": "LORA", "peft_version": "0.18.0",
    "qalora_group_size": 16, "r": 4, "rank_pattern": {}, "revision": null,
    "target_modules": ["q_proj", "k_proj", "v_proj_current", "v_proj_delayed", "o_proj"],
    "target_parameters": null, "task_type": "CAUSAL_LM", "trainable_token_indices": null,
    "use_dora": false, "use_qalora": false, "use_rslora": false})");
  std::map<std::string, Tensor> tensors;

  /// A random pair for the module of that name in the base model.
  void add(const std::string& module, std::size_t rank, std::size_t in, std::size_t out,
           std::uint64_t seed) {
    Random random(seed);
    const auto tensor = [&](std::size_t rows, std::size_t cols) {
      Tensor t{{rows, cols}, std::vector<float>(rows * cols)};
      for (float& v : t.values) v = 0.2F * static_cast<float>(random.normal());
      return t;
    };
    tensors["base_model.model." + module + ".lora_A.weight"] = tensor(rank, in);
    tensors["base_model.model." + module + ".lora_B.weight"] = tensor(out, rank);
  }

  /// Random pairs of rank 4 for projections of one layer of a model.
  void add_layer(const ModelConfig& model, Layout layout, std::size_t layer,
                 const std::vector<Projection>& projections, std::uint64_t seed) {
    const std::vector<StoredTensor> table = tensor_table(model, layout);
    const char* const names[] = {"qkv_proj.q_proj", "qkv_proj.k_proj", "qkv_proj.v_proj_current",
                                 "qkv_proj.v_proj_delayed", "o_proj"};
    for (const Projection p : projections) {
      const auto native = fmt::format("model.layers.{}.self_attn.{}.weight", layer,
                                      names[static_cast<std::size_t>(p)]);
      for (const StoredTensor& t : table) {
        if (t.parts.front() != native) continue;
        add(t.name.substr(0, t.name.rfind('.')), 4, t.shape[1], t.shape[0],
            seed * 1000 + layer * 10 + static_cast<std::size_t>(p));
      }
    }
  }

  void write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    write_file(folder / AdapterFile::kConfig, config.dump());
    std::vector<TensorSpec> specs;
    for (const auto& [name, t] : tensors) specs.push_back({name, t.dtype, t.shape});
    SafetensorsWriter writer(folder / AdapterFile::kTensors, specs);
    for (const TensorSpec& spec : writer.tensors()) {
      for (const float v : tensors.at(spec.name).values) append(writer, spec.dtype, v);
    }
    writer.commit();
  }

 private:
  static void append(SafetensorsWriter& writer, DType dtype, float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    // Only the halves' own values, within their range, survive this.
    const auto half = static_cast<std::uint16_t>(
        (bits >> 16 & 0x8000U) | (((bits >> 23 & 0xffU) - 112) << 10) | (bits >> 13 & 0x3ffU));
    const std::uint16_t word = dtype == DType::bf16 ? to_bf16(value).bits : half;
    const auto bytes = dtype == DType::f32 ? std::as_bytes(std::span(&bits, 1))
                                           : std::as_bytes(std::span(&word, 1));
    // Wider types (of tensors that are to be refused) get zeros.
    std::vector<std::byte> out(dtype_size(dtype));
    std::copy_n(bytes.begin(), std::min(bytes.size(), out.size()), out.begin());
    writer.append(out);
  }
};

}  // namespace zaya
