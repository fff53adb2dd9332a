#include "checkpoint/quantize.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/checkpoint/helpers.h"
#include "tests/checkpoint/quantized_files.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

class Quantize : public FolderTest {
 protected:
  Checkpoint quantized(const Checkpoint& source, const QuantizeOptions& options,
                       const std::string& name = "out") const {
    quantize(source, options, folder_ / name);
    return Checkpoint::open(folder_ / name);
  }
};

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
  const WeightView view = checkpoint.matrix(name);
  std::vector<float> out(view.rows * view.cols);
  for (std::size_t r = 0; r < view.rows; ++r) copy_row(view, r, out.data() + r * view.cols);
  return out;
}

/// Squared error of all weights of a matrix over their squared size.
double relative_error(const Checkpoint& a, const Checkpoint& b, const std::string& name) {
  const std::vector<float> x = values(a, name);
  const std::vector<float> y = values(b, name);
  EXPECT_EQ(x.size(), y.size());
  double error = 0;
  double energy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
    energy += std::pow(static_cast<double>(x[i]), 2);
  }
  return error / energy;
}

double bound(WeightFormat format) {
  const std::map<WeightFormat, double> kBounds = {
      {WeightFormat::keep, 0},     {WeightFormat::bf16, 1e-5},   {WeightFormat::int8, 1e-4},
      {WeightFormat::int4, 0.011}, {WeightFormat::mxfp4, 0.016}, {WeightFormat::nvfp4, 0.011},
      {WeightFormat::fp8, 1e-3}};
  return kBounds.at(format);
}

void expect_near(const Checkpoint& source, const Checkpoint& out, const QuantizeOptions& options) {
  ASSERT_EQ(source.names(), out.names());
  for (const std::string& name : source.names()) {
    const WeightFormat format = options.of(role_of(name));
    if (format == WeightFormat::keep) {
      EXPECT_TRUE(same(source.tensor(name), out.tensor(name))) << name;
      continue;
    }
    EXPECT_EQ(out.is_quantized(name), format != WeightFormat::bf16) << name;
    EXPECT_LE(relative_error(source, out, name), bound(format)) << name;
  }
}

TEST_F(Quantize, PresetsOfEveryGolden) {
  for (const char* name :
       {"native", "legacy", "native-sliding", "legacy-sliding", "base-schema", "native-bf16"}) {
    const Checkpoint source = Checkpoint::open(golden(name));
    for (const char* preset : {"q8", "q4", "q4-small"}) {
      SCOPED_TRACE(std::string(name) + " " + preset);
      const QuantizeOptions options = quantize_preset(preset);
      const Checkpoint out = quantized(source, options, std::string(name) + preset);
      expect_near(source, out, options);
      EXPECT_EQ(out.config_file().layout, Layout::native);
      EXPECT_LT(out.bytes(), source.bytes());
    }
  }
}

TEST_F(Quantize, EveryFormatInEveryRole) {
  const Checkpoint source = Checkpoint::open(golden("native"));
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4,
                                    WeightFormat::mxfp4, WeightFormat::nvfp4, WeightFormat::fp8}) {
    const std::string name(weight_format_name(format));
    SCOPED_TRACE(name);
    QuantizeOptions options;
    options.experts = options.attention = options.embed = options.head = format;
    options.router = format == WeightFormat::bf16 ? format : WeightFormat::int8;
    const Checkpoint out = quantized(source, options, name);
    expect_near(source, out, options);
    // And from there to int8: what is quantised is a source too.
    const QuantizeOptions q8 = quantize_preset("q8");
    const Checkpoint again = quantized(out, q8, name + "-q8");
    EXPECT_LE(relative_error(out, again, "model.layers.1.mlp.experts.2.down_proj"), 1e-4);
    EXPECT_EQ(again.format("model.layers.1.mlp.gate.router_mlp.fc1.weight"), "BF16");
  }
}

TEST_F(Quantize, FileIsAsOthersReadIt) {
  const Checkpoint source = Checkpoint::open(golden("native-bf16"));
  QuantizeOptions options = quantize_preset("q4");
  options.router = WeightFormat::fp8;
  quantize(source, options, folder_ / "out");
  const Json config = read_json_file(folder_ / "out" / "config.json");
  const Json& quantization = config.at("quantization_config");
  EXPECT_EQ(quantization.at("quant_method"), "compressed-tensors");
  EXPECT_EQ(quantization.at("format"), "mixed-precision");
  EXPECT_EQ(quantization.at("ignore"), Json::array());
  const Json& groups = quantization.at("config_groups");
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups.at("group_0").at("weights"),
            Json::parse(R"({"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel",
                            "dynamic": false})"));
  EXPECT_EQ(groups.at("group_1").at("weights"),
            Json::parse(R"({"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
                            "group_size": 32, "dynamic": false})"));
  EXPECT_EQ(groups.at("group_1").at("targets"), Json::array({"re:.*mlp\\.experts.*"}));
  EXPECT_EQ(groups.at("group_1").at("format"), "pack-quantized");
  EXPECT_EQ(groups.at("group_2").at("format"), "float-quantized");
  EXPECT_EQ(config.at("zaya_cpp").at("stepped_scales"), true);

  const SafetensorsFile file(folder_ / "out" / "model.safetensors");
  const std::string query = "model.layers.1.self_attn.qkv_proj.q_proj.weight";
  EXPECT_EQ(file.tensor(query + "_packed").dtype, DType::i32);
  const TensorView& shape = file.tensor(query + "_shape");
  const std::vector<std::size_t>& plain = source.tensor(query).shape;
  ASSERT_EQ(shape.elements(), 2U);
  EXPECT_EQ(reinterpret_cast<const std::int64_t*>(shape.data)[0],
            static_cast<std::int64_t>(plain[0]));
  EXPECT_EQ(file.tensor(query + "_packed").shape,
            (std::vector<std::size_t>{plain[0], plain[1] / 4}));
  EXPECT_EQ(file.tensor(query + "_scale").shape, (std::vector<std::size_t>{plain[0], 1}));
  const std::string stack = "model.layers.1.mlp.experts.down_proj";
  const ModelConfig& c = source.config();
  EXPECT_EQ(file.tensor(stack + ".weight_packed").shape,
            (std::vector<std::size_t>{c.experts, c.hidden, c.expert_width / 8}));
  EXPECT_EQ(file.tensor(stack + ".weight_scale").shape,
            (std::vector<std::size_t>{c.experts, c.hidden, c.expert_width / 32}));
  EXPECT_FALSE(file.has(stack + ".weight_shape"));
  EXPECT_TRUE(
      Checkpoint::open(folder_ / "out").matrix("model.layers.1.mlp.experts.3.down_proj").stepped);
}

