// Checkpoints that others have quantised: what they mean, under every name and in every format.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/convert.h"
#include "tests/checkpoint/helpers.h"
#include "tests/checkpoint/quantized_files.h"

namespace zaya {
namespace {

using test::Encoded;
using test::Encoder;
using test::Sizes;

std::string compressed(const std::string& format, const std::string& weights) {
  return R"({"quant_method": "compressed-tensors", "format": ")" + format +
         R"(", "ignore": ["lm_head"], "config_groups": {"group_0": {"targets": ["Linear"], )" +
         R"("weights": )" + weights + "}}}";
}

/// A format: what config.json says of it, and how a matrix is written.
struct Format {
  const char* name;
  std::string config;
  std::function<Encoded(Encoder&, const Sizes&)> encode;
  const char* shown;
  bool stacks = true;
};

std::vector<Format> formats() {
  const std::string int4 = R"({"num_bits": 4, "type": "int", "symmetric": true, )";
  const std::string int8 = R"({"num_bits": 8, "type": "int", "symmetric": true, )";
  const std::string fp8 = R"({"num_bits": 8, "type": "float", "symmetric": true, )";
  const std::string fp4 = R"({"num_bits": 4, "type": "float", "symmetric": true, )";
  return {
      {"int4_group",
       compressed("pack-quantized", int4 + R"("strategy": "group", "group_size": 32})"),
       [](Encoder& e, const Sizes& s) { return e.packed(s, 4, 32, DType::bf16); },
       "int4, BF16 scale every 32 columns"},
      {"int4_group_f16",
       compressed("pack-quantized", int4 + R"("group_size": 16, "actorder": "static"})"),
       [](Encoder& e, const Sizes& s) { return e.packed(s, 4, 16, DType::f16); },
       "int4, F16 scale every 16 columns"},
      {"int4_channel", compressed("pack-quantized", int4 + R"("strategy": "channel"})"),
       [](Encoder& e, const Sizes& s) { return e.packed(s, 4, 0, DType::f32); },
       "int4, F32 scale every row"},
      {"int8_packed", compressed("pack-quantized", int8 + R"("strategy": "channel"})"),
       [](Encoder& e, const Sizes& s) { return e.packed(s, 8, 0, DType::bf16); },
       "int8, BF16 scale every row"},
      {"int8", compressed("int-quantized", int8 + R"("strategy": "channel"})"),
       [](Encoder& e, const Sizes& s) { return e.bytes(s, DType::i8, 1, 0, DType::bf16); },
       "int8, BF16 scale every row"},
      {"fp8_channel", compressed("float-quantized", fp8 + R"("strategy": "channel"})"),
       [](Encoder& e, const Sizes& s) { return e.bytes(s, DType::f8_e4m3, 1, 0, DType::bf16); },
       "fp8-e4m3, BF16 scale every row"},
      {"fp8_tensor", compressed("float-quantized", fp8 + R"("strategy": "tensor"})"),
       [](Encoder& e, const Sizes& s) { return e.bytes(s, DType::f8_e4m3, 0, 0, DType::f32); },
       "fp8-e4m3, F32 scale for all"},
      {"fp8_block",
       compressed("float-quantized", fp8 + R"("strategy": "block", "block_structure": [16, 48]})"),
       [](Encoder& e, const Sizes& s) { return e.bytes(s, DType::f8_e4m3, 16, 48, DType::f32); },
       "fp8-e4m3, F32 scale every 16 x 48 block"},
      {"fp8_inverse", R"({"quant_method": "fp8", "weight_block_size": [32, 32]})",
       [](Encoder& e, const Sizes& s) {
         return e.bytes(s, DType::f8_e4m3, 32, 32, DType::f32, "_scale_inv");
       },
       "fp8-e4m3, F32 scale every 32 x 32 block"},
      {"fp8_rows_unsaid", R"({"quant_method": "fp8", "activation_scheme": "dynamic"})",
       [](Encoder& e, const Sizes& s) { return e.bytes(s, DType::f8_e4m3, 1, 0, DType::f32); },
       "fp8-e4m3, F32 scale every row"},
      {"mxfp8", compressed("mxfp8-quantized", fp8 + R"("strategy": "group", "group_size": 32})"),
       [](Encoder& e, const Sizes& s) { return e.bytes(s, DType::f8_e4m3, 1, 32, DType::f8_e8m0); },
       "fp8-e4m3, E8M0 scale every 32 columns"},
      {"mxfp4",
       compressed("mxfp4-pack-quantized", fp4 + R"("strategy": "group", "group_size": 32})"),
       [](Encoder& e, const Sizes& s) { return e.fp4(s, 32, DType::u8, "_packed"); },
       "fp4-e2m1, E8M0 scale every 32 columns"},
      {"nvfp4",
       compressed("nvfp4-pack-quantized", fp4 + R"("strategy": "tensor_group", "group_size": 16})"),
       [](Encoder& e, const Sizes& s) {
         Encoded out = e.fp4(s, 16, DType::f8_e4m3, "_packed");
         e.add_global(out, s, true);
         return out;
       },
       "fp4-e2m1, E4M3 scale every 16 columns"},
      {"nvfp4_64_modelopt",
       R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 32})",
       [](Encoder& e, const Sizes& s) {
         Encoded out = e.fp4(s, 32, DType::f8_e4m3, "");
         e.add_global(out, s, false);
         return out;
       },
       "fp4-e2m1, E4M3 scale every 32 columns"},
      {"nf4", R"({"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})",
       [](Encoder& e, const Sizes& s) { return e.nf4(s, 16, false); },
       "nf4, F32 scale every 16 columns", false},
      {"nf4_nested",
       R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})",
       [](Encoder& e, const Sizes& s) { return e.nf4(s, 32, true); },
       "nf4, F32 scale every 32 columns", false},
  };
}