TEST_F(Quantize, ShardsAreTheSameWeights) {
  const Checkpoint source = Checkpoint::open(golden("native"));
  QuantizeOptions options = quantize_preset("q4");
  const Checkpoint whole = quantized(source, options, "whole");
  options.max_shard_bytes = 400'000;
  const Checkpoint cut = quantized(source, options, "cut");
  EXPECT_TRUE(fs::exists(folder_ / "cut" / "model.safetensors.index.json"));
  for (const std::string& name : whole.names()) {
    if (!whole.is_quantized(name)) continue;
    EXPECT_EQ(values(whole, name), values(cut, name)) << name;
  }
}

TEST_F(Quantize, NothingToDoIsACopy) {
  const Checkpoint source = Checkpoint::open(golden("native"));
  const Checkpoint out = quantized(source, {});
  EXPECT_FALSE(out.is_quantized());
  expect_near(source, out, {});
}

TEST_F(Quantize, ImportanceReachesTheEncoder) {
  const Checkpoint source = Checkpoint::open(golden("native"));
  QuantizeOptions options = quantize_preset("q4-small");
  std::vector<float> importance;
  options.importance = [&](const std::string& name) -> std::span<const float> {
    importance.assign(source.matrix(name).cols, 1.0F);
    importance[3] = 1e4F;
    return importance;
  };
  const Checkpoint with = quantized(source, options, "with");
  options.importance = nullptr;
  const Checkpoint without = quantized(source, options, "without");
  const std::string name = "model.layers.2.self_attn.o_proj.weight";
  const auto column_error = [&](const Checkpoint& c) {
    const std::vector<float> a = values(source, name);
    const std::vector<float> b = values(c, name);
    double sum = 0;
    for (std::size_t i = 3; i < a.size(); i += source.matrix(name).cols) {
      sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    }
    return sum;
  };
  EXPECT_LT(column_error(with), 0.5 * column_error(without));
  options.importance = [&](const std::string&) {
    return std::span<const float>(importance.data(), 1);
  };
  EXPECT_TRUE(contains(message_of([&] { quantize(source, options, folder_ / "bad"); }),
                       "wrong number of column weights"));
}

TEST_F(Quantize, WhatCannotBeIsAnError) {
  const Checkpoint source = Checkpoint::open(golden("native"));
  QuantizeOptions options;
  options.router = WeightFormat::int4;
  EXPECT_TRUE(
      contains(message_of([&] { quantize(source, options, folder_ / "out"); }),
               "model.layers.0.mlp.gate.router_mlp.fc1.weight: int4: has a scale every 32"));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_TRUE(contains(message_of([] { quantize_preset("q5"); }), "expected q8, q4 or q4-small"));

  put(folder_ / "config.json", read_file(golden("native") / "config.json"));
  test::RawTensors tensors = test::read_tensors(golden("native") / "model.safetensors");
  std::string& bytes = tensors.at("model.layers.3.mlp.experts.gate_up_proj").bytes;
  const float bad = NAN;
  std::memcpy(bytes.data() + bytes.size() - 4, &bad, 4);
  test::write_tensors(folder_ / "model.safetensors", tensors);
  const Checkpoint broken = Checkpoint::open(folder_);
  EXPECT_TRUE(contains(
      message_of([&] { quantize(broken, quantize_preset("q4"), folder_ / "out"); }),
      "model.layers.3.mlp.experts.3.gate_up_proj: row 127 holds a value that is not finite"));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(Quantize, CancelledLeavesNothing) {
  const Checkpoint source = Checkpoint::open(golden("native"));
  int calls = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  const Progress stop = [&](std::uint64_t, std::uint64_t) { return ++calls < 5; };
  EXPECT_THROW(quantize(source, quantize_preset("q4"), folder_ / "out", stop), Cancelled);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  const Progress watch = [&](std::uint64_t done, std::uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
    return true;
  };
  quantize(source, quantize_preset("q4"), folder_ / "out", watch);
  EXPECT_EQ(last, total);
}

TEST_F(Quantize, TextsComeAlong) {
  fs::copy(golden("native"), folder_ / "in");
  put(folder_ / "in" / "tokenizer.json", "{}");
  quantize(Checkpoint::open(folder_ / "in"), quantize_preset("q8"), folder_ / "out");
  EXPECT_EQ(read_file(folder_ / "out" / "tokenizer.json"), "{}");
}

}  // namespace
}  // namespace zaya