/// A golden checkpoint with some of its matrices quantised.
class QuantizedFolder : public FolderTest {
 protected:
  void start(const std::string& golden_name, const std::string& quantization) {
    tensors_ = test::read_tensors(golden(golden_name) / "model.safetensors");
    config_ = read_json_file(golden(golden_name) / "config.json");
    if (!quantization.empty()) config_["quantization_config"] = Json::parse(quantization);
  }

  /// Replaces the plain tensor `name` by what `encode` makes of its shape; the new names start with
  /// `stem`. The values become what `native` should hold.
  Encoded quantize(const std::string& name, const std::string& stem, const Format& format) {
    const std::vector<std::size_t> shape = tensors_.at(name).shape;
    const bool stacked = shape.size() == 3;
    const Sizes sizes{stacked ? shape[0] : 0, shape[shape.size() - 2], shape.back()};
    Encoded encoded = format.encode(encoder_, sizes);
    tensors_.erase(name);
    for (const auto& [suffix, tensor] : encoded.tensors) tensors_[stem + suffix] = tensor;
    return encoded;
  }

  Checkpoint open() const {
    write();
    return Checkpoint::open(folder_);
  }
  std::string refusal() const {
    write();
    return message_of([&] { Checkpoint::open(folder_); });
  }

  static void expect_values(const Checkpoint& checkpoint, const std::string& name,
                            const std::vector<float>& values, std::size_t first = 0) {
    const WeightView view = checkpoint.matrix(name);
    std::vector<float> row(view.cols);
    ASSERT_LE(first + view.rows * view.cols, values.size()) << name;
    for (std::size_t r = 0; r < view.rows; ++r) {
      copy_row(view, r, row.data());
      for (std::size_t c = 0; c < view.cols; ++c) {
        const float expected = values[first + r * view.cols + c];
        ASSERT_NEAR(row[c], expected, 1e-6F * std::fabs(expected)) << name << " " << r << " " << c;
      }
    }
  }

  void write() const {
    test::write_tensors(folder_ / "model.safetensors", tensors_);
    put(folder_ / "config.json", config_.dump());
  }

  test::RawTensors tensors_;
  Json config_;
  Encoder encoder_{7};
};

const std::string kQuery = "model.layers.1.self_attn.qkv_proj.q_proj.weight";
const std::string kStack = "model.layers.2.mlp.experts.gate_up_proj";
const std::string kDown = "model.layers.2.mlp.experts.down_proj";

std::string expert(std::size_t e, const std::string& which = "gate_up_proj") {
  return "model.layers.2.mlp.experts." + std::to_string(e) + "." + which;
}

TEST_F(QuantizedFolder, EveryFormatMeansWhatItsDefinitionSays) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    start("native", format.config);
    const Encoded query = quantize(kQuery, kQuery, format);
    const Encoded embedding =
        quantize("model.embed_tokens.weight", "model.embed_tokens.weight", format);
    Encoded stack;
    if (format.stacks) stack = quantize(kStack, kStack + ".weight", format);
    const Checkpoint checkpoint = open();
    EXPECT_TRUE(checkpoint.is_quantized());
    EXPECT_TRUE(checkpoint.is_quantized(kQuery));
    EXPECT_TRUE(checkpoint.has(kQuery));
    EXPECT_EQ(checkpoint.names(), Checkpoint::open(golden("native")).names());
    EXPECT_EQ(checkpoint.format(kQuery), format.shown);
    expect_values(checkpoint, kQuery, query.values);
    expect_values(checkpoint, "model.embed_tokens.weight", embedding.values);
    for (std::size_t e = 0; format.stacks && e < 4; ++e) {
      expect_values(checkpoint, expert(e), stack.values, e * 128 * 96);
    }
    EXPECT_TRUE(contains(message_of([&] { (void)checkpoint.tensor(kQuery); }), "is quantised"));
    // What is plain stays so, and is a matrix as well.
    EXPECT_FALSE(checkpoint.is_quantized(expert(1, "down_proj")));
    const WeightView down = checkpoint.matrix(expert(1, "down_proj"));
    EXPECT_EQ(down.code, WeightCode::f32);
    EXPECT_EQ(down.rows, 96U);
    EXPECT_EQ(down.cols, 64U);
  }
}

TEST_F(QuantizedFolder, StacksGoByManyNames) {
  const std::vector<Format> all = formats();
  const auto named = [&](const std::string& name) {
    for (const Format& f : all) {
      if (name == f.name) return f;
    }
    throw std::logic_error(name);
  };
  // stem of the codes, stem of the scales
  const std::vector<std::pair<std::string, std::string>> names = {
      {"", ".weight"}, {"", "_weight"}, {"", ""}, {"_weight", "_weight"}, {".weight", ".weight"}};
  for (const char* name : {"fp8_channel", "mxfp4", "int4_group"}) {
    for (const auto& [codes, scales] : names) {
      SCOPED_TRACE(name + codes + scales);
      const Format format = named(name);
      start("native", format.config);
      const Encoded stack = quantize(kStack, "x", format);
      for (const auto& [suffix, tensor] : stack.tensors) {
        const bool is_codes = suffix.empty() || suffix == "_packed";
        tensors_[kStack + (is_codes ? codes : scales) + suffix] = tensor;
        tensors_.erase("x" + suffix);
      }
      const Checkpoint checkpoint = open();
      for (std::size_t e = 0; e < 4; ++e) {
        expect_values(checkpoint, expert(e), stack.values, e * 128 * 96);
      }
    }
  }
}

TEST_F(QuantizedFolder, BlocksOfGptOss) {
  start("native",
        R"({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]})");
  const Sizes sizes{4, 128, 96};
  Encoded e = encoder_.fp4(sizes, 32, DType::u8, "_packed");
  tensors_.erase(kStack);
  tensors_[kStack + "_blocks"] = {DType::u8, {4, 128, 3, 16}, e.tensors.at("_packed").bytes};
  tensors_[kStack + "_scales"] = {DType::u8, {4, 128, 3}, e.tensors.at("_scale").bytes};
  const Checkpoint checkpoint = open();
  expect_values(checkpoint, expert(3), e.values, 3 * 128 * 96);
}

TEST_F(QuantizedFolder, LegacyExpertsOneByOne) {
  for (const Format& format : formats()) {
    if (std::string(format.name) == "nf4") continue;
    SCOPED_TRACE(format.name);
    start("legacy", format.config);
    const std::string name = "model.layers.5.zaya_block.experts.local_experts.3.linear_fc1.weight";
    const Encoded fc1 = quantize(name, name, format);
    const Checkpoint checkpoint = open();
    expect_values(checkpoint, expert(3), fc1.values);
    EXPECT_FALSE(checkpoint.is_quantized(expert(2)));
  }
}

TEST_F(QuantizedFolder, UnstackedNativeExperts) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    start("native", format.config);
    tensors_.erase(kStack);
    tensors_.erase(kDown);
    std::vector<Encoded> gate;
    std::vector<Encoded> up;
    std::vector<Encoded> down;
    const auto put_expert = [&](std::size_t e, const char* which, Sizes sizes) {
      Encoded encoded = format.encode(encoder_, sizes);
      for (const auto& [suffix, tensor] : encoded.tensors) {
        tensors_[expert(e, which) + ".weight" + suffix] = tensor;
      }
      return encoded;
    };
    for (std::size_t e = 0; e < 4; ++e) {
      gate.push_back(put_expert(e, "gate_proj", {0, 64, 96}));
      up.push_back(put_expert(e, "up_proj", {0, 64, 96}));
      down.push_back(put_expert(e, "down_proj", {0, 96, 64}));
    }
    if (!format.stacks) {
      EXPECT_TRUE(contains(refusal(), "cannot be read as one matrix"));
      continue;
    }
    const Checkpoint checkpoint = open();
    for (std::size_t e = 0; e < 4; ++e) {
      std::vector<float> both = gate[e].values;
      both.insert(both.end(), up[e].values.begin(), up[e].values.end());
      expect_values(checkpoint, expert(e), both);
      expect_values(checkpoint, expert(e, "down_proj"), down[e].values);
    }
    EXPECT_EQ(checkpoint.matrix(expert(0)).data, checkpoint.matrix(expert(0)).data);
  }
}

TEST_F(QuantizedFolder, ModelOptsOwnFileIsRead) {
  start("native", "");
  const std::string config =
      R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4",
          "group_size": 16, "exclude_modules": ["lm_head"]}})";
  put(folder_ / "hf_quant_config.json", config);
  Encoded e = encoder_.fp4({0, 128, 96}, 16, DType::f8_e4m3, "");
  encoder_.add_global(e, {0, 128, 96}, false);
  tensors_.erase(kQuery);
  for (const auto& [suffix, tensor] : e.tensors) tensors_[kQuery + suffix] = tensor;
  tensors_["model.layers.1.self_attn.qkv_proj.q_proj.input_scale"] = {
      DType::f32, {1}, std::string(4, '\0')};
  const Checkpoint checkpoint = open();
  expect_values(checkpoint, kQuery, e.values);
  ASSERT_EQ(checkpoint.config_file().notes.size(), 2U);
  EXPECT_TRUE(contains(checkpoint.config_file().notes[0], "also quantises activations"));
  EXPECT_TRUE(contains(checkpoint.config_file().notes[1], "1 scale is ignored"));
}

TEST_F(QuantizedFolder, WhatDoesNotFitIsNamed) {
  const Format format = formats().front();
  const auto message = [&](const std::function<void()>& spoil) {
    start("native", format.config);
    quantize(kQuery, kQuery, format);
    spoil();
    return refusal();
  };
  EXPECT_EQ(message([] {}), "no error");
  EXPECT_TRUE(contains(message([&] { tensors_.erase(kQuery + "_scale"); }),
                       "q_proj.weight_packed is there and its scale "));
  EXPECT_TRUE(contains(message([&] { tensors_.erase(kQuery + "_packed"); }),
                       "q_proj.weight [128, 96] is missing"));
  EXPECT_TRUE(contains(message([&] {
                         tensors_[kQuery + "_packed"].shape = {96, 16};
                       }),
                       "q_proj.weight_packed should be [128, 12] (int4, a scale every 32 columns "
                       "of config_groups.group_0) and is [96, 16]"));
  EXPECT_TRUE(contains(
      message([&] {
        tensors_[kQuery + "_scale"] = {DType::bf16, {128, 6}, std::string(128 * 6 * 2, '\0')};
      }),
      "q_proj.weight_scale should be F32, BF16 or F16 [128, 3]"));
  EXPECT_TRUE(contains(message([&] { tensors_[kQuery + "_scale"].dtype = DType::i16; }),
                       "and is I16 [128, 3]"));
  EXPECT_TRUE(contains(message([&] {
                         tensors_[kQuery + "_zero_point"] = {DType::i32, {1}, std::string(4, '\0')};
                       }),
                       "q_proj.weight_zero_point is there: zero points are not supported"));
  EXPECT_TRUE(contains(message([&] {
                         tensors_[kQuery + "_g_idx"] = {DType::i32, {1}, std::string(4, '\0')};
                       }),
                       "activation order"));
  EXPECT_TRUE(contains(message([&] { tensors_[kQuery + "_shape"].bytes[0] = 1; }),
                       "q_proj.weight_shape should be I64 with the value [128, 96]"));
  EXPECT_TRUE(contains(message([&] { config_.erase("quantization_config"); }),
                       "q_proj.weight_packed is I32 [128, 12]: quantised, but config.json has no "
                       "quantization_config"));
  EXPECT_TRUE(
      contains(message([&] { config_["quantization_config"] = Json::parse(formats()[4].config); }),
               "which no scheme of quantization_config stores"));
  EXPECT_TRUE(contains(message([&] { tensors_["model.norm.weight"].dtype = DType::i32; }),
                       "model.norm.weight should be F32, BF16 or F16 and is I32"));
}

TEST_F(QuantizedFolder, SecondLevelScalesAreChecked) {
  for (const Format& format : formats()) {
    if (std::string(format.name) != "nvfp4") continue;
    start("native", format.config);
    quantize(kQuery, kQuery, format);
    for (const float bad : {0.0F, -1.0F, NAN, INFINITY}) {
      std::string& bytes = tensors_[kQuery + "_global_scale"].bytes;
      std::memcpy(bytes.data(), &bad, sizeof(bad));
      EXPECT_TRUE(contains(refusal(), "weight_global_scale should be a finite number above 0"));
    }
    tensors_.erase(kQuery + "_global_scale");
    EXPECT_TRUE(contains(refusal(), "_global_scale (or _scale_2) is missing"));
  }
}

TEST_F(QuantizedFolder, ScalesThatAreNoNumbersAreFoundOnUse) {
  struct Bad {
    const char* format;
    std::string bytes;
  };
  const std::vector<Bad> cases = {{"int4_group", std::string("\x80\xff", 2)},
                                  {"int4_group_f16", std::string("\x00\x7c", 2)},
                                  {"int4_channel", std::string("\x00\x00\xc0\x7f", 4)},
                                  {"mxfp4", std::string("\xff", 1)},
                                  {"nvfp4", std::string("\x7f", 1)}};
  for (const Bad& bad : cases) {
    for (const Format& format : formats()) {
      if (std::string(bad.format) != format.name) continue;
      SCOPED_TRACE(bad.format);
      start("native", format.config);
      quantize(kQuery, kQuery, format);
      std::string& bytes = tensors_[kQuery + "_scale"].bytes;
      bytes.replace(bytes.size() - bad.bytes.size(), bad.bytes.size(), bad.bytes);
      const Checkpoint checkpoint = open();
      EXPECT_TRUE(contains(message_of([&] { (void)checkpoint.matrix(kQuery); }),
                           "weight_packed: a scale is not a finite number"));
    }
  }
}

TEST_F(QuantizedFolder, Nf4IsChecked) {
  const Format format = formats().back();
  const auto message = [&](const std::function<void()>& spoil) {
    start("native", format.config);
    quantize(kQuery, kQuery, format);
    spoil();
    return refusal();
  };
  const auto state = [&](const char* from, const char* to) {
    return message([&] {
      test::RawTensor& t = tensors_[kQuery + ".quant_state.bitsandbytes__nf4"];
      t.bytes.replace(t.bytes.find(from), std::string(from).size(), to);
      t.shape = {t.bytes.size()};
    });
  };
  EXPECT_EQ(message([] {}), "no error");
  EXPECT_TRUE(contains(state("\"nf4\"", "\"fp4\""), "bad value for 'quant_type': expected nf4"));
  EXPECT_TRUE(contains(state(": 32", ": 0"), "'blocksize'"));
  EXPECT_TRUE(contains(state(": 32", ": 64"), "blocks of 64 weights do not divide rows of 96"));
  EXPECT_TRUE(contains(state("[128", "[64"), "should have the shape [128, 96] and has [64, 96]"));
  EXPECT_TRUE(contains(state("{", ""), "not valid JSON"));
  EXPECT_TRUE(contains(message([&] { tensors_.erase(kQuery + ".nested_absmax"); }),
                       ".nested_absmax is missing"));
  EXPECT_TRUE(contains(message([&] { tensors_[kQuery + ".quant_map"].bytes[1] = 'x'; }),
                       "does not hold the levels of NF4"));
  EXPECT_TRUE(contains(message([&] {
                         tensors_[kQuery + ".absmax"] = {DType::u8, {3}, "abc"};
                       }),
                       ".absmax should be U8 [384] and is U8 [3]"));
}

TEST_F(QuantizedFolder, SteppedScalesAreHeldToTheirWord) {
  const Format format = formats().front();
  start("native", format.config);
  quantize(kQuery, kQuery, format);
  config_["zaya_cpp"] = Json{{"stepped_scales", true}};
  std::string& bytes = tensors_[kQuery + "_scale"].bytes;
  const auto set = [&](std::vector<float> scales) {
    for (std::size_t i = 0; i < 128 * 3; ++i) {
      const std::uint16_t bits = to_bf16(scales[i % 3]).bits;
      std::memcpy(bytes.data() + 2 * i, &bits, 2);
    }
  };
  set({15 * 0.375F, 7 * 0.375F, 0.375F});
  EXPECT_TRUE(open().matrix(kQuery).stepped);
  for (const std::vector<float>& bad :
       {std::vector<float>{15, 7.5F, 1}, {16, 7, 1}, {15, 0, 1}, {15, -1, 1}, {0, 0, 0}}) {
    set(bad);
    const Checkpoint checkpoint = open();
    EXPECT_TRUE(contains(message_of([&] { (void)checkpoint.matrix(kQuery); }),
                         "the scales of row 0 are not stepped"));
  }
}

TEST_F(QuantizedFolder, TheTiedHeadsCopyIsRedundant) {
  const Format format = formats().front();
  start("native", format.config);
  tensors_["lm_head.weight"] = tensors_.at("model.embed_tokens.weight");
  quantize("lm_head.weight", "lm_head.weight", format);
  quantize("model.embed_tokens.weight", "model.embed_tokens.weight", format);
  EXPECT_FALSE(open().has("lm_head.weight"));
}

TEST_F(QuantizedFolder, ConversionIsRefused) {
  const Format format = formats().front();
  start("native", format.config);
  quantize(kQuery, kQuery, format);
  const Checkpoint checkpoint = open();
  EXPECT_TRUE(
      contains(message_of([&] { convert_checkpoint(checkpoint, Layout::legacy, folder_ / "out"); }),
               "is quantised and cannot be converted"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(QuantizedFolder, MatrixOfWhatIsNone) {
  start("native", "");
  const std::size_t n = 320 * 96;
  tensors_["model.embed_tokens.weight"] = {DType::f16, {320, 96}, std::string(2 * n, '\0')};
  const Checkpoint checkpoint = open();
  EXPECT_TRUE(contains(message_of([&] { (void)checkpoint.matrix("model.embed_tokens.weight"); }),
                       "expected F32, BF16 or quantised, found F16"));
  EXPECT_TRUE(contains(message_of([&] { (void)checkpoint.matrix("x"); }), "has no tensor"));
}

}  // namespace
}  // namespace zaya
